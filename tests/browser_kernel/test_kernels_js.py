"""Each kernel that pages compute by: its error on 32-bit floats, and the rules that all share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnpanel.attention.reference import attend
from tests.browser_kernel.conftest import KernelError
from tests.browser_kernel.heads import (
    EMPTY_ROWS,
    caps,
    heads,
    laws,
    normal,
    singles,
    sinks,
    sizes,
    temperatures,
)

KERNELS = ["javascript", "wasm-simd", "wasm-relaxed-simd"]
UNIT = 2.0**-24  # half the distance from 1 to the next number of 32 bits


@pytest.fixture(scope="module", params=KERNELS)
def single(kernel, request):
    """The page's maths, computed by one of the kernels."""
    try:
        kernel("chooseKernel", [request.param])
    except KernelError as error:
        pytest.skip(f"this Node.js lacks a kernel: {error}")
    yield kernel
    kernel("chooseKernel")


def wide(array):
    return None if array is None else array.astype(float)


def score_error(query, key, bias):
    """What rounding may move each score by: one unit a term of its sum, and four for the rest."""
    query, key = wide(query), wide(key)
    terms = np.abs(query) @ np.abs(key.T) * key.shape[1] ** -0.5
    added = 0 if bias is None else np.where(np.isfinite(bias), np.abs(bias), 0)
    return UNIT * ((key.shape[1] + 4) * terms + 2 * added)


@laws
@given(heads(singles), temperatures, st.sampled_from(EMPTY_ROWS), caps, sinks)
def test_a_kernel_is_right_but_for_rounding_and_exact_in_its_rules(
    single, head, temperature, empty_rows, cap, sink
):
    query, key, value, bias, mask = head
    options = {"temperature": temperature, "emptyRows": empty_rows, "visible": mask, "bias": bias}
    options |= {"softCap": cap, "sink": sink}
    rules = {"temperature": temperature, "empty_rows": empty_rows, "soft_cap": cap, "sinks": sink}
    exact = attend(wide(query), wide(key), wide(value), bias=wide(bias), mask=mask, **rules)

    result = single("attend", query, key, value, {**sizes(query, key, value), **options})

    weights = result["weights"].reshape(exact.weights.shape)
    hidden = np.isneginf(exact.scores) if mask is None else np.isneginf(exact.scores) | ~mask
    blind = hidden.all(axis=-1)
    np.testing.assert_array_equal(result["empty"], blind)
    np.testing.assert_array_equal(np.isneginf(result["scores"]), np.isneginf(exact.scores).ravel())
    np.testing.assert_array_equal(np.isneginf(result["logsumexp"]), np.isneginf(exact.logsumexp))
    assert not weights[~blind][hidden[~blind]].any()
    # Where a row sees no key nothing is computed, only stored.
    np.testing.assert_array_equal(weights[blind], exact.weights[blind].astype(np.float32))
    # The distance from the row's largest score is rounded twice more; e^d - 1 is what an error d
    # of scores does to weights. Values are at most 3.
    moved = score_error(query, key, bias).max()
    reach = np.abs(exact.scores, where=np.isfinite(exact.scores), out=np.zeros_like(exact.scores))
    distance = 2 * max(reach.max(), abs(sink or 0))
    limit = np.expm1(min(2 * (moved + 2 * UNIT * distance) / temperature, 50)) + 8 * UNIT
    np.testing.assert_allclose(weights, exact.weights, rtol=0, atol=limit)
    np.testing.assert_allclose(
        result["output"].reshape(exact.output.shape), exact.output, rtol=0, atol=10 * 3 * limit
    )


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("temperature", [0.1, 1, 10])
@pytest.mark.parametrize("query_len", [7, 300, 521])
def test_many_keys_are_within_6e_7_of_the_exact_weights_and_2e_6_of_the_output(
    single, query_len, temperature
):
    # More keys than are summed at once, more rows than are computed at once, the last of each not
    # full. Scores reach 6 and err by 1e-6, which temperature divides.
    shapes = {"query": (query_len, 61), "key": (1031, 61), "value": (1031, 67)}
    arrays = [normal(*shape, seed=len(name)) for name, shape in shapes.items()]
    mask = np.tri(query_len, 1031, 200, dtype=bool)
    mask[3::5] = False
    exact = attend(*map(wide, arrays), mask=mask, temperature=temperature)

    options = {**sizes(*arrays), "visible": mask, "temperature": temperature}
    result = single("attend", *arrays, options)

    close = {"rtol": 0, "atol": 6e-7 / min(temperature, 1)}
    weights = result["weights"].reshape(mask.shape)
    np.testing.assert_allclose(weights, exact.weights, **close)
    assert not weights[~mask].any()
    np.testing.assert_array_equal(result["empty"], ~mask.any(axis=-1))
    np.testing.assert_allclose(weights.sum(axis=-1), mask.any(axis=-1), rtol=0, atol=4e-7)
    np.testing.assert_allclose(
        result["logsumexp"], exact.logsumexp, rtol=2e-7, atol=2e-6 / min(temperature, 1)
    )
    np.testing.assert_allclose(
        result["output"].reshape(query_len, 67),
        exact.output,
        rtol=0,
        atol=2e-6 / min(temperature, 1),
    )


