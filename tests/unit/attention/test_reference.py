"""The reference of attention, by hand and as loops."""

import doctest
import math

import numpy as np
import pytest

from attnpanel.attention import reference as attention
from attnpanel.attention.masks import make_mask
from attnpanel.attention.reference import attend
from tests.unit.attention.arrays import DV, B, D, H, S, T, call_arrays, draws


def test_the_examples_in_the_docstrings_hold():
    results = doctest.testmod(attention, extraglobs={"np": np})

    assert results.attempted > 0
    assert results.failed == 0


def test_two_keys_share_weight_as_the_scores_say():
    # Scores are 0 and ln 3, so the weights are 1/4 and 3/4, and the normaliser is ln(1 + 3).
    query = np.array([[[[1.0]]]])
    key = np.array([[[[0.0], [math.log(3)]]]])
    value = np.array([[[[8.0], [4.0]]]])

    result = attend(query, key, value, scale=1.0)

    np.testing.assert_allclose(result.scores, [[[[0, math.log(3)]]]], rtol=1e-15)
    np.testing.assert_allclose(result.weights, [[[[0.25, 0.75]]]], rtol=1e-15)
    np.testing.assert_allclose(result.logsumexp, [[[math.log(4)]]], rtol=1e-15)
    np.testing.assert_allclose(result.output, [[[[5.0]]]], rtol=1e-15)


def test_temperature_divides_the_scores_and_leaves_them_as_they_are():
    # At temperature 1/2 the score ln 3 counts as ln 9: weights 1/10 and 9/10, normaliser ln 10.
    result = attend([[1.0]], [[0.0], [math.log(3)]], None, scale=1.0, temperature=0.5)

    np.testing.assert_allclose(result.scores, [[0, math.log(3)]], rtol=1e-15)
    np.testing.assert_allclose(result.weights, [[0.1, 0.9]], rtol=1e-15)
    np.testing.assert_allclose(result.logsumexp, [math.log(10)], rtol=1e-15)


def test_scale_defaults_to_one_over_the_root_of_the_head_dim():
    # q.k = 4 over 4 channels, and 4 / sqrt(4) = 2.
    result = attend(np.ones((1, 4)), np.ones((1, 4)), None)

    np.testing.assert_array_equal(result.scores, [[2.0]])


def test_bias_is_added_to_the_scores_after_scaling():
    # 3 * (1 * 2) + 0.5 = 6.5
    result = attend([[1.0]], [[2.0]], None, scale=3.0, bias=[[0.5]])

    np.testing.assert_array_equal(result.scores, [[6.5]])


def test_a_bias_of_minus_infinity_hides_a_key():
    result = attend([[0.0]], np.zeros((3, 1)), None, bias=[[0.0, -np.inf, 0.0]])

    np.testing.assert_array_equal(result.weights, [[0.5, 0.0, 0.5]])


def test_a_soft_cap_bends_the_scaled_products_and_leaves_the_bias():
    # tanh(ln 2) = (4 - 1) / (4 + 1): the product 3 * ln 2 capped at 3 is 9/5, and the bias adds 10.
    result = attend(
        [[1.0]], [[3 * math.log(2)], [-1e9]], None, scale=1.0, soft_cap=3.0, bias=[10, 0]
    )

    np.testing.assert_allclose(result.scores, [[11.8, -3.0]], rtol=1e-15)


def test_a_sink_takes_its_part_of_every_row_and_gives_no_value():
    # Scores 0 and ln 3, a sink of ln 4: of 1 + 3 + 4 it takes one half. At temperature 1/2 the
    # three count as 1, 9 and 16.
    rows = {"query": [[1.0]], "key": [[0.0], [math.log(3)]], "value": [[8.0], [4.0]], "scale": 1.0}
    result = attend(**rows, sinks=math.log(4))
    colder = attend(**rows, sinks=math.log(4), temperature=0.5)

    np.testing.assert_allclose(result.weights, [[1 / 8, 3 / 8]], rtol=1e-15)
    np.testing.assert_allclose(result.logsumexp, [math.log(8)], rtol=1e-15)
    np.testing.assert_allclose(result.output, [[2.5]], rtol=1e-15)
    np.testing.assert_allclose(colder.weights, [[1 / 26, 9 / 26]], rtol=1e-14)


