"""Trace.from_weights: every shape in which people hold attention weights."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

import attnpanel as ap
from attnpanel.trace import Trace

torch = pytest.importorskip("torch")
# Distinct primes, so that a swapped axis cannot hide.
L, B, H, T, S = 2, 3, 5, 7, 11
LETTERS = tuple("abcdefghijk")


def softmax_weights(*shape, seed=0):
    scores = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)


def causal_weights(batch, heads, length, seed=0):
    weights = np.tril(softmax_weights(batch, heads, length, length, seed=seed))
    return weights / weights.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    "convert",
    [
        lambda weights: weights,
        lambda weights: weights.astype(np.float64),
        lambda weights: [torch.tensor(layer) for layer in weights],
        lambda weights: tuple(torch.tensor(layer, requires_grad=True) for layer in weights),
        lambda weights: torch.tensor(weights, dtype=torch.float64),
        lambda weights: weights.tolist(),
        lambda weights: {f"layer.{i}": layer for i, layer in enumerate(weights)},
    ],
    ids=["array", "float64", "tensors", "grad", "one tensor", "lists", "mapping"],
)
def test_each_container_gives_the_same_trace(convert):
    weights = softmax_weights(L, B, H, T, T)

    trace = Trace.from_weights(convert(weights))

    assert trace.layers == ("layer.0", "layer.1")
    for call, layer in zip(trace, weights, strict=True):
        np.testing.assert_allclose(call.weights(), layer, rtol=1e-6)


@pytest.mark.parametrize("axes", [2, 3, 4])
def test_missing_axes_are_one_sequence_and_one_head(axes):
    weights = softmax_weights(B, H, T, T)
    given = weights[(0,) * (4 - axes)]

    call = Trace.from_weights([given])[0]

    np.testing.assert_array_equal(call.weights(0), weights[0, 0])
    assert call.batch == (B if axes == 4 else 1)
    assert call.heads == (H if axes > 2 else 1)


def test_sixteen_bits_stay_sixteen_bits_where_numpy_has_them():
    weights = torch.tensor(softmax_weights(1, H, T, T))

    assert Trace.from_weights(weights.half())[0].recorded_weights.dtype == np.float16
    wide = Trace.from_weights(weights.bfloat16())[0]
    assert wide.recorded_weights.dtype == np.float32
    np.testing.assert_array_equal(wide.recorded_weights, weights.bfloat16().float().numpy())


def test_what_the_caller_changes_later_does_not_change_the_trace():
    weights = softmax_weights(1, H, T, T)
    tensor = torch.tensor(weights)
    traces = Trace.from_weights(weights), Trace.from_weights(tensor)
    before = weights.copy()
    weights[:] = 0
    tensor.zero_()

    for trace in traces:
        np.testing.assert_array_equal(trace[0].weights(), before)


def test_encoder_and_decoder_of_one_length_keep_their_tokens():
    own, cross = softmax_weights(1, H, T, T), softmax_weights(1, H, T, T, seed=1)

    trace = Trace.from_weights(
        [own],
        LETTERS[:T],
        key_tokens=[c.upper() for c in LETTERS[:T]],
        cross=[cross],
        encoder=[own],
    )

    assert trace.layers == ("encoder.layer.0", "decoder.layer.0", "decoder.layer.0.cross")
    assert [call.kind for call in trace] == ["self", "self", "cross"]
    assert [[row[0] for row in trace.tokens_of(call)] for call in trace] == [
        ["A", "A"],
        ["a", "a"],
        ["a", "A"],
    ]


def test_key_tokens_alone_make_cross_attention():
    trace = Trace.from_weights(softmax_weights(H, T, S), LETTERS[:T], key_tokens=LETTERS)

    assert trace[0].kind == "cross"
    assert trace.tokens_of(trace[0]) == (LETTERS[:T], LETTERS)


def test_self_attention_of_the_encoder_beside_cross_attention_is_told_by_its_length():
    trace = Trace.from_weights(
        softmax_weights(H, S, S), LETTERS[:T], key_tokens=LETTERS, cross=softmax_weights(H, T, S)
    )

    assert trace.layers == ("encoder.layer.0", "decoder.layer.0.cross")
    assert trace.tokens_of(trace[0]) == (LETTERS, LETTERS)


def test_a_cached_step_keeps_its_place_among_the_keys():
    trace = Trace.from_weights(softmax_weights(H, 1, S), LETTERS)

    assert trace[0].kind == "self"
    assert trace.tokens_of(trace[0]) == (("k",), LETTERS)


def test_layers_without_attention_keep_their_numbers():
    layer = softmax_weights(1, H, T, T)

    assert Trace.from_weights([None, layer, None, layer]).layers == ("layer.1", "layer.3")


@pytest.mark.parametrize("static", [False, True])
def test_the_steps_of_a_generation_are_one_call_a_layer(static):
    whole = [causal_weights(B, H, T, seed=seed) for seed in range(L)]
    bounds = [(0, 4), (4, 5), (5, 7)]
    steps = [
        [torch.tensor(layer[:, :, start:end, : T if static else end]) for layer in whole]
        for start, end in bounds
    ]

    trace = Trace.from_weights(steps)

    assert len(trace) == L
    for call, layer in zip(trace, whole, strict=True):
        np.testing.assert_array_equal(call.weights(), layer)


def test_returned_beams_are_followed_through_their_ancestors():
    # Step t's row r is filled with a number that names it, so a wrong ancestor shows.
    beams = np.array([[0, 1, 0], [0, 0, -1]])
    steps = [[np.full((2, 1, 1, t + 1), (10 * t + 1) / 100)] for t in range(3)]
    for step in steps:
        step[0][1] += 0.04
    output = SimpleNamespace(attentions=steps, beam_indices=torch.tensor(beams))

    weights = Trace.from_weights(output)[0].weights()[:, 0]

    np.testing.assert_allclose(weights[0], [[0.01, 0, 0], [0.15, 0.15, 0], [0.21, 0.21, 0.21]])
    np.testing.assert_allclose(weights[1, :2], [[0.01, 0, 0], [0.11, 0.11, 0]])
    assert np.isnan(weights[1, 2]).all()


def test_sampled_sequences_share_the_encoder_of_their_prompt():
    # Of two prompts two sequences each: the encoder ran before the batch was repeated.
    encoder = softmax_weights(2, H, S, S)
    output = SimpleNamespace(
        sequences=torch.zeros(4, 1),
        encoder_attentions=(encoder,),
        decoder_attentions=[(softmax_weights(4, H, 1, t + 1),) for t in range(2)],
        cross_attentions=[(softmax_weights(4, H, 1, S),) for _ in range(2)],
    )

    trace = Trace.from_weights(output)

    np.testing.assert_array_equal(trace["encoder.layer.0"].weights(), encoder[[0, 0, 1, 1]])
    np.testing.assert_array_equal([call.batch for call in trace], [4, 4, 4])


def test_one_line_opens_an_explorer_writes_a_report_and_analyses(tmp_path):
    attentions = [torch.tensor(softmax_weights(1, H, T, T, seed=seed)) for seed in range(L)]

    explorer = ap.Explorer(ap.Trace.from_weights(attentions, LETTERS[:T]), layer=1, head=2)
    path = ap.save_report(ap.Trace.from_weights(attentions, LETTERS[:T]), tmp_path / "mine.html")
    heads = ap.Trace.from_weights(attentions, LETTERS[:T]).analyze()

    np.testing.assert_array_equal(explorer.state.selection.weights, attentions[1][0, 2].numpy())
    assert path.stat().st_size > 1_000_000
    assert len(heads) == L * H
    assert heads["entropy"].between(0, np.log(T)).all()


def test_a_trace_file_keeps_recorded_weights(tmp_path):
    trace = Trace.from_weights(softmax_weights(1, H, T, T), LETTERS[:T])
    trace.save(tmp_path / "a.safetensors")

    loaded = Trace.load(tmp_path / "a.safetensors")

    np.testing.assert_array_equal(loaded[0].weights(), trace[0].weights())
    assert loaded.query_tokens == trace.query_tokens


OK = softmax_weights(1, H, T, T)


@pytest.mark.parametrize(
    ("attentions", "options", "message"),
    [
        ((), {}, "attentions must hold at least one layer's weights"),
        ((None, None), {}, "attentions must hold weights; got None for each of 2 layers"),
        (SimpleNamespace(last_hidden_state=1), {}, "attentions must hold at least one layer's"),
        (np.zeros(3), {}, "attentions of layer.0 must have axes (B, H, T, S), (H, T, S) or (T, S)"),
        (np.full((2, 2), -np.inf), {}, "weights of layer.0 must be finite or nan; got -inf"),
        (OK, {"tokens": ["a"] * 6}, "tokens must be one for each of 7 queries and 7 keys"),
        (OK, {"tokens": "abcdefg"}, "tokens must be a sequence of strings, one a token; got the"),
        (OK, {"tokens": [3] * T}, "tokens must be strings, one a token; got int"),
        (OK, {"tokens": torch.arange(T)}, "tokens must be strings, one a token; got Tensor"),
        (
            OK,
            {"tokens": [["a"] * T] * 2},
            "tokens must have one row for each of 1 sequences; got 2",
        ),
        (OK, {"tokens": ["a"] * T, "key_tokens": ["b"] * 3}, "tokens must be one for each of 7"),
        (OK, {"layers": ["a", "b"]}, "layers must name each of 1 layers; got 2 names"),
        ([["a"]], {}, "attentions of layer.0 must be an array of real numbers"),
        (
            torch.empty(1, 1, 2, 2, device="meta"),
            {},
            "attentions of layer.0 must be an ordinary tensor; it is on the meta",
        ),
        ([[OK], [OK, OK]], {}, "attentions must have the same layers in every step; got [1, 2]"),
        ([[OK], [OK]], {}, "attentions of layer.0 must hold in each step the rows that it adds"),
        (
            softmax_weights(B, H, T, T),
            {"cross": softmax_weights(1, H, T, S)},
            "attentions, cross and encoder must have the same B; got attentions 3, cross 1",
        ),
    ],
)
def test_what_is_no_weights_is_refused_with_rule_and_value(attentions, options, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        Trace.from_weights(attentions, **options)


@pytest.mark.parametrize("odd", [OK * 3, OK - 0.5])
def test_rows_that_are_no_softmax_are_kept_and_warned_of(odd):
    with pytest.warns(UserWarning, match="should be at least 0 and sum to at most 1"):
        trace = Trace.from_weights(odd)

    np.testing.assert_array_equal(trace[0].weights(), odd)


def test_hidden_queries_and_sinks_need_no_warning():
    weights = OK.copy()
    weights[0, 0, 0], weights[0, 1, 1], weights[0, 2] = 0, np.nan, weights[0, 2] / 2

    Trace.from_weights(weights)  # a warning is an error in the tests


def test_queries_and_keys_give_what_sdpa_gives():
    query, key, value = torch.randn(3, B, H, T, 13, generator=torch.manual_seed(0)).unbind()
    mask = torch.rand(B, 1, T, T) > 0.3
    mask[..., 0] = True
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)

    trace = Trace.from_qkv(query, key, value, mask=mask)
    swapped = Trace.from_qkv(
        [query.mT.mT.transpose(1, 2)],
        [key.transpose(1, 2)],
        [value.transpose(1, 2)],
        mask=mask,
        layout="BTHD",
    )

    # float32: a handful of roundings.
    np.testing.assert_allclose(trace[0].attention(4, 2).output, expected[2, 4], atol=1e-5)
    np.testing.assert_allclose(swapped[0].weights(), trace[0].weights(), atol=1e-6)


def test_a_mask_of_numbers_is_added_and_each_layer_may_have_its_own():
    query = np.zeros((1, H, T, 3))
    hidden = np.where(np.arange(T) < 3, 0, -np.inf).astype(np.float32)

    trace = Trace.from_qkv([query, query], [query, query], mask=[hidden, None], causal="top_left")

    np.testing.assert_allclose(trace[0].weights(0)[-1, :4], [1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-6)
    np.testing.assert_allclose(trace[1].weights(0)[-1], np.full(T, 1 / T), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": np.ones((T, T), int)}, "mask must be bool (True = may attend) or added"),
        ({"mask": np.zeros((T, T)), "bias": np.zeros((T, T))}, "mask must be bool where a bias"),
        ({"key": {"y": np.zeros((1, H, T, 3))}}, "query, key and value must name the same layers"),
        ({"mask": [None, None]}, "mask must be one for all layers or 1; got 2"),
        ({"causal": "yes"}, "causal must be one of none, top_left, bottom_right"),
        ({"layout": "HTD"}, "layout must be one of BHTD, BTHD"),
        ({"tokens": ["a"]}, "tokens must be one for each of 7 queries"),
    ],
)
def test_what_does_not_fit_queries_and_keys_is_refused(options, message):
    query = {"x": np.zeros((1, H, T, 3))}
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        Trace.from_qkv(query, **{"key": query, **options})


def test_a_mask_of_lists_is_one_for_all_layers():
    query, mask = np.zeros((1, H, T, 3)), np.tri(T, dtype=bool)

    trace = Trace.from_qkv([query, query], [query, query], mask=mask.tolist())

    np.testing.assert_allclose(trace[1].weights(0), mask / mask.sum(1, keepdims=True), rtol=1e-6)
