from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench.certify import error_map
from attnpanel.bench.certify.error_map import (
    REFERENCE,
    SIZE,
    ImplementationResult,
    MapSettings,
    UnavailableError,
    choices,
    compute_side,
    difference,
    reference_result,
)
from attnpanel.kernels import find_implementation


@pytest.mark.parametrize("setting", [MapSettings(), MapSettings("float16", "causal", 0.1)])
@pytest.mark.parametrize("name", ["numpy-naive", "numpy-row-blocked", "numpy-online"])
def test_correct_code_stays_within_the_units_that_pass(name, setting):
    expected = reference_result(setting)
    found = difference(
        compute_side(name, setting, expected), compute_side(REFERENCE, setting, expected), expected
    )

    assert found.output.shape == found.weights.shape == (SIZE, SIZE)
    assert 0 < found.output.max() <= 8
    assert found.weights.max() <= 8


def test_a_result_does_not_differ_from_itself():
    setting = MapSettings("float32", "window", 2.0)
    expected = reference_result(setting)
    result = compute_side("numpy-online", setting, expected)

    found = difference(result, result, expected)

    np.testing.assert_array_equal(found.output, 0)
    np.testing.assert_array_equal(found.weights, 0)


def test_one_wrong_cell_is_the_only_difference():
    setting = MapSettings()
    expected = reference_result(setting)
    result = compute_side("numpy-naive", setting, expected)
    output = result.output.copy()
    output[5, 11] += 100 * expected.output_unit[5, 11]

    found = difference(replace(result, output=output), result, expected)

    assert found.output[5, 11] == pytest.approx(100, rel=1e-3)
    assert np.count_nonzero(found.output) == 1


def test_missing_weights_are_the_output_for_the_identity():
    setting = MapSettings("float64", "causal", 0.5)
    expected = reference_result(setting)
    assert "weights" not in find_implementation("numpy-online").returns

    result = compute_side("numpy-online", setting, expected)

    np.testing.assert_allclose(result.weights, expected.weights, atol=1e-12)
    assert (result.weights[~expected.visible] == 0).all()


def test_empty_rows_of_different_policies_differ_by_infinity():
    setting = MapSettings(mask="padding")
    expected = reference_result(setting)  # 24 of the 32 tokens are real
    uniform, zero = (
        compute_side(name, setting, expected) for name in ("numpy-naive", "numpy-online")
    )

    assert expected.empty.tolist() == [row >= 24 for row in range(SIZE)]
    assert np.isposinf(difference(uniform, zero, expected).output[24:]).all()
    agreed = difference(zero, compute_side(REFERENCE, setting, expected), expected)
    np.testing.assert_array_equal(agreed.output[24:], 0)


def test_cells_finite_in_one_result_only_differ_by_infinity():
    expected = reference_result(MapSettings())
    good = ImplementationResult(expected.output, expected.weights, coarse=False)
    broken = replace(good, output=np.where(np.eye(SIZE, dtype=bool), np.nan, expected.output))

    assert np.isposinf(difference(good, broken, expected).output.diagonal()).all()
    assert difference(broken, broken, expected).output.max() == 0


def test_scores_kept_in_16_bits_have_a_larger_unit():
    expected = reference_result(MapSettings("float16"))
    exact = ImplementationResult(expected.output, expected.weights, coarse=False)
    off = replace(exact, output=expected.output + expected.output_unit)

    fine = difference(off, exact, expected).output
    coarse = difference(replace(off, coarse=True), exact, expected).output

    np.testing.assert_allclose(fine, 1)
    np.testing.assert_allclose(coarse, np.broadcast_to(1 / expected.coarser[:, None], (SIZE, SIZE)))
    assert expected.coarser.min() >= 1


def test_an_unavailable_result_gives_its_reason(monkeypatch):
    setting = MapSettings("bfloat16")
    with pytest.raises(UnavailableError, match=r"numpy-naive computes .*; got bfloat16"):
        compute_side("numpy-naive", setting, reference_result(setting))
    with pytest.raises(UnavailableError, match="no such implementation"):
        compute_side("<b>", MapSettings(), reference_result(MapSettings()))

    def fail(*_args, **_options):
        raise RuntimeError("the device said no")

    broken = replace(find_implementation("numpy-naive"), prepare=fail)
    monkeypatch.setattr(error_map, "find_implementation", lambda _name: broken)
    with pytest.raises(UnavailableError, match="RuntimeError: the device said no"):
        compute_side("numpy-naive", MapSettings(), reference_result(MapSettings()))


def test_the_reference_comes_first_among_the_choices():
    assert choices()[0] == REFERENCE
    assert "numpy-row-blocked" in choices()