def test_the_exponential_is_right_from_0_to_where_it_vanishes(single):
    # Each row holds 0 and x, so that its weights' ratio is exp(x).
    x = -np.linspace(0, 110, 11003, dtype=np.float32)
    scores = np.stack([np.zeros_like(x), x], axis=-1)

    weights = single("softmaxRows", scores, {"T": len(x), "S": 2})["weights"].reshape(-1, 2)

    expected = np.exp(wide(x)) / (1 + np.exp(wide(x)))
    stored = x > -87.3  # below, a number of 32 bits has fewer digits, and may be 0
    np.testing.assert_allclose(weights[stored, 1], expected[stored], rtol=4 * UNIT)
    np.testing.assert_allclose(weights[~stored, 1], expected[~stored], rtol=0, atol=1.3e-38)


@pytest.mark.parametrize("temperature", [1e-300, 1e-40, 1e-30, 1e30, 1e40, 1e300])
def test_a_temperature_beyond_32_bits_has_its_limit(single, temperature):
    scores = np.array([1, 3, 3, -np.inf], np.float32)

    result = single("softmaxRows", scores, {"T": 1, "S": 4, "temperature": temperature})

    limit = [0, 0.5, 0.5, 0] if temperature < 1 else np.float32([1 / 3, 1 / 3, 1 / 3, 0])
    np.testing.assert_array_equal(result["weights"], limit)


@pytest.mark.parametrize("place", range(9))
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_no_number_spoils_its_own_row_only(single, bad, place):
    scores = np.zeros((3, 9), np.float32)
    scores[1, place] = bad

    result = single("softmaxRows", scores, {"T": 3, "S": 9})

    weights = result["weights"].reshape(3, 9)
    np.testing.assert_array_equal(weights[[0, 2]], np.full((2, 9), np.float32(1 / 9)))
    assert np.isnan(weights[1]).all()
    np.testing.assert_array_equal(np.isnan(result["logsumexp"]), [False, True, False])


def test_products_without_terms_are_0(single):
    none = np.zeros(0, np.float32)

    scores = single("scores", none, none, {"T": 2, "S": 3, "D": 0, "scale": 1})

    np.testing.assert_array_equal(scores, np.zeros(6))


def test_an_unknown_kernel_is_refused_with_those_there_are(kernel):
    message = "^RangeError: a kernel must be one of wasm-relaxed-simd, .*; got wasm-simb"
    with pytest.raises(KernelError, match=message):
        kernel("chooseKernel", ["wasm-simb"])
