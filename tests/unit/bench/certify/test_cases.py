"""Cases have unique names, and inputs of their kind and dtype."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from attnpanel.bench.certify.cases import CERTIFICATE_CASES, Case, InputKind, make_inputs
from attnpanel.kernels.request import Request

PRIMES = Request(2, 6, 3, 5, 7, 11, 13)


def test_no_two_cases_share_a_name():
    names = [case.name for case in CERTIFICATE_CASES]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", get_args(InputKind))
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_inputs_have_the_shapes_of_the_request_in_its_dtype(kind, dtype):
    if dtype == "float16" and kind in ("vast", "deep"):
        pytest.skip("float16 has no such numbers")
    request = replace(PRIMES, dtype=dtype, bias=True, mask="key_padding", pad_lens=(3, 7))

    inputs = make_inputs(Case(request, kind))

    stored = "float32" if dtype == "bfloat16" else dtype
    arrays = (inputs.query, inputs.key, inputs.value, inputs.bias)
    assert [x.dtype for x in arrays] == [stored] * 4
    assert [x.shape for x in arrays] == [(2, 6, 5, 11), (2, 3, 7, 11), (2, 3, 7, 13), (6, 5, 7)]
    np.testing.assert_array_equal(inputs.mask, request.visible())
    assert all(np.isfinite(x).all() for x in arrays)


def test_inputs_are_reproducible_and_equal_in_all_dtypes_up_to_rounding():
    case = Case(PRIMES)

    once, again = make_inputs(case), make_inputs(case)
    double = make_inputs(Case(replace(PRIMES, dtype="float64")))

    np.testing.assert_array_equal(once.query, again.query)
    np.testing.assert_array_equal(once.key, double.key.astype(np.float32))
    assert not np.array_equal(once.query, make_inputs(replace(case, seed=1)).query)


def test_peaked_queries_give_nearly_all_their_weight_to_one_key():
    inputs = make_inputs(Case(replace(PRIMES, head_dim=64, kv_heads=6), "peaked"))

    scores = inputs.query.astype(float) @ inputs.key.astype(float).swapaxes(-1, -2) / 8
    top_two = np.sort(scores, axis=-1)[..., -2:]

    # 24 nats apart, but for the noise of the keys' lengths and of the other keys.
    assert np.median(top_two[..., 1] - top_two[..., 0]) > 15
