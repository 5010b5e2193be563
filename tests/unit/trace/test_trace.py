"""Attention calls and traces: what they compute, guarantee and refuse."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime

import numpy as np
import pytest

from attnpanel.trace import AttentionCall, Trace

# Distinct primes, so a swapped axis cannot hide (H = 6 because it must be a multiple of Hkv).
B, H, HKV, T, S, D, DV = 2, 6, 3, 5, 7, 11, 13


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype=dtype)


def flat_call(**changes):
    """Every score is 0, so each query shares its weight equally among the keys it sees."""
    given = {
        "layer": "layer.0",
        "index": 0,
        "query": zeros(B, H, T, D),
        "key": zeros(B, HKV, S, D),
        "value": zeros(B, HKV, S, DV),
    }
    return AttentionCall(**(given | changes))


def test_sizes_are_named_after_their_axes():
    call = flat_call()

    assert (call.batch, call.heads, call.kv_heads) == (2, 6, 3)
    assert (call.query_len, call.key_len, call.head_dim, call.value_dim) == (5, 7, 11, 13)
    assert call.live
    assert flat_call(value=None).value_dim is None


def test_weights_and_output_match_the_calculated_ones():
    # Scores 0 and ln 3 give the weights 1/4 and 3/4, and 8/4 + 4 * 3/4 = 5.
    call = AttentionCall(
        "layer.0",
        0,
        query=np.float32([[[[1.0]]]]),
        key=np.float32([[[[0.0], [np.log(3.0)]]]]),
        value=np.float32([[[[8.0], [4.0]]]]),
        scale=1.0,
    )

    made = call.attention(0)

    # float32 keeps 7 digits; the chain is a handful of roundings.
    np.testing.assert_allclose(made.weights, [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(made.output, [[5.0]], rtol=1e-6)
    np.testing.assert_allclose(made.logsumexp, [np.log(4.0)], rtol=1e-6)
    np.testing.assert_allclose(call.scores(0), [[0.0, np.log(3.0)]], rtol=1e-6)
    # At temperature 1/2 the scores count twice: weights 1/10 and 9/10.
    np.testing.assert_allclose(call.weights(0, temperature=0.5), [[0.1, 0.9]], rtol=1e-6)
    assert {array.dtype for array in (made.scores, made.weights, made.output)} == {np.dtype("f4")}


def test_scale_defaults_to_the_root_of_head_dim():
    call = flat_call(query=zeros(B, H, T, 4), key=zeros(B, HKV, S, 4))

    assert call.scale == 0.5
    assert flat_call(scale=2).scale == 2.0


def test_a_query_head_reads_the_key_head_of_its_group():
    # Two query heads a key head: the value of key head g is g everywhere, in batch entry 1 g + 10.
    group = np.arange(HKV, dtype=np.float32)[None, :, None, None]
    entry = np.float32([0, 10])[:, None, None, None]
    call = flat_call(value=np.broadcast_to(group + entry, (B, HKV, S, DV)))

    outputs = [[call.attention(h, b).output[0, 0] for h in range(H)] for b in range(B)]

    expected = [[0, 0, 1, 1, 2, 2], [10, 10, 11, 11, 12, 12]]
    np.testing.assert_allclose(outputs, expected, rtol=1e-6)  # a mean of seven equal numbers


def test_float16_inputs_are_computed_in_float32():
    # 300 * 300 * 2 = 180000 does not fit in float16.
    big = np.full((1, 1, 1, 2), 300, dtype=np.float16)
    call = AttentionCall("layer.0", 0, query=big, key=big, value=big, scale=1.0)

    made = call.attention(0)

    np.testing.assert_array_equal(made.scores, [[180000.0]])
    assert made.scores.dtype == made.weights.dtype == made.output.dtype == np.float32


@pytest.mark.parametrize(
    ("causal", "q_offset", "seen_by_first", "seen_by_last"),
    [
        ("none", 0, 7, 7),
        ("top_left", 0, 1, 5),  # query i sees j <= i
        ("top_left", 1, 2, 6),  # query i sees j <= i + 1
        ("bottom_right", 0, 3, 7),  # query i sees j <= i + 7 - 5
        ("bottom_right", 4, 3, 7),  # q_offset plays no part
    ],
)
def test_the_causal_rule_determines_how_many_keys_a_query_sees(
    causal, q_offset, seen_by_first, seen_by_last
):
    call = flat_call(causal=causal, q_offset=q_offset)

    visible = call.visible(0)
    weights = call.weights(0)

    counts = np.linspace(seen_by_first, seen_by_last, T)
    np.testing.assert_array_equal(visible, np.arange(S) < counts[:, None])
    np.testing.assert_allclose(weights[0, :seen_by_first], 1 / seen_by_first, rtol=1e-6)
    np.testing.assert_array_equal(weights[0, seen_by_first:], 0.0)


def test_bottom_right_leaves_early_queries_empty_when_queries_outnumber_keys():
    # T = 7, S = 5: query i sees j <= i - 2, so queries 0 and 1 see nothing.
    call = flat_call(
        query=zeros(B, H, S, D),
        key=zeros(B, HKV, T, D),
        value=zeros(B, HKV, T, DV),
        causal="bottom_right",
    )

    np.testing.assert_array_equal(call.visible(0).sum(axis=1), [0, 0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(call.weights(0)[:2], 0.0)
    np.testing.assert_allclose(call.weights(0, empty_rows="uniform")[:2], 0.2, rtol=1e-6)


@pytest.mark.parametrize(
    "shape", [(S,), (T, S), (1, 1, T, S), (B, 1, 1, S), (B, H, T, S), (H, 1, 1), (B, 1, T, 1)]
)
def test_a_mask_of_any_broadcastable_shape_is_read_at_its_own_head_and_batch(shape):
    mask = np.random.default_rng(0).random(shape) < 0.5
    call = flat_call(mask=mask)

    for b, h in ((0, 0), (1, 4)):
        expected = np.broadcast_to(mask, (B, H, T, S))[b, h]
        np.testing.assert_array_equal(call.visible(h, b), expected)
        np.testing.assert_array_equal(call.weights(h, b) > 0, expected)


def test_mask_and_causal_rule_hold_together():
    mask = np.ones((T, S), dtype=bool)
    mask[:, 0] = False
    call = flat_call(mask=mask, causal="top_left")

    np.testing.assert_array_equal(call.visible(0).sum(axis=1), [0, 1, 2, 3, 4])


def test_a_bias_is_added_and_minus_infinity_hides():
    bias = np.zeros((H, 1, S), dtype=np.float16)
    bias[3, 0, 0] = np.float16(2.5)
    bias[3, 0, 1:5] = -np.inf
    call = flat_call(bias=bias)

    np.testing.assert_array_equal(call.scores(3)[:, 0], 2.5)
    np.testing.assert_array_equal(call.visible(3).sum(axis=1), 3)
    np.testing.assert_array_equal(call.weights(3)[:, 1:5], 0.0)
    np.testing.assert_allclose(call.weights(2), 1 / 7, rtol=1e-6)


def test_capped_scores_and_sinks_are_part_of_every_weight():
    # Products of 0 and 3 ln 2 under a cap of 3: 0 and 9/5. The sinks stand at 0 and 9/5.
    call = AttentionCall(
        "layer.0",
        0,
        query=np.float32([[[[1.0]], [[1.0]]]]),
        key=np.float32([[[[0.0], [3 * np.log(2)]]]]),
        value=np.float32([[[[0.0], [1.0]]]]),
        scale=1.0,
        soft_cap=3,
        sinks=np.float32([0.0, 1.8]),
    )
    grown = np.exp(1.8)

    np.testing.assert_allclose(call.scores(0), [[0.0, 1.8]], rtol=1e-6)
    np.testing.assert_allclose(call.weights(0), [[1 / (2 + grown), grown / (2 + grown)]], rtol=1e-6)
    shared = [[1 / (1 + 2 * grown), grown / (1 + 2 * grown)]]
    np.testing.assert_allclose(call.weights(1), shared, rtol=1e-6)
    np.testing.assert_allclose(call.attention(1).output, [[shared[0][1]]], rtol=1e-6)
    only_first = np.array([[True, False]])
    colder = call.weights(1, mask=only_first, temperature=0.5)
    np.testing.assert_allclose(colder, [[1 / (1 + grown**2), 0]], rtol=1e-6)


def test_another_mask_replaces_the_models():
    call = flat_call(causal="top_left")
    only_last = np.zeros((T, S), dtype=bool)
    only_last[:, -1] = True

    np.testing.assert_allclose(call.weights(0, mask=None), 1 / 7, rtol=1e-6)
    np.testing.assert_array_equal(call.weights(0, mask=only_last), only_last)


def test_recorded_weights_are_returned_and_nothing_is_recomputed():
    recorded = np.random.default_rng(1).random((B, H, T, S)).astype(np.float16)
    call = AttentionCall("layer.3", 9, recorded_weights=recorded)

    assert not call.live
    assert (call.heads, call.kv_heads, call.head_dim, call.value_dim) == (6, 6, None, None)
    np.testing.assert_array_equal(call.weights(4, 1), recorded[1, 4].astype(np.float32))
    assert call.weights(4, 1).dtype == np.float32
    with pytest.raises(ValueError, match=r"need query and key; call 9 \(layer 'layer.3'\)"):
        call.scores(0)
    with pytest.raises(ValueError, match=r"got temperature 2.0 and mask 'model'"):
        call.weights(0, temperature=2.0)
    with pytest.raises(ValueError, match=r"got temperature 1.0 and mask None"):
        call.weights(0, mask=None)
    with pytest.raises(ValueError, match=r"got temperature 1.0 and mask 'an array'"):
        call.weights(0, mask=np.ones((T, S), dtype=bool))
    with pytest.raises(ValueError, match=r"head must be in 0..5; got 6"):
        call.weights(6)


def test_later_writes_by_the_caller_do_not_show():
    query, mask = zeros(B, H, T, D), np.ones((T, S), dtype=bool)
    call = flat_call(query=query, mask=mask)
    query[:], mask[:] = 1.0, False

    assert not call.query.any()
    assert call.mask.all()
    for array in (call.query, call.key, call.value, call.mask, call.visible(0)):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1
    with pytest.raises(FrozenInstanceError):
        call.layer = "other"


def test_a_read_only_array_is_shared_not_copied():
    mask = np.ones((T, S), dtype=bool)
    mask.flags.writeable = False

    assert flat_call(mask=mask).mask is mask


def test_a_call_shows_its_sizes_not_its_arrays():
    expected = "AttentionCall('layer.0', index=0, kind='self', B=2, H=6, Hkv=3, T=5, S=7)"
    assert repr(flat_call()) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": 3}, "layer must be text; got int"),
        ({"layer": "a\udc80"}, r"layer must be text that UTF-8 can hold; got 'a\udc80'"),
        ({"index": -1}, "index must be an integer from 0 to 2147483647; got -1"),
        ({"index": True}, "index must be an integer from 0 to 2147483647; got True"),
        ({"q_offset": 1.0}, "q_offset must be an integer from 0 to 2147483647; got 1.0"),
        ({"kind": "own"}, "kind must be one of self, cross; got 'own'"),
        ({"causal": True}, "causal must be one of none, top_left, bottom_right; got True"),
        ({"scale": np.inf}, "scale must be finite; got inf"),
        ({"scale": "1"}, "scale must be a number; got '1'"),
        ({"soft_cap": 0.0}, "soft_cap must be positive, within float32; got 0.0"),
        ({"soft_cap": 1e-99}, "soft_cap must be positive, within float32; got 1e-99"),
        ({"soft_cap": np.nan}, "soft_cap must be finite; got nan"),
        ({"soft_cap": "50"}, "soft_cap must be a number; got '50'"),
        ({"sinks": zeros(HKV)}, "sinks must have shape (H,) = (6,); got (3,)"),
        ({"sinks": [0.0] * H}, "sinks must be a NumPy array of float16 or float32; got list"),
        ({"query": zeros(B, H, T, D, dtype="f8")}, "query must be a NumPy array of float16 or"),
        ({"value": [1.0]}, "value must be a NumPy array of float16 or float32; got list"),
        ({"mask": zeros(T, S)}, "mask must be a NumPy array of bool; got float32"),
        ({"query": None}, "query and key must be given together; got key alone"),
        ({"key": None}, "query and key must be given together; got query alone"),
        ({"query": None, "key": None}, "a call needs query and key, or recorded_weights; got"),
        ({"query": zeros(T, D)}, "query must have four axes, none of them empty; got shape (5, 11"),
        ({"key": zeros(B, HKV, 0, D)}, "key must have four axes, none of them empty; got shape (2"),
        (
            {"key": zeros(B, HKV, S, 3)},
            "query and key must agree in B and D; got (2, 6, 5, 11) and (2, 3, 7, 3)",
        ),
        (
            {"key": zeros(3, HKV, S, D)},
            "query and key must agree in B and D; got (2, 6, 5, 11) and (3, 3, 7, 11)",
        ),
        (
            {"key": zeros(B, 5, S, D), "value": None},
            "query heads must be a multiple of key heads; got 6 and 5",
        ),
        ({"value": zeros(B, H, S, DV)}, "value must have shape (B, Hkv, S, Dv) with B, S = 2, 7"),
        ({"value": zeros(B, HKV, T, DV)}, "value must have shape (B, Hkv, S, Dv) with B, S = 2, 7"),
        (
            {"mask": np.ones((S, T), dtype=bool)},
            "mask must broadcast to (B, H, T, S) = (2, 6, 5, 7); got shape (7, 5)",
        ),
        ({"bias": zeros(1, 1, 1, 1, 1)}, "bias must broadcast to (B, H, T, S) = (2, 6, 5, 7); got"),
        ({"recorded_weights": zeros(B, H, S, T)}, "recorded_weights must have shape (B, H, T, S)"),
    ],
)
def test_what_does_not_fit_is_refused_with_rule_and_value(changes, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        flat_call(**changes)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"head": 6}, "head must be in 0..5; got 6"),
        ({"head": -7}, "head must be in 0..5; got -7"),
        ({"batch": 2}, "batch must be in 0..1; got 2"),
        ({"temperature": 0.0}, "temperature"),
        ({"mask": "all"}, "mask must be one of model; got 'all'"),
        ({"mask": np.ones(S, dtype=bool)}, "mask must have shape (T, S) = (5, 7); got (7,)"),
        ({"mask": zeros(T, S)}, "mask must be a NumPy array of bool; got float32"),
        ({"empty_rows": "skip"}, "empty_rows"),
    ],
)
def test_a_head_that_does_not_exist_or_an_odd_option_is_refused(asked, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        flat_call().attention(**({"head": 0} | asked))


def test_a_trace_keeps_calls_in_order_and_grows():
    first = flat_call()
    trace = Trace([first], source="toy", model="m", created="2026-01-02T03:04:05+00:00")
    second = replace(first, layer="layer.1", index=1)
    trace.append(second)

    assert trace.calls == (first, second)
    assert trace.layers == ("layer.0", "layer.1")
    assert (trace.source, trace.model) == ("toy", "m")
    assert trace.created == "2026-01-02T03:04:05+00:00"


def test_a_trace_is_created_now_in_utc():
    before = datetime.now(UTC).replace(microsecond=0)
    created = Trace().created

    assert created.endswith("+00:00")
    assert before <= datetime.fromisoformat(created) <= datetime.now(UTC)


def test_key_tokens_are_the_query_tokens_unless_given():
    assert Trace(query_tokens=[["a", "b"]]).key_tokens == (("a", "b"),)
    assert Trace(query_tokens=[["a", "b"]], key_tokens=[["c"]]).key_tokens == (("c",),)


def labels(trace, call, batch=0):
    queries, keys = trace.tokens_of(call, batch)
    return "".join(queries), "".join(keys)


def test_tokens_of_a_call_are_positions_where_none_fit():
    call = flat_call(kind="cross")

    assert labels(Trace(), call) == ("01234", "0123456")
    both = Trace(query_tokens=[list("xxxxx"), list("abcde")], key_tokens=[()])
    assert labels(both, call, 1) == ("abcde", "0123456")
    cross = Trace(query_tokens=[list("abcde")], key_tokens=[list("ABCDEFG")])
    assert labels(cross, call) == ("abcde", "ABCDEFG")
    assert labels(cross, call, batch=1) == ("01234", "0123456")


def test_self_attention_takes_both_labels_from_the_row_that_fits():
    decoder = flat_call(key=zeros(B, HKV, T, D), value=None)
    encoder = flat_call(query=zeros(B, H, S, D))
    trace = Trace(query_tokens=[list("abcde")], key_tokens=[list("ABCDEFG")])

    assert labels(trace, decoder) == ("abcde", "abcde")
    assert labels(trace, encoder) == ("ABCDEFG", "ABCDEFG")
    # Two texts of one length: it is ambiguous which one is meant, so neither is used.
    unclear = Trace(query_tokens=[list("abcde")], key_tokens=[list("ABCDE")])
    assert labels(unclear, decoder) == ("01234", "01234")


def test_a_cached_step_is_labelled_with_its_part_of_the_text():
    # Two queries at positions 5 and 6 of a nine-token text, seven keys in the cache.
    step = flat_call(query=zeros(B, H, 2, D), q_offset=5, causal="top_left")

    assert labels(Trace(query_tokens=[list("abcdefghi")]), step) == ("fg", "abcdefg")
    assert labels(Trace(query_tokens=[list("abc")]), step) == ("01", "0123456")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_tokens": "abc"}, "query_tokens must hold one sequence of tokens per batch entry"),
        ({"query_tokens": ["abc"]}, "query_tokens must hold one sequence of tokens per batch"),
        ({"key_tokens": [["a"], ["b", 3]]}, "key_tokens[1][1] must be text; got int"),
        ({"query_tokens": [["\ud800"]]}, r"query_tokens[0][0] must be text that UTF-8 can hold"),
        ({"source": None}, "source must be text; got NoneType"),
        ({"model": b"m"}, "model must be text; got bytes"),
        ({"created": "yesterday"}, "created must be an ISO 8601 time with its zone; got 'yesterd"),
        ({"created": "2026-01-02T03:04:05"}, "created must be an ISO 8601 time with its zone"),
        ({"calls": ["call"]}, "a trace holds AttentionCall; got str"),
    ],
)
def test_a_trace_refuses_what_it_cannot_hold(changes, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        Trace(**changes)
