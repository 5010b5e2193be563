"""attention.js gives the numbers of attend, make_mask, select and pool, and obeys their laws."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from attnpanel.analysis import entropy, mean_distance
from attnpanel.attention.masks import make_mask
from attnpanel.attention.reference import attend
from attnpanel.explorer.selection import overview_tile, pool, select
from attnpanel.models.toy import make_toy_data, rgb_from_values
from attnpanel.trace.call import AttentionCall
from tests.browser_kernel.conftest import KernelError

laws = settings(max_examples=60, deadline=None)

EMPTY_ROWS = ["zero", "uniform", "nan"]
# Up to 9: every remainder of the blocks of two rows by four columns, and more than one block.
lengths = st.integers(1, 9)
temperatures = st.floats(0.01, 100)
caps = st.none() | st.floats(0.1, 100)
sinks = st.none() | st.floats(-5, 5)
singles, doubles = st.just(np.float32), st.just(np.float64)
types = st.sampled_from([np.float64, np.float32])


@st.composite
def heads(draw, types=doubles):
    """Query, key, value, a bias with -inf in it or None, and a mask that may empty rows or None."""
    dtype = draw(types)
    query_len, key_len, head_dim, value_dim = (draw(lengths) for _ in range(4))
    entries = st.floats(-3, 3, width=32)

    def array(*shape):
        return draw(hnp.arrays(dtype, shape, elements=entries))

    pairs = (query_len, key_len)
    with_hidden = entries | st.just(-np.inf)
    bias = draw(st.none() | hnp.arrays(dtype, pairs, elements=with_hidden))
    mask = draw(st.none() | hnp.arrays(bool, pairs))
    return (
        array(query_len, head_dim),
        array(key_len, head_dim),
        array(key_len, value_dim),
        bias,
        mask,
    )


def sizes(query, key, value):
    (query_len, head_dim), (key_len, value_dim) = query.shape, value.shape
    return {"T": query_len, "S": key_len, "D": head_dim, "Dv": value_dim}


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# -- stored numbers ------------------------------------------------------------------------


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


# -- the mean over heads ---------------------------------------------------------------------


def gqa_call(**options):
    """Six query heads that read three key heads, on 11 queries and 13 keys."""
    arrays = {"query": (1, 6, 11, 5), "key": (1, 3, 13, 5), "value": (1, 3, 13, 7)}
    made = {name: normal(*shape, seed=len(name)) for name, shape in arrays.items()}
    return AttentionCall("layer", 0, **made, **options)


@pytest.mark.parametrize("empty_rows", EMPTY_ROWS)
def test_the_mean_over_heads_is_that_of_select(kernel, empty_rows):
    mask = np.random.default_rng(3).random((1, 6, 11, 13)) < 0.4
    mask[:, :, 4] = False
    call = gqa_call(mask=mask)
    expected = select(call, None, 0, mask=None, temperature=0.7, empty_rows=empty_rows)
    of = {"T": 11, "S": 13, "D": 5, "Dv": 7}
    options = {**of, "temperature": 0.7, "emptyRows": empty_rows}
    heads_of = [
        kernel(
            "attend",
            call.query[0, head],
            call.key[0, head // 2],
            call.value[0, head // 2],
            {**options, "visible": mask[0, head]},
        )
        for head in range(6)
    ]

    for name in ("scores", "weights", "output"):
        mean = kernel("meanOf", [head[name] for head in heads_of])
        step = getattr(expected, name)
        np.testing.assert_allclose(mean.reshape(step.shape), step, rtol=0, atol=2e-6)
    visible = mask[0, 0]
    for head in range(1, 6):
        visible = kernel("addInto", visible, mask[0, head], changes=True)
    np.testing.assert_array_equal(visible.reshape(11, 13), expected.visible)
    np.testing.assert_array_equal(
        kernel("blindQueries", visible, {"T": 11, "S": 13}), expected.empty
    )


def test_a_mean_of_the_same_parts_is_the_same_number(kernel):
    call = gqa_call()
    parts = [call.weights(head) for head in range(6)]

    mean = kernel("meanOf", parts)
    total = parts[0]
    for part in parts[1:]:
        total = kernel("addInto", total, part, changes=True)

    expected = select(call, None, 0, mask=None, temperature=1, empty_rows="zero").weights.ravel()
    np.testing.assert_array_equal(mean, expected, strict=True)
    np.testing.assert_array_equal(kernel("divideBy", total, 6, changes=True), expected, strict=True)


def test_adding_masks_shows_what_either_shows(kernel):
    either = kernel(
        "addInto", np.array([0, 0, 1, 1], bool), np.array([0, 1, 0, 1], bool), changes=True
    )

    np.testing.assert_array_equal(either, [0, 1, 1, 1])


# -- pictures --------------------------------------------------------------------------------


def pooled(kernel, *args):
    result = kernel("pool", *args)
    return result["values"].reshape(result["rows"], result["columns"])


def test_a_block_shows_its_largest_value_and_nan_only_where_all_are_nan(kernel):
    nan = np.nan
    matrix = np.array([[1, nan, nan, nan, -2], [3, 2, nan, nan, -np.inf], [nan, 7, 0, nan, nan]])

    small = pooled(kernel, matrix, 3, 5, 2, 3)

    np.testing.assert_array_equal(small, [[3, nan, -2], [7, 0, nan]])


def test_what_lies_outside_the_part_is_not_looked_at(kernel):
    matrix = np.arange(20.0).reshape(4, 5)

    # Rows 1 and 2, columns 1 to 3, in blocks of 2 by 2: the last block is one column wide.
    small = pooled(kernel, matrix, 4, 5, 1, 2, {"top": 1, "left": 1, "height": 2, "width": 3})

    np.testing.assert_array_equal(small, [[12, 13]])


@laws
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.floats(-3, 3, width=32) | st.sampled_from([np.nan, -np.inf]),
    ),
    lengths,
    lengths,
    st.data(),
)
def test_pool_is_that_of_selection_for_any_part_and_mask(kernel, matrix, rows, columns, data):
    top, left = (data.draw(st.integers(0, length - 1)) for length in matrix.shape)
    height = data.draw(st.integers(1, matrix.shape[0] - top))
    width = data.draw(st.integers(1, matrix.shape[1] - left))
    visible = data.draw(st.none() | hnp.arrays(bool, matrix.shape))
    whole_rows = data.draw(st.none() | hnp.arrays(bool, matrix.shape[0]))
    part = {"top": top, "left": left, "height": height, "width": width}

    small = pooled(
        kernel,
        matrix,
        *matrix.shape,
        rows,
        columns,
        {**part, "visible": visible, "wholeRows": whole_rows},
    )

    shown = np.ones(matrix.shape, bool) if visible is None else visible
    if whole_rows is not None:
        shown = shown | whole_rows[:, None]
    cut = np.where(shown, matrix, np.nan)[top : top + height, left : left + width]
    np.testing.assert_array_equal(small, pool(cut.astype(matrix.dtype), rows, columns), strict=True)


def test_the_overview_reads_the_queries_that_python_reads(kernel):
    for query_len in [*range(1, 400), 512, 1000, 1024, 2048, 4097]:
        expected = np.unique(np.linspace(0, query_len - 1, 96).round().astype(int))
        np.testing.assert_array_equal(kernel("overviewRows", query_len), expected)


@pytest.mark.parametrize("shared_bias", [True, False])
@pytest.mark.parametrize(("query_len", "key_len"), [(1, 1), (23, 24), (97, 50), (201, 131)])
def test_an_overview_tile_is_that_of_selection(kernel, query_len, key_len, shared_bias):
    bias = normal(1 if shared_bias else query_len, key_len, seed=3)
    bias[:, ::3] = -np.inf
    mask = make_mask("padding", query_len, key_len, pad_len=min(query_len, key_len) - 1)
    call = AttentionCall(
        "layer",
        0,
        query=normal(1, 1, query_len, 7, seed=1),
        key=normal(1, 1, key_len, 7, seed=2),
        bias=bias,
        scale=0.3,  # not the 1 / sqrt(7) it would be if it were left out
        soft_cap=2.0,
        sinks=np.array([1.5], dtype=np.float32),
    )
    options = {"T": query_len, "S": key_len, "D": 7, "bias": bias, "visible": mask}

    small = kernel(
        "overviewTile",
        call.query,
        call.key,
        {**options, "scale": call.scale, "softCap": 2, "sink": 1.5, "temperature": 0.3},
    )

    expected = overview_tile(call, 0, 0, mask=mask, temperature=0.3, empty_rows="zero")
    # Scores reach 10 in float32, and a temperature of 0.3 triples what they are rounded by.
    np.testing.assert_allclose(
        small["values"].reshape(small["rows"], small["columns"]), expected, rtol=0, atol=4e-6
    )


def test_a_nan_row_is_dark_in_an_overview_tile(kernel):
    blind = {"T": 1, "S": 1, "D": 1, "visible": np.zeros(1, bool), "emptyRows": "nan"}

    assert kernel("overviewTile", np.ones(1), np.ones(1), blind)["values"].tolist() == [0]


def test_an_overview_tile_of_recorded_weights_is_that_of_selection(kernel):
    weights = np.abs(normal(1, 1, 201, 131))
    weights[0, 0, 5] = np.nan
    call = AttentionCall("layer", 0, recorded_weights=weights)

    small = kernel("overviewTileOfWeights", weights, {"T": 201, "S": 131})

    expected = overview_tile(call, 0, 0, mask=None, temperature=1, empty_rows="zero")
    np.testing.assert_array_equal(small["values"].reshape(expected.shape), expected)


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
