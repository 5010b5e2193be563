"""Mixed paints, relative rows, entropy and distance in JavaScript; what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnpanel.analysis import entropy, mean_distance
from attnpanel.attention.reference import attend
from attnpanel.models.toy import make_toy_data, rgb_from_values
from tests.browser_kernel.conftest import KernelError
from tests.browser_kernel.heads import (
    EMPTY_ROWS,
    heads,
    laws,
    temperatures,
    types,
)


def test_three_paints_mix_by_hand(kernel):
    red_green_blue = np.eye(3)

    mixed = kernel("mixColour", np.array([0.5, 0.25, 0.25]), red_green_blue)

    np.testing.assert_array_equal(mixed, [0.5, 0.25, 0.25])


def test_the_mixed_paint_is_the_paint_of_the_mixed_values(kernel):
    query, key, value = (array[0] for array in make_toy_data(T=7, d_model=12, heads=4))
    result = attend(query, key, value)
    colours = rgb_from_values(np.concatenate([value, result.output])[None])[0]

    for row in range(7):
        mixed = kernel("mixColour", result.weights[row], colours[:7].copy())
        np.testing.assert_allclose(mixed, colours[7 + row], rtol=0, atol=1e-13)
        np.testing.assert_allclose(mixed, result.weights[row] @ colours[:7], rtol=0, atol=1e-15)


def test_a_nan_weight_mixes_to_no_paint(kernel):
    mixed = kernel("mixColour", np.array([0.5, np.nan]), np.ones((2, 3)))

    assert np.isnan(mixed).all()


def test_the_largest_magnitude_is_finite_and_visible(kernel):
    matrix = np.array([[1, -7, np.inf], [np.nan, -2, -np.inf]])
    visible = np.array([[1, 0, 1], [1, 1, 1]], bool)

    assert kernel("largestMagnitude", matrix) == 7
    assert kernel("largestMagnitude", matrix, visible) == 2
    assert kernel("largestMagnitude", np.array([np.nan])) == 0


def test_rows_are_relative_to_their_largest_weight(kernel):
    nan = np.nan
    weights = np.array([[0.5, 0.25, 0.25], [0, 0, 0], [nan, nan, nan], [0.5, nan, 0.1]])

    relative = kernel("relativeToRowPeak", weights, {"T": 4, "S": 3})

    expected = [[1, 0.5, 0.5], [0, 0, 0], [nan, nan, nan], [1, nan, 0.2]]
    np.testing.assert_array_equal(relative.reshape(4, 3), expected)


def test_rows_are_relative_to_the_largest_of_the_other_keys(kernel):
    # In the second row what is left is below a millionth: no pattern.
    weights = np.array([[0.75, 0.25, 0.125], [1, 9e-7, 0]])

    relative = kernel("relativeToRowPeak", weights, {"T": 2, "S": 3, "first": 1})

    np.testing.assert_array_equal(relative.reshape(2, 3), [[3, 1, 0.5], [1, 9e-7, 0]])


# -- numbers about a head --------------------------------------------------------------------


def test_entropy_and_distance_by_hand(kernel):
    # One row is sure of its own key, one shares between two and one is empty and left out.
    weights = np.array([[0.5, 0.5], [0, 1], [0, 0]])

    assert kernel("entropy", weights, 3, 2) == pytest.approx(np.log(2) / 2, rel=1e-15)
    assert kernel("meanDistance", weights, 3, 2) == 0.25
    assert kernel("entropy", np.zeros((1, 3)), 1, 3) == 0
    assert kernel("meanDistance", np.zeros((1, 3)), 1, 3) == 0


@laws
@given(heads(types), temperatures, st.sampled_from(EMPTY_ROWS))
def test_entropy_and_distance_are_those_of_analysis(kernel, head, temperature, empty_rows):
    query, key, _, bias, mask = head
    weights = attend(
        query, key, None, bias=bias, mask=mask, temperature=temperature, empty_rows=empty_rows
    ).weights

    # Within the rounding of a sum of at most 81 terms of at most 12 each.
    for name, expected, offset in (
        ("entropy", entropy(weights), []),
        ("meanDistance", mean_distance(weights), []),
        ("meanDistance", mean_distance(weights, 3), [3]),
    ):
        assert kernel(name, weights, *weights.shape, *offset) == pytest.approx(
            expected, rel=1e-13, abs=1e-14, nan_ok=True
        )


# -- what arguments must be ------------------------------------------------------------------

one, two = np.ones(1), np.ones(2)
unit = {"T": 1, "S": 1, "D": 1, "Dv": 1}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("causalMask", 2, 2, {"align": "none"}), "align must be top_left .* got none"),
        (
            ("visiblePairs", {"T": 2, "S": 3, "mask": two}),
            "mask must have 6 entries, or 3 .* got 2",
        ),
        (("blindQueries", two, unit), r"visible must have T\*S = 1 entries; got 2"),
        (("scores", two, one, unit), r"query must have T\*D = 1 entries; got 2"),
        (("scores", one, two, unit), r"key must have S\*D = 1 entries; got 2"),
        (("scores", one, one, {**unit, "bias": two}), "bias must have 1 entries, .* got 2"),
        (("softmaxRows", two, unit), r"scores must have T\*S = 1 entries; got 2"),
        (("softmaxRows", one, {**unit, "visible": two}), "visible must have 1 entries"),
        (("softmaxRows", one, {**unit, "temperature": 0}), "temperature must be .* got 0"),
        (("softmaxRows", one, {**unit, "temperature": np.nan}), "temperature must be .* got NaN"),
        (
            ("softmaxRows", one, {**unit, "temperature": np.inf}),
            "temperature must be .* got Infinity",
        ),
        (
            ("softmaxRows", one, {**unit, "emptyRows": "none"}),
            "emptyRows must be zero, .* got none",
        ),
        (("mix", two, one, unit), r"weights must have T\*S = 1 entries; got 2"),
        (("mix", one, two, unit), r"value must have S\*Dv = 1 entries; got 2"),
        (("addInto", one, two), "part must have length of total = 1 entries; got 2"),
        (("meanOf", []), "parts must hold at least one array; got none"),
        (("pool", one, 1, 2, 1, 1), r"matrix must have rows\*columns = 2 entries; got 1"),
        (("pool", one, 1, 1, 0, 1), "mostRows must be an integer at least 1; got 0"),
        (("pool", two, 1, 2, 1, 1, {"left": 1, "width": 2}), "width .* from 1 to 1; got 2"),
        (("overviewTile", two, one, unit), r"query must have T\*D = 1 entries; got 2"),
        (("mixColour", two, one), r"colours must have S\*3 = 6 entries; got 1"),
        (("entropy", two, 1, 1), r"weights must have T\*S = 1 entries; got 2"),
    ],
)
def test_what_does_not_fit_is_refused_with_rule_and_value(kernel, call, message):
    with pytest.raises(KernelError, match=f"^RangeError: {message}"):
        kernel(*call)


# -- the file ---------------------------------------------------------------------------------


MATHS = (
    "attention",
    "checks",
    "float16",
    "head_numbers",
    "kernels",
    "masks",
    "matrices",
    "overview",
    "plain_kernel",
    "visibility",
)


@pytest.mark.parametrize("name", MATHS)
def test_a_file_of_maths_can_stand_in_any_page_worker_or_process(root, name):
    text = (root / "js" / "core" / f"{name}.js").read_text()

    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    asks = r"\b(require|document|globalThis|self|window\.|fetch|postMessage|console|eval)\b"
    assert re.findall(asks, code) == []
