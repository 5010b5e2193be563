"""Laws that attention obeys for every input, tried on inputs hypothesis makes up."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from attnpanel.attention.mask_table import MASKS
from attnpanel.attention.masks import make_mask, visible_keys
from attnpanel.attention.reference import attend, softmax
from tests.mask_values import mask_values

# The screen's range of temperatures and beyond what any model scores.
temperatures = st.floats(0.01, 100)
entries = st.floats(-30, 30, allow_subnormal=False)
ALIGNS = st.sampled_from(["top_left", "bottom_right"])
lengths = st.integers(1, 6)

laws = settings(max_examples=60, deadline=None)


@st.composite
def calls(draw, entries=entries):
    """Query, key, value, and a mask that may leave rows empty."""
    query_len, key_len, head_dim, value_dim = (draw(lengths) for _ in range(4))
    kv_heads, groups = draw(st.integers(1, 2)), draw(st.integers(1, 2))

    def array(*shape):
        return draw(hnp.arrays(np.float64, shape, elements=entries))

    query = array(kv_heads * groups, query_len, head_dim)
    key = array(kv_heads, key_len, head_dim)
    value = array(kv_heads, key_len, value_dim)
    return query, key, value, draw(hnp.arrays(bool, (query_len, key_len)))


@laws
@given(calls(), temperatures)
def test_rows_sum_to_one_or_are_empty_and_zero(call, temperature):
    query, key, value, mask = call

    weights = attend(query, key, value, mask=mask, temperature=temperature).weights

    assert (weights >= 0).all()
    expected = np.broadcast_to(mask.any(axis=-1), weights.shape[:-1])
    np.testing.assert_allclose(weights.sum(axis=-1), expected, rtol=1e-14)


@laws
@given(calls(), temperatures)
def test_a_masked_pair_weighs_exactly_nothing(call, temperature):
    query, key, value, mask = call

    weights = attend(query, key, value, mask=mask, temperature=temperature).weights

    np.testing.assert_array_equal(weights[:, ~mask], 0)


@laws
@given(calls(), temperatures, st.data())
def test_what_a_hidden_key_holds_changes_nothing(call, temperature, data):
    query, key, value, mask = call
    hidden = data.draw(st.integers(0, key.shape[1] - 1))
    mask[:, hidden] = False
    before = attend(query, key, value, mask=mask, temperature=temperature)
    key, value = key.copy(), value.copy()
    key[:, hidden], value[:, hidden] = data.draw(entries), data.draw(entries)

    after = attend(query, key, value, mask=mask, temperature=temperature)

    np.testing.assert_array_equal(after.weights, before.weights)
    np.testing.assert_array_equal(after.output, before.output)


@laws
@given(calls(), temperatures, st.data())
def test_permuting_keys_permutes_the_weights_and_keeps_the_output(call, temperature, data):
    query, key, value, mask = call
    order = data.draw(st.permutations(range(key.shape[1])))

    plain = attend(query, key, value, mask=mask, temperature=temperature)
    shuffled = attend(
        query, key[:, order], value[:, order], mask=mask[:, order], temperature=temperature
    )

    # The matrix product may round a score of up to 1e4 differently in another place of the
    # matrix: 1e-12, which temperature 0.01 makes a relative 1e-10 of a weight.
    np.testing.assert_allclose(shuffled.weights, plain.weights[..., order], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(shuffled.output, plain.output, rtol=0, atol=1e-7)


@laws
@given(calls(), st.data())
def test_permuting_queries_permutes_the_rows(call, data):
    query, key, value, mask = call
    order = data.draw(st.permutations(range(query.shape[1])))

    plain = attend(query, key, value, mask=mask)
    shuffled = attend(query[:, order], key, value, mask=mask[order])

    np.testing.assert_allclose(shuffled.weights, plain.weights[:, order], rtol=1e-9, atol=1e-12)


@laws
@given(calls(), st.floats(-1e3, 1e3))
def test_adding_a_number_to_a_row_of_scores_moves_only_the_logsumexp(call, shift):
    query, key, value, mask = call

    plain = attend(query, key, value, mask=mask)
    shifted = attend(query, key, value, mask=mask, bias=np.full((1, 1), shift))

    # Adding up to 1e3 to scores up to 1e4 rounds them by 1e-12.
    np.testing.assert_allclose(shifted.weights, plain.weights, rtol=1e-11, atol=1e-300)
    seen = mask.any(axis=-1)
    moved = shifted.logsumexp[:, seen] - plain.logsumexp[:, seen]
    np.testing.assert_allclose(moved, shift, rtol=0, atol=1e-11)
    assert (shifted.logsumexp[:, ~seen] == -np.inf).all()


@laws
@given(calls(), temperatures)
def test_weights_are_the_exponential_of_score_less_logsumexp(call, temperature):
    query, key, value, mask = call

    result = attend(query, key, value, mask=mask, temperature=temperature)

    exponent = result.scores / temperature - result.logsumexp[..., None]
    expected = np.exp(exponent, where=np.isfinite(exponent) & mask, out=np.zeros_like(exponent))
    # A quotient of up to 1e6 carries an error of 1e-10, and exp turns it into a relative one.
    np.testing.assert_allclose(result.weights, expected, rtol=1e-8, atol=1e-300)


@laws
@given(calls(), temperatures)
def test_temperature_is_the_same_as_dividing_scale_and_bias(call, temperature):
    query, key, value, mask = call

    by_temperature = attend(query, key, value, mask=mask, scale=1.0, temperature=temperature)
    by_scale = attend(query, key, value, mask=mask, scale=1 / temperature)

    np.testing.assert_allclose(by_scale.weights, by_temperature.weights, rtol=1e-8, atol=1e-12)


@laws
@given(calls())
def test_outputs_stay_within_the_values_a_query_sees(call):
    query, key, value, mask = call

    result = attend(query, key, value, mask=mask)

    groups = query.shape[0] // key.shape[0]
    for head, row in np.ndindex(query.shape[:2]):
        if mask[row].any():
            seen = value[head // groups][mask[row]]
            # Weights sum to 1 within a few roundings, and values are at most 30.
            assert (result.output[head, row] <= seen.max(axis=0) + 1e-13).all()
            assert (result.output[head, row] >= seen.min(axis=0) - 1e-13).all()


@laws
@given(calls(entries=st.floats(-1e150, 1e150)), temperatures)
def test_scores_near_the_end_of_float64_give_finite_weights(call, temperature):
    query, key, value, mask = call

    result = attend(query, key, value, mask=mask, temperature=temperature)

    assert np.isfinite(result.weights).all()
    assert np.isfinite(result.output).all()


@laws
@given(calls(entries=st.floats(-20, 20, width=16)))
def test_float16_inputs_give_what_the_same_numbers_give_in_float32(call):
    *arrays, mask = call

    half = attend(*(array.astype(np.float16) for array in arrays), mask=mask)
    single = attend(*(array.astype(np.float32) for array in arrays), mask=mask)

    np.testing.assert_array_equal(half.weights, single.weights, strict=True)
    np.testing.assert_array_equal(half.output, single.output, strict=True)


@laws
@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=1, max_dims=3), elements=entries),
    temperatures,
    st.data(),
)
def test_softmax_sums_to_one_along_any_axis_and_keeps_the_order(x, temperature, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))

    weights = softmax(x, axis=axis, temperature=temperature)

    np.testing.assert_allclose(weights.sum(axis=axis), 1, rtol=1e-14)
    by_score = np.take_along_axis(weights, x.argsort(axis=axis), axis=axis)
    assert (np.diff(by_score, axis=axis) >= 0).all()


@laws
@given(st.data(), st.sampled_from(MASKS), lengths, lengths, ALIGNS)
def test_every_mask_is_a_boolean_matrix_of_the_lengths_asked_for(
    data, row, query_len, key_len, align
):
    values = data.draw(mask_values(row, query_len, key_len))
    mask = make_mask(row.kind, query_len, key_len, align=align, **values)

    assert mask.shape == (query_len, key_len)
    assert mask.dtype == np.bool_


@laws
@given(st.data(), st.sampled_from(MASKS), lengths, lengths, ALIGNS)
def test_each_query_sees_the_interval_of_its_kind_and_as_many_pairs_are_counted(
    data, row, query_len, key_len, align
):
    values = data.draw(mask_values(row, query_len, key_len))
    rule = visible_keys(row.kind, query_len, key_len, align=align, **values)
    mask = make_mask(row.kind, query_len, key_len, align=align, **values)

    first, stop = rule.interval()
    key_index = np.arange(key_len)
    inside = (first[:, None] <= key_index) & (key_index < stop[:, None])
    if row.only is None:
        np.testing.assert_array_equal(mask, inside)
    assert not (mask & ~inside).any()
    assert rule.pairs() == mask.sum()


@laws
@given(st.data(), st.sampled_from(MASKS), lengths, lengths, ALIGNS)
def test_some_queries_of_a_mask_are_its_rows(data, row, query_len, key_len, align):
    values = data.draw(mask_values(row, query_len, key_len))
    rule = visible_keys(row.kind, query_len, key_len, align=align, **values)
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, query_len)] * 2)))

    np.testing.assert_array_equal(rule.mask(range(start, stop)), rule.mask()[start:stop])


@laws
@given(lengths, lengths)
def test_bottom_right_causal_is_top_left_turned_round_and_inverted(query_len, key_len):
    # Turning (i, j) into (T-1-i, S-1-j) turns j <= i + S - T into j >= i.
    bottom_right = make_mask("causal", query_len, key_len, align="bottom_right")
    top_left = make_mask("causal", query_len, key_len)

    diagonal = np.eye(query_len, key_len, dtype=bool)
    np.testing.assert_array_equal(bottom_right[::-1, ::-1], ~top_left | diagonal)


@laws
@given(st.integers(1, 8), st.integers(1, 9))
def test_a_causal_sliding_window_shows_each_query_its_last_few_keys(length, window):
    mask = make_mask("window", length, window=window) & make_mask("causal", length)

    np.testing.assert_array_equal(mask.sum(axis=-1), np.minimum(np.arange(1, length + 1), window))
