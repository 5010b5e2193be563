"""attention.js gives the numbers of attend and make_mask, and obeys their laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from attnpanel.attention.reference import attend
from attnpanel.trace.call import AttentionCall
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
    types,
)


def test_every_half_is_read_exactly(kernel):
    bits = np.arange(2**16, dtype=np.uint16)

    floats = kernel("halfToFloat", bits)

    expected = bits.view(np.float16).astype(np.float32)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(floats), ~known)
    # As bits, so that -0 is told from 0.
    np.testing.assert_array_equal(
        floats.view(np.uint32)[known], expected.view(np.uint32)[known], strict=True
    )


# -- who may attend to whom ------------------------------------------------------------------


@laws
@given(heads(singles), st.sampled_from(["none", "top_left", "bottom_right"]), st.data())
def test_what_a_call_shows_is_what_it_shows_in_python(kernel, head, causal, data):
    query, key, _, bias, mask = head
    call = AttentionCall(
        "x",
        0,
        query=query[None, None],
        key=key[None, None],
        bias=bias,
        mask=mask,
        causal=causal,
        q_offset=data.draw(st.integers(0, 5)),
    )
    lengths_of = {"T": call.query_len, "S": call.key_len}

    seen = kernel(
        "visiblePairs",
        {**lengths_of, "causal": causal, "qOffset": call.q_offset, "mask": mask, "bias": bias},
    )

    expected = call.visible(0)
    np.testing.assert_array_equal(seen.reshape(expected.shape), expected)
    blind = kernel("blindQueries", seen, lengths_of)
    np.testing.assert_array_equal(blind, ~expected.any(axis=-1))
    if causal != "none" and mask is None and bias is None:
        rule = {"align": causal, "qOffset": call.q_offset}
        np.testing.assert_array_equal(kernel("causalMask", *expected.shape, rule), seen)


def test_one_row_of_a_mask_stands_for_all_queries(kernel):
    keys = np.array([True, False, True])

    seen = kernel("visiblePairs", {"T": 2, "S": 3, "mask": keys})

    np.testing.assert_array_equal(seen, [1, 0, 1, 1, 0, 1])


# -- score, softmax, mix ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_keys_share_weight_as_the_scores_say(kernel, dtype):
    # Scores are 0 and ln 3, so the weights are 1/4 and 3/4 and their normaliser is 4.
    query, key = np.array([1], dtype), np.array([0, np.log(3)], dtype)
    value = np.array([8, 4], dtype)

    result = kernel("attend", query, key, value, {"T": 1, "S": 2, "D": 1, "Dv": 1})

    limit = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(result["weights"], [0.25, 0.75], rtol=limit)
    np.testing.assert_allclose(result["logsumexp"], [np.log(4)], rtol=limit)
    np.testing.assert_allclose(result["output"], [5], rtol=limit)
    assert {result[name].dtype for name in ("scores", "weights", "logsumexp", "output")} == {
        np.dtype(dtype)
    }


@pytest.mark.parametrize("query_len", range(1, 6))
def test_products_of_whole_numbers_are_exact_at_every_size_of_block(kernel, query_len):
    # Small whole numbers are summed without rounding, so that nothing hides a lost row or column.
    for key_len in range(1, 10):
        query = np.arange(query_len * 3.0).reshape(query_len, 3) - 4
        key = (np.arange(key_len * 3.0).reshape(key_len, 3) - 7) ** 2

        scores = kernel("scores", query, key, {"T": query_len, "S": key_len, "D": 3, "scale": 2})
        mixed = kernel("mix", query, key[:3].T.copy(), {"T": query_len, "S": 3, "Dv": len(key[:3])})

        np.testing.assert_array_equal(scores.reshape(query_len, key_len), 2 * query @ key.T)
        np.testing.assert_array_equal(mixed.reshape(query_len, -1), query @ key[:3].T)


@laws
@given(heads(), temperatures, st.sampled_from(EMPTY_ROWS), caps, sinks)
def test_float64_agrees_with_attend_in_every_step(kernel, head, temperature, empty_rows, cap, sink):
    query, key, value, bias, mask = head
    options = {"temperature": temperature, "emptyRows": empty_rows, "visible": mask, "sink": sink}
    of = sizes(query, key, value)
    rules = {"temperature": temperature, "empty_rows": empty_rows, "soft_cap": cap, "sinks": sink}
    expected = attend(query, key, value, bias=bias, mask=mask, **rules)

    scores = kernel("scores", query, key, {**of, "bias": bias, "softCap": cap})
    softened = kernel("softmaxRows", expected.scores, {**of, **options})
    output = kernel("mix", expected.weights, value, of)

    # Each step from what NumPy's step before gave: scores, weights and values are within 30, 1
    # and 27, summed over at most 9, and temperature has no error of its own to magnify.
    close = {"rtol": 1e-13, "atol": 1e-13}
    np.testing.assert_allclose(scores.reshape(expected.scores.shape), expected.scores, **close)
    np.testing.assert_allclose(
        softened["weights"].reshape(expected.weights.shape), expected.weights, **close
    )
    np.testing.assert_allclose(softened["logsumexp"], expected.logsumexp, **close)
    seen = expected.scores if mask is None else np.where(mask, expected.scores, -np.inf)
    np.testing.assert_array_equal(softened["empty"], np.isneginf(seen).all(axis=-1))
    np.testing.assert_allclose(output.reshape(expected.output.shape), expected.output, **close)


@laws
@given(heads(), temperatures, st.sampled_from(EMPTY_ROWS), caps, sinks)
def test_float64_agrees_with_attend_from_end_to_end(
    kernel, head, temperature, empty_rows, cap, sink
):
    query, key, value, bias, mask = head
    options = {"temperature": temperature, "emptyRows": empty_rows, "visible": mask, "bias": bias}
    options |= {"softCap": cap, "sink": sink}
    rules = {"temperature": temperature, "empty_rows": empty_rows, "soft_cap": cap, "sinks": sink}
    expected = attend(query, key, value, bias=bias, mask=mask, **rules)

    result = kernel("attend", query, key, value, {**sizes(query, key, value), **options})

    # A temperature below 1 magnifies what the two products round differently.
    limit = 1e-13 * max(1, 1 / temperature)
    for name, factor in (("weights", 1), ("output", 10)):
        step = getattr(expected, name)
        np.testing.assert_allclose(
            result[name].reshape(step.shape), step, rtol=0, atol=factor * limit
        )


@pytest.mark.parametrize("temperature", [0.5, 1, 10])
def test_halves_give_weights_within_2e_3_of_what_they_were_rounded_from(kernel, temperature):
    query, key = normal(61, 32, seed=1), normal(47, 32, seed=2)
    exact = attend(query.astype(float), key.astype(float), None, temperature=temperature)

    read = [kernel("halfToFloat", x.astype(np.float16).view(np.uint16)) for x in (query, key)]
    result = kernel("attend", *read, None, {"T": 61, "S": 47, "D": 32, "temperature": temperature})

    error = np.abs(result["weights"].reshape(61, 47) - exact.weights).max()
    assert 0 < error <= 2e-3


@laws
@given(heads(types), temperatures, st.sampled_from(EMPTY_ROWS), st.data())
def test_a_single_row_has_the_very_numbers_of_its_matrix(
    kernel, head, temperature, empty_rows, data
):
    query, key, value, bias, mask = head
    of = sizes(query, key, value)
    row = data.draw(st.integers(0, of["T"] - 1))
    options = {"temperature": temperature, "emptyRows": empty_rows}
    whole = kernel("attend", query, key, value, {**of, **options, "bias": bias, "visible": mask})

    seen, added = (None if rows is None else rows[row] for rows in (mask, bias))
    alone = kernel(
        "attend",
        query[row],
        key,
        value,
        {**of, **options, "T": 1, "bias": added, "visible": seen},
    )

    for name, step in whole.items():
        np.testing.assert_array_equal(alone[name], step.reshape(of["T"], -1)[row], strict=True)


@laws
@given(heads(types), st.data())
def test_one_row_of_bias_or_mask_stands_for_all_queries(kernel, head, data):
    query, key, value, _, _ = head
    of = sizes(query, key, value)
    entries = st.floats(-3, 3, width=32) | st.just(-np.inf)
    bias = data.draw(hnp.arrays(query.dtype, of["S"], elements=entries))
    mask = data.draw(hnp.arrays(bool, of["S"]))
    repeated = {"bias": np.tile(bias, (of["T"], 1)), "visible": np.tile(mask, (of["T"], 1))}

    shared = kernel("attend", query, key, value, {**of, "bias": bias, "visible": mask})
    full = kernel("attend", query, key, value, {**of, **repeated})

    for name, step in full.items():
        np.testing.assert_array_equal(shared[name], step)


@laws
@given(heads(types), temperatures, st.data())
def test_what_a_hidden_key_holds_changes_nothing(kernel, head, temperature, data):
    query, key, value, _, mask = head
    of = sizes(query, key, value)
    mask = np.ones((of["T"], of["S"]), bool) if mask is None else mask
    hidden = data.draw(st.integers(0, of["S"] - 1))
    mask[:, hidden] = False
    options = {**of, "temperature": temperature, "visible": mask}
    before = kernel("attend", query, key, value, options)
    key[hidden], value[hidden] = 1e4, -1e4

    after = kernel("attend", query, key, value, options)

    assert not before["weights"].reshape(mask.shape)[~mask].any()
    for name in ("weights", "logsumexp", "output"):
        np.testing.assert_array_equal(after[name], before[name])


@laws
@given(heads(), temperatures, st.floats(-1e3, 1e3))
def test_adding_a_number_to_all_scores_moves_only_the_logsumexp(kernel, head, temperature, shift):
    query, key, value, _, _ = head
    options = {**sizes(query, key, value), "temperature": temperature}
    scores = kernel("scores", query, key, options)

    plain = kernel("softmaxRows", scores, options)
    shifted = kernel("softmaxRows", scores + shift, options)

    # Adding up to 1e3 rounds a score by 1e-13, which temperature 0.01 makes 1e-11.
    np.testing.assert_allclose(shifted["weights"], plain["weights"], rtol=0, atol=1e-11)
    np.testing.assert_allclose(
        shifted["logsumexp"] - plain["logsumexp"], shift / temperature, rtol=1e-12, atol=1e-10
    )


def test_the_exponential_is_right_from_0_to_where_it_vanishes(kernel):
    # Each row holds 0 and x, so that its weights' ratio is exp(x); the step below 1e-300 is where
    # float64 itself has fewer digits.
    x = -np.concatenate(
        [np.linspace(0, 1, 1009), np.linspace(1, 800, 9001), [745.13, 745.19, 745.21]]
    )
    scores = np.stack([np.zeros_like(x), x], axis=-1)

    weights = kernel("softmaxRows", scores, {"T": len(x), "S": 2})["weights"].reshape(-1, 2)

    expected = np.exp(x) / (1 + np.exp(x))
    normal_range = x > -690
    np.testing.assert_allclose(weights[normal_range, 1], expected[normal_range], rtol=2e-15)
    np.testing.assert_allclose(
        weights[~normal_range, 1], expected[~normal_range], rtol=0, atol=1e-310
    )


@pytest.mark.parametrize(("policy", "weight"), [("zero", 0.0), ("uniform", 0.25), ("nan", np.nan)])
def test_a_query_that_sees_no_key_follows_the_policy(kernel, policy, weight):
    # Row 0 is hidden by the mask, row 1 by its scores; row 2 sees one key.
    scores = np.zeros((3, 4))
    scores[1] = -np.inf
    visible = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]], dtype=bool)

    result = kernel(
        "softmaxRows", scores, {"T": 3, "S": 4, "visible": visible, "emptyRows": policy}
    )

    np.testing.assert_array_equal(result["weights"].reshape(3, 4)[:2], np.full((2, 4), weight))
    np.testing.assert_array_equal(result["weights"][8:], [0, 1, 0, 0])
    np.testing.assert_array_equal(result["logsumexp"], [-np.inf, -np.inf, 0])
    np.testing.assert_array_equal(result["empty"], [1, 1, 0])


def test_a_logsumexp_below_the_range_is_no_empty_row(kernel):
    lowest = np.full(2, np.finfo(np.float32).min)

    result = kernel("softmaxRows", lowest, {"T": 1, "S": 2, "temperature": 0.01})

    np.testing.assert_array_equal(result["weights"], [0.5, 0.5])
    assert result["logsumexp"] == [-np.inf]
    assert not result["empty"].any()


def test_a_nan_score_spoils_its_own_row_only(kernel):
    scores = np.zeros((3, 5))
    scores[1, 3] = np.nan

    weights = kernel("softmaxRows", scores, {"T": 3, "S": 5})["weights"].reshape(3, 5)

    np.testing.assert_array_equal(weights[[0, 2]], np.full((2, 5), 0.2))
    assert np.isnan(weights[1]).all()


def test_scores_come_in_the_type_that_is_asked_for(kernel):
    query, key = np.array([1 / 3], np.float32), np.array([1 / 3], np.float32)
    of = {"T": 1, "S": 1, "D": 1}

    wide = kernel("scores", query, key, of, np.float64)

    assert wide.dtype == np.float64
    assert wide[0] == float(query[0]) * float(key[0])