@pytest.mark.parametrize("policy", ["zero", "uniform", "nan"])
def test_a_sink_takes_the_whole_of_a_row_that_sees_no_key(policy):
    result = attend(
        [[1.0]], [[1.0], [2.0]], None, mask=[[False, False]], sinks=3.0, empty_rows=policy
    )

    np.testing.assert_array_equal(result.weights, [[0.0, 0.0]])
    np.testing.assert_array_equal(result.logsumexp, [3.0])


def test_each_head_has_its_own_sink():
    query, key, _ = call_arrays()
    sinks = np.array([-1.0, 0.0, 2.0])

    together = attend(query, key, None, sinks=sinks)

    for head, sink in enumerate(sinks):
        alone = attend(query[:, head], key[:, head], None, sinks=sink)
        np.testing.assert_allclose(together.weights[:, head], alone.weights, rtol=1e-13)


def test_a_sink_far_above_all_scores_overflows_nothing():
    result = attend([[1.0]], [[1.0], [2.0]], None, sinks=1e30, temperature=0.01)

    np.testing.assert_array_equal(result.weights, [[0.0, 0.0]])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"soft_cap": 0.0}, r"soft_cap must be positive and finite in float64; got 0.0"),
        ({"soft_cap": math.inf}, r"soft_cap must be positive and finite in float64; got inf"),
        ({"sinks": np.zeros(2)}, r"sinks must broadcast to \(…, H\) = \(2, 3\); got shape \(2,\)"),
        ({"sinks": math.nan}, r"sinks must be finite; got nan"),
        ({"sinks": True}, r"sinks must hold real numbers; got dtype bool"),
    ],
)
def test_a_cap_or_sink_that_means_nothing_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        attend(*call_arrays(), **wrong)


def test_every_result_has_the_shape_its_docstring_promises():
    result = attend(*call_arrays())

    assert result.scores.shape == (B, H, T, S)
    assert result.weights.shape == (B, H, T, S)
    assert result.logsumexp.shape == (B, H, T)
    assert result.output.shape == (B, H, T, DV)


def test_every_batch_and_head_equals_the_formula_written_as_loops():
    query, key, value = call_arrays()
    result = attend(query, key, value, temperature=1.7)

    for b, h, t in np.ndindex(B, H, T):
        grown = [
            math.exp(sum(query[b, h, t] * key[b, h, s]) / math.sqrt(D) / 1.7) for s in range(S)
        ]
        weights = [part / sum(grown) for part in grown]
        # A dozen float64 roundings in each sum.
        np.testing.assert_allclose(result.weights[b, h, t], weights, rtol=1e-13)
        np.testing.assert_allclose(result.logsumexp[b, h, t], math.log(sum(grown)), rtol=1e-13)
        mixed = sum(weight * row for weight, row in zip(weights, value[b, h], strict=True))
        np.testing.assert_allclose(result.output[b, h, t], mixed, rtol=1e-12)


@pytest.mark.parametrize("lead", [(), (H,), (B, H), (2, B, H)])
def test_any_number_of_leading_axes_is_taken(lead):
    query, key, value = draws((*lead, T, D), (*lead, S, D), (*lead, S, DV))

    result = attend(query, key, value)

    assert result.output.shape == (*lead, T, DV)
    first = (0,) * len(lead)
    alone = attend(query[first], key[first], value[first])
    # One matrix product may sum in another order than a stack of them.
    np.testing.assert_allclose(result.output[first], alone.output, rtol=1e-12)


