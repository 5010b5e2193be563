"""Large cases are judged in a sample of rows, and in every other row by float32 attention."""

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench import certify
from attnpanel.bench.certify import judged_rows as module
from attnpanel.bench.certify.cases import Case, make_inputs
from attnpanel.bench.certify.judged_rows import inputs_of, judged_rows, sampled_rows
from attnpanel.bench.certify.reference import reference
from attnpanel.kernels.request import Request
from tests.unit.bench.certify.planted_defects import put, returned

LARGE = Request(1, 2, 1, 700, 700, 16, 16, mask="causal")


@pytest.fixture
def sampled(monkeypatch):
    """Sample cases that would be judged whole."""
    monkeypatch.setattr(module, "FULL_CELLS", 2**16)


def row_outside(request):
    return next(i for i in range(request.query_len) if i not in sampled_rows(request.query_len))


def test_the_sample_has_a_row_of_each_stratum_and_both_ends():
    rows = sampled_rows(8192)

    assert set(rows // 64) == set(range(128))
    assert {0, 1, 8191} <= set(rows)
    assert len(rows) <= 131
    assert (np.diff(rows) > 0).all()


def test_the_reference_of_a_sample_is_that_of_its_rows(sampled):
    inputs, view = make_inputs(Case(LARGE)), judged_rows(LARGE, None)

    part = reference(view.request, view.inputs(inputs))

    whole = reference(LARGE, inputs)
    np.testing.assert_allclose(part.output, whole.output[:, :, view.rows], rtol=1e-12)
    np.testing.assert_array_equal(part.empty, whole.empty[:, :, view.rows])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_correct_code_passes_in_a_sample(sampled, dtype):
    agreement = certify(returned(lambda _: False, None)[0], Case(replace(LARGE, dtype=dtype)))

    assert agreement.reasons == ()
    assert "every row" in {check.name for check in agreement.checks}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_one_wrong_row_outside_the_sample_is_found(sampled, dtype):
    request = replace(LARGE, dtype=dtype)
    row = row_outside(request)
    wrong, _ = returned(
        lambda _: True, lambda o, _i, _r: put(o, np.s_[:, 1, row], 1.1 * o[:, 1, row])
    )

    agreement = certify(wrong, Case(request))

    assert [reason.partition(":")[0] for reason in agreement.reasons] == ["every row"]
    assert f"(0, 1, {row})" in agreement.reasons[0]


def test_the_worst_error_is_named_by_its_row_in_the_whole_output(sampled):
    row = int(sampled_rows(700)[3])
    wrong, _ = returned(lambda _: True, lambda o, _i, _r: put(o, np.s_[0, 1, row, 5], 9))

    assert certify(wrong, Case(LARGE)).worst == (0, 1, row, 5)


def test_shared_inputs_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        inputs_of(Case(LARGE)).query[0] = 0
