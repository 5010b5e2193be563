from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.kernels import find_implementation
from bench import error_map
from bench.error_map import (
    REAL_TOKENS,
    REFERENCE,
    SIZE,
    NoAnswerError,
    Setting,
    Side,
    choices,
    difference,
    side,
    truth,
)


@pytest.mark.parametrize("setting", [Setting(), Setting("float16", "causal", 0.1)])
@pytest.mark.parametrize("name", ["numpy-naive", "numpy-row-blocked", "numpy-online"])
def test_correct_code_stays_within_the_units_that_pass(name, setting):
    right = truth(setting)
    found = difference(side(name, setting, right), side(REFERENCE, setting, right), right)

    assert found.output.shape == found.weights.shape == (SIZE, SIZE)
    assert 0 < found.output.max() <= 8
    assert found.weights.max() <= 8


def test_a_side_beside_itself_differs_nowhere():
    setting = Setting("float32", "window", 2.0)
    right = truth(setting)
    one = side("numpy-online", setting, right)

    found = difference(one, one, right)

    np.testing.assert_array_equal(found.output, 0)
    np.testing.assert_array_equal(found.weights, 0)


def test_one_wrong_cell_is_the_one_that_stands_out():
    setting = Setting()
    right = truth(setting)
    one = side("numpy-naive", setting, right)
    output = one.output.copy()
    output[5, 11] += 100 * right.output_unit[5, 11]

    found = difference(replace(one, output=output), one, right)

    assert found.output[5, 11] == pytest.approx(100, rel=1e-3)
    assert np.count_nonzero(found.output) == 1


def test_weights_of_what_returns_none_are_its_output_for_the_identity():
    setting = Setting("float64", "causal", 0.5)
    right = truth(setting)
    assert "weights" not in find_implementation("numpy-online").returns

    one = side("numpy-online", setting, right)

    np.testing.assert_allclose(one.weights, right.weights, atol=1e-12)
    assert (one.weights[~right.visible] == 0).all()


def test_rows_that_see_no_key_differ_by_policy_and_beyond_every_unit():
    setting = Setting(mask="padding")
    right = truth(setting)
    uniform, zero = (side(name, setting, right) for name in ("numpy-naive", "numpy-online"))

    assert right.empty.tolist() == [row >= REAL_TOKENS for row in range(SIZE)]
    assert np.isposinf(difference(uniform, zero, right).output[REAL_TOKENS:]).all()
    agreed = difference(zero, side(REFERENCE, setting, right), right)
    np.testing.assert_array_equal(agreed.output[REAL_TOKENS:], 0)


def test_what_is_finite_on_one_side_only_is_beyond_every_unit_and_on_neither_is_alike():
    right = truth(Setting())
    good = Side(right.output, right.weights, coarse=False)
    broken = replace(good, output=np.where(np.eye(SIZE, dtype=bool), np.nan, right.output))

    assert np.isposinf(difference(good, broken, right).output.diagonal()).all()
    assert difference(broken, broken, right).output.max() == 0


def test_scores_kept_in_16_bits_are_judged_by_a_larger_unit():
    right = truth(Setting("float16"))
    exact = Side(right.output, right.weights, coarse=False)
    off = replace(exact, output=right.output + right.output_unit)

    fine = difference(off, exact, right).output
    coarse = difference(replace(off, coarse=True), exact, right).output

    np.testing.assert_allclose(fine, 1)
    np.testing.assert_allclose(coarse, np.broadcast_to(1 / right.coarser[:, None], (SIZE, SIZE)))
    assert right.coarser.min() >= 1


def test_what_cannot_be_computed_says_why(monkeypatch):
    setting = Setting("bfloat16")
    with pytest.raises(NoAnswerError, match=r"numpy-naive computes .*; got bfloat16"):
        side("numpy-naive", setting, truth(setting))
    with pytest.raises(NoAnswerError, match="no such implementation"):
        side("<b>", Setting(), truth(Setting()))

    def fail(*_args, **_options):
        raise RuntimeError("the device said no")

    broken = replace(find_implementation("numpy-naive"), prepare=fail)
    monkeypatch.setattr(error_map, "find_implementation", lambda _name: broken)
    with pytest.raises(NoAnswerError, match="RuntimeError: the device said no"):
        side("numpy-naive", Setting(), truth(Setting()))


def test_the_reference_comes_first_among_the_choices():
    assert choices()[0] == REFERENCE
    assert "numpy-row-blocked" in choices()