@pytest.mark.parametrize("kv_heads", [1, 2, 3])
def test_key_heads_serve_consecutive_query_heads(kv_heads):
    query, key, value = draws((B, 6, T, D), (B, kv_heads, S, D), (B, kv_heads, S, DV))

    result = attend(query, key, value)

    for head in range(6):
        served = head // (6 // kv_heads)
        alone = attend(query[:, head], key[:, served], value[:, served])
        np.testing.assert_allclose(result.weights[:, head], alone.weights, rtol=1e-12)
        np.testing.assert_allclose(result.output[:, head], alone.output, rtol=1e-11)


def test_a_masked_key_gets_exactly_no_weight_and_does_not_count_in_the_normaliser():
    # Three equal scores of 0, one of them hidden: halves, and a normaliser of ln 2.
    result = attend([[0.0]], np.zeros((3, 1)), None, mask=[[True, False, True]])

    np.testing.assert_array_equal(result.weights, [[0.5, 0.0, 0.5]])
    np.testing.assert_allclose(result.logsumexp, [math.log(2)], rtol=1e-15)
    np.testing.assert_array_equal(result.scores, np.zeros((1, 3)))


def test_masks_broadcast_over_batch_and_heads():
    query, key, value = call_arrays()
    mask = make_mask("causal", T, S)

    per_pair = attend(query, key, value, mask=mask)
    in_full = attend(query, key, value, mask=np.broadcast_to(mask, (B, H, T, S)))

    np.testing.assert_array_equal(per_pair.weights, in_full.weights)
    np.testing.assert_array_equal(per_pair.weights[..., ~mask], 0)


@pytest.mark.parametrize(
    ("policy", "weight", "output"),
    [("zero", 0.0, 0.0), ("uniform", 1 / 3, 4.0), ("nan", np.nan, np.nan)],
)
def test_a_query_that_sees_no_key_follows_the_named_policy(policy, weight, output):
    # Uniform takes all three keys, hidden or not: (2 + 4 + 6) / 3 = 4.
    mask = np.array([[False] * 3, [True, False, False]])

    result = attend(
        np.ones((2, 1)), np.ones((3, 1)), [[2.0], [4.0], [6.0]], mask=mask, empty_rows=policy
    )

    np.testing.assert_array_equal(result.weights, [[weight] * 3, [1, 0, 0]])
    np.testing.assert_allclose(result.output, [[output], [2.0]], rtol=1e-15)
    assert result.logsumexp[0] == -np.inf


def test_a_row_emptied_by_the_bias_is_an_empty_row():
    result = attend([[1.0]], [[1.0]], None, bias=[[-np.inf]], empty_rows="uniform")

    np.testing.assert_array_equal(result.weights, [[1.0]])


@pytest.mark.parametrize(
    ("given", "computed"),
    [("f2", "f4"), ("f4", "f4"), ("f8", "f8"), ("i4", "f8"), ("u1", "f8")],
)
@pytest.mark.parametrize("policy", ["zero", "uniform", "nan"])
def test_results_keep_the_inputs_own_floating_type(given, computed, policy):
    query, key, value = (np.ones(shape, given) for shape in ((T, D), (S, D), (S, DV)))

    result = attend(
        query,
        key,
        value,
        mask=make_mask("padding", T, S, pad_len=2),
        bias=np.zeros((T, S)),
        scale=np.float64(0.5),
        temperature=np.float64(2.0),
        empty_rows=policy,
    )

    for array in (result.scores, result.weights, result.logsumexp, result.output):
        assert array.dtype == np.dtype(computed)


def test_float16_inputs_are_multiplied_in_float32():
    # 300 * 300 = 90000 is beyond float16's largest number, 65504.
    result = attend(np.float16([[300]]), np.float16([[300]]), None, scale=1.0)

    np.testing.assert_array_equal(result.scores, [[90000.0]])


def test_without_values_there_is_no_output():
    assert attend(np.ones((T, D)), np.ones((S, D)), None).output is None


def test_the_inputs_are_left_as_they_were():
    arrays = call_arrays()
    before = [array.copy() for array in arrays]
    bias = np.zeros((T, S))

    attend(*arrays, bias=bias, mask=make_mask("none", T, S), empty_rows="nan")

    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(bias, 0)
