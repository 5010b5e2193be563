"""What a capture records is what the model computed, and the model does not notice."""

from __future__ import annotations

import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch.nn.attention.bias import causal_lower_right  # noqa: E402

from attnpanel import capture  # noqa: E402
from attnpanel.sources.capture_masks import compact, factor_causal, split  # noqa: E402

SIZES = {"vocab_size": 61, "hidden_size": 24, "num_hidden_layers": 2, "intermediate_size": 20}
# Sums of 24 float32 products in another order than the model's; the issue's own limit.
ATOL = 1e-5
FUSED = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)
PADDINGS = {
    "none": torch.ones(2, 7, dtype=torch.long),
    "right": torch.tensor([[1] * 7, [1] * 5 + [0] * 2]),
    "left": torch.tensor([[1] * 7, [0] * 3 + [1] * 4]),
}


def build(family, attention):
    heads = {"num_attention_heads": 4}
    config, model = {
        "bert": lambda: (transformers.BertConfig(**SIZES, **heads), transformers.BertModel),
        "gpt2": lambda: (
            transformers.GPT2Config(vocab_size=61, n_embd=24, n_layer=2, n_head=4, n_positions=16),
            transformers.GPT2Model,
        ),
        "llama": lambda: (
            transformers.LlamaConfig(**SIZES, **heads, num_key_value_heads=2),
            transformers.LlamaModel,
        ),
        "t5": lambda: (
            transformers.T5Config(
                vocab_size=61, d_model=24, d_kv=6, d_ff=20, num_layers=2, num_heads=4
            ),
            transformers.T5Model,
        ),
    }[family]()
    torch.manual_seed(5)
    made = model._from_config(config, attn_implementation=attention).eval()
    for parameter in made.parameters():  # fresh weights give nearly uniform attention
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.3)
    return made


def inputs_for(family, padding):
    torch.manual_seed(7)
    inputs = {"input_ids": torch.randint(2, 61, (2, 7)), "attention_mask": PADDINGS[padding]}
    if family == "t5":
        inputs["decoder_input_ids"] = torch.randint(2, 61, (2, 5))
    return inputs


def run(model, inputs, **options):
    with torch.no_grad():
        return model(**inputs, **options)


def own_weights(family, outputs):
    """The model's own weights in the order of its calls."""
    if family != "t5":
        return list(outputs.attentions)
    decoder = zip(outputs.decoder_attentions, outputs.cross_attentions, strict=True)
    return [*outputs.encoder_attentions, *(one for pair in decoder for one in pair)]


def recomputed(call):
    return np.stack(
        [[call.weights(h, b) for h in range(call.heads)] for b in range(call.batch)]
    )  # (B, H, T, S)


def assert_weights(call, expected, rows=None):
    """Every head's weights; `rows` (B, T) leaves out rows that the model itself leaves open."""
    ours, expected = recomputed(call), expected.detach().numpy()
    if rows is not None:
        ours, expected = (x.swapaxes(1, 2)[rows.numpy().astype(bool)] for x in (ours, expected))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=ATOL)


def last_hidden(outputs):
    return outputs.last_hidden_state


# Hugging Face models


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "t5"])
def test_recomputed_weights_are_the_models_own(family, attention, padding):
    inputs = inputs_for(family, padding)
    eager = build(family, "eager")
    own = own_weights(family, run(eager, inputs, output_attentions=True))
    model = build(family, attention)

    with capture(model) as trace:
        run(model, inputs)

    assert len(trace.calls) == len(own)
    for call, expected in zip(trace.calls, own, strict=True):
        assert call.live
        # SDPA gives a padded query other weights than eager code does; nobody reads them.
        padded = attention == "sdpa" and call.query_len == 7
        assert_weights(call, expected, PADDINGS[padding] if padded else None)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "t5"])
def test_output_is_bit_identical_with_and_without_capture(family, attention):
    model, inputs = build(family, attention), inputs_for(family, "right")
    before = last_hidden(run(model, inputs))

    with capture(model):
        during = last_hidden(run(model, inputs))
    after = last_hidden(run(model, inputs))

    assert torch.equal(before, during)
    assert torch.equal(before, after)


def test_layers_have_the_qualified_name_of_the_module_that_computes_them():
    model = build("bert", "sdpa")

    with capture(model) as trace:
        run(model, inputs_for("bert", "none"))

    assert trace.layers == ("encoder.layer.0.attention.self", "encoder.layer.1.attention.self")
    assert [call.index for call in trace.calls] == [0, 1]
    assert trace.source == "capture"
    assert trace.model == "BertModel"


def test_grouped_keys_and_values_are_stored_unrepeated():
    model = build("llama", "sdpa")

    with capture(model) as trace:
        run(model, inputs_for("llama", "none"))

    assert [(call.heads, call.kv_heads) for call in trace.calls] == [(4, 2), (4, 2)]
    assert trace.calls[0].value.shape == (2, 2, 7, 6)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_plain_causal_attention_is_a_flag_and_takes_no_mask(attention):
    model = build("gpt2", attention)

    with capture(model) as trace:
        run(model, inputs_for("gpt2", "none"))

    assert [(call.causal, call.mask, call.bias) for call in trace.calls] == [
        ("top_left", None, None)
    ] * 2


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_padding_takes_one_row_a_sequence_and_is_stored_once(family, attention):
    model = build(family, attention)

    with capture(model) as trace:
        run(model, inputs_for(family, "right"))

    first, second = trace.calls
    np.testing.assert_array_equal(first.mask[:, 0, 0], PADDINGS["right"].numpy().astype(bool))
    assert first.mask.shape == (2, 1, 1, 7)
    assert first.mask is second.mask
    assert first.bias is None


def test_t5_keeps_its_position_bias_once_and_tells_self_from_cross():
    model = build("t5", "sdpa")

    with capture(model) as trace:
        run(model, inputs_for("t5", "none"))

    assert [call.kind for call in trace.calls] == ["self", "self"] + ["self", "cross"] * 2
    encoder = trace.calls[:2]
    assert encoder[0].bias.shape == (1, 4, 7, 7)
    assert encoder[0].bias is encoder[1].bias
    assert [call.bias is None for call in trace.calls[2:]] == [False, True] * 2
    assert {call.scale for call in trace.calls} == {1.0}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_cached_step_knows_where_its_query_is(attention):
    model, ids = build("llama", attention), inputs_for("llama", "none")["input_ids"]
    eager = build("llama", "eager")
    full = run(eager, {"input_ids": ids}, output_attentions=True).attentions

    with capture(model) as trace:
        cache = run(model, {"input_ids": ids[:, :4]}, use_cache=True).past_key_values
        run(model, {"input_ids": ids[:, 4:6]}, past_key_values=cache)
        run(model, {"input_ids": ids[:, 6:]}, past_key_values=cache)

    _, _, two, _, one, _ = trace.calls
    assert [(c.kind, c.query_len, c.key_len) for c in (two, one)] == [
        ("self", 2, 6),
        ("self", 1, 7),
    ]
    assert (two.q_offset, one.q_offset) == (4, 6)
    assert_weights(two, full[0][:, :, 4:6, :6])
    assert_weights(one, full[0][:, :, 6:])


def test_soft_capped_scores_are_kept_as_the_models_own_weights():
    config = transformers.Gemma2Config(
        **SIZES, num_attention_heads=4, num_key_value_heads=2, head_dim=6, sliding_window=4
    )
    # A cap of 0.05 on scores of size 1: weights without it are far off.
    config.attn_logit_softcapping = 0.05
    torch.manual_seed(3)
    model = transformers.Gemma2Model._from_config(config, attn_implementation="eager").eval()
    for parameter in model.parameters():
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.3)
    ids = torch.randint(2, 61, (1, 7))
    own = run(model, {"input_ids": ids}, output_attentions=True).attentions

    with capture(model) as trace:
        run(model, {"input_ids": ids})

    assert [call.live for call in trace.calls] == [False, False]
    for call, expected in zip(trace.calls, own, strict=True):
        assert_weights(call, expected)


def test_attention_sinks_are_kept_as_the_models_own_weights():
    config = transformers.GptOssConfig(
        **SIZES,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=6,
        num_local_experts=2,
        num_experts_per_tok=1,
    )
    torch.manual_seed(3)
    model = transformers.GptOssModel._from_config(config, attn_implementation="eager").eval()
    ids = torch.randint(2, 61, (1, 7))
    for layer in model.layers:
        nn.init.normal_(layer.self_attn.sinks)
    own = run(model, {"input_ids": ids}, output_attentions=True).attentions

    with capture(model) as trace:
        run(model, {"input_ids": ids})

    for call, expected in zip(trace.calls, own, strict=True):
        assert not call.live
        assert_weights(call, expected)
        assert float(expected.sum(-1).max()) < 0.999  # the sink has the rest


def test_weights_that_nothing_tells_are_refused_with_advice():
    def no_weights(module, query, *others, **options):
        return query, None

    class Interface(nn.Module):
        is_causal = False

        def forward(self, x):
            mapping = transformers.modeling_utils.ALL_ATTENTION_FUNCTIONS
            attend = mapping.get_interface("eager", no_weights)
            return attend(self, x, x, x, None, scaling=1.0, softcap=2.0)[0]

    model = Interface()
    with pytest.warns(UserWarning, match="attn_implementation='eager'"), capture(model) as trace:
        model(torch.randn(1, 3, 5, 7))

    assert trace.calls == ()


# torch.nn.MultiheadAttention and what is built on it


def multi_head_cases():
    key_padding = torch.zeros(2, 7, dtype=torch.bool)
    key_padding[1, 4:] = True
    torch.manual_seed(2)
    band = torch.ones(5, 7, dtype=torch.bool).triu(4)
    yield "plain", {}
    yield "key_padding", {"key_padding_mask": key_padding}
    yield "bool mask", {"attn_mask": band}
    yield "float mask", {"attn_mask": torch.randn(5, 7)}
    yield "mask per head", {"attn_mask": torch.randn(2 * 4, 5, 7)}
    yield "both", {"attn_mask": band, "key_padding_mask": key_padding}


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(("name", "masks"), list(multi_head_cases()))
def test_multihead_attention_gives_its_own_weights(name, masks, batch_first, need_weights):
    torch.manual_seed(11)
    model = nn.MultiheadAttention(12, 4, batch_first=batch_first).eval()
    query, memory = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    if not batch_first:
        query, memory = query.transpose(0, 1), memory.transpose(0, 1)
    _, own = model(query, memory, memory, average_attn_weights=False, **masks)
    plain, _ = model(query, memory, memory, need_weights=need_weights, **masks)

    with capture(model) as trace:
        during, _ = model(query, memory, memory, need_weights=need_weights, **masks)

    (call,) = trace.calls
    assert torch.equal(plain, during)
    assert (call.layer, call.kind) == ("MultiheadAttention", "cross")
    np.testing.assert_allclose(call.scale, 3**-0.5, rtol=1e-6)
    assert_weights(call, own)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("extra", ["add_bias_kv", "add_zero_attn"])
def test_keys_that_multihead_attention_adds_are_recorded(extra, need_weights):
    torch.manual_seed(11)
    model = nn.MultiheadAttention(12, 4, batch_first=True, **{extra: True}).eval()
    x = torch.randn(2, 5, 12)
    _, own = model(x, x, x, average_attn_weights=False)

    with capture(model) as trace:
        model(x, x, x, need_weights=need_weights)

    assert trace.calls[0].key_len == 6
    assert_weights(trace.calls[0], own)


def test_multihead_attention_without_a_batch_is_a_batch_of_one():
    model = nn.MultiheadAttention(12, 4).eval()
    x = torch.randn(5, 12)
    _, own = model(x, x, x, average_attn_weights=False)

    with capture(model) as trace:
        model(x, x, x)

    assert trace.calls[0].kind == "self"
    assert_weights(trace.calls[0], own[None])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
def test_an_encoder_keeps_its_fused_path_to_the_last_bit(norm_first, grad):
    torch.manual_seed(13)
    layer = nn.TransformerEncoderLayer(12, 4, 20, batch_first=True, norm_first=norm_first)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=not norm_first).eval()
    x, padded = torch.randn(2, 7, 12), PADDINGS["right"] == 0
    with torch.set_grad_enabled(grad):
        plain = model(x, src_key_padding_mask=padded)
        with capture(model) as trace:
            during = model(x, src_key_padding_mask=padded)

    assert torch.equal(plain, during)
    assert trace.layers == ("layers.0.self_attn", "layers.1.self_attn")
    first = model.layers[0]
    normed = first.norm1(x) if norm_first else x
    _, own = first.self_attn(
        normed, normed, normed, key_padding_mask=padded, average_attn_weights=False
    )
    assert_weights(trace.calls[0], own)


def test_a_multihead_attention_alone_keeps_its_fused_path_to_the_last_bit():
    torch.manual_seed(13)
    model = nn.MultiheadAttention(12, 4, batch_first=True).eval()
    x = torch.randn(2, 7, 12)
    with torch.inference_mode():
        plain, own = model(x, x, x, average_attn_weights=False)
        with capture(model) as trace:
            during, _ = model(x, x, x, average_attn_weights=False)

    assert torch.equal(plain, during)
    assert_weights(trace.calls[0], own)


def test_a_decoder_layer_has_a_self_and_a_cross_call():
    torch.manual_seed(13)
    model = nn.TransformerDecoderLayer(12, 4, 20, batch_first=True).eval()
    target, memory = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    causal = nn.Transformer.generate_square_subsequent_mask(5)

    with capture(model) as trace:
        model(target, memory, tgt_mask=causal, tgt_is_causal=True)

    assert [(c.layer, c.kind, c.causal) for c in trace.calls] == [
        ("self_attn", "self", "top_left"),
        ("multihead_attn", "cross", "none"),
    ]
    assert trace.calls[0].mask is None


# F.scaled_dot_product_attention in any module


class Plain(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.inner = Inner(options)

    def forward(self, query, key, value):
        return self.inner(query, key, value)


class Inner(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.options = options

    def forward(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value, **self.options)


def softmax_by_hand(query, key, scale=None, bias=0.0, hidden=None):
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    scores = scores + bias
    if hidden is not None:
        scores = scores.masked_fill(hidden, -torch.inf)
    return scores.softmax(-1)


def sdpa_cases():
    torch.manual_seed(17)
    seen = torch.rand(5, 7) < 0.7
    seen[:, 0] = True
    bias = torch.randn(2, 1, 5, 7)
    later = ~torch.ones(5, 7, dtype=torch.bool).tril()
    yield "plain", {}, {}
    yield "scale", {"scale": 0.3}, {"scale": 0.3}
    yield "causal", {"is_causal": True}, {"hidden": later}
    yield "bool mask", {"attn_mask": seen}, {"hidden": ~seen}
    yield "float mask", {"attn_mask": bias}, {"bias": bias}
    yield (
        "half hidden",
        {"attn_mask": bias.masked_fill(~seen, -torch.inf)},
        {"bias": bias, "hidden": ~seen},
    )
    yield "last aligned", {"attn_mask": causal_lower_right(5, 7)}, {"hidden": later.roll(2, 1)}


@pytest.mark.parametrize(("name", "options", "by_hand"), list(sdpa_cases()))
def test_plain_sdpa_gives_softmax_worked_by_hand(name, options, by_hand):
    torch.manual_seed(19)
    query, key = torch.randn(2, 3, 5, 11), torch.randn(2, 3, 7, 11)
    value = torch.randn(2, 3, 7, 13)
    if name == "last aligned":  # queries 0..4 are positions 2..6
        by_hand = {"hidden": ~torch.ones(5, 7, dtype=torch.bool).tril(2)}
    model = Plain(**options)
    plain = model(query, key, value)

    with capture(model) as trace:
        during = model(query, key, value)

    (call,) = trace.calls
    assert torch.equal(plain, during)
    assert call.layer == "inner"
    assert (call.mask is None) == ("mask" not in name and name != "half hidden") or name == (
        "float mask"
    )
    assert_weights(call, softmax_by_hand(query, key, **by_hand))
    np.testing.assert_allclose(
        call.attention(head=2, batch=1).output, plain[1, 2].numpy(), rtol=0, atol=ATOL
    )


def test_causal_masks_become_flags():
    triangle = torch.ones(5, 5, dtype=torch.bool).tril()
    x = torch.randn(2, 3, 5, 11)
    model = Plain(attn_mask=triangle)

    with capture(model) as trace:
        model(x, x, x)

    assert (trace.calls[0].causal, trace.calls[0].mask) == ("top_left", None)


def test_grouped_sdpa_keeps_two_key_heads_for_six():
    query, key = torch.randn(2, 6, 5, 11), torch.randn(2, 2, 7, 11)
    model = Plain(enable_gqa=True)

    with capture(model) as trace:
        model(query, key, key)

    (call,) = trace.calls
    assert (call.heads, call.kv_heads) == (6, 2)
    assert_weights(call, softmax_by_hand(query, key.repeat_interleave(3, dim=1)))


@pytest.mark.parametrize(
    ("shape", "stored"),
    [
        ((5, 11), (1, 1, 5, 11)),
        ((2, 5, 11), (2, 1, 5, 11)),
        ((2, 3, 2, 5, 11), (6, 2, 5, 11)),
    ],
)
def test_other_numbers_of_axes_become_batch_and_heads(shape, stored):
    x = torch.randn(shape)
    seen = torch.rand(*shape[:-1], 5) < 0.7
    seen[..., 0] = True
    model = Plain(attn_mask=seen)

    with capture(model) as trace:
        model(x, x, x)

    (call,) = trace.calls
    assert call.query.shape == stored
    expected = softmax_by_hand(x, x, hidden=~seen)
    assert_weights(call, expected.reshape(*stored[:3], 5))


def test_a_row_that_finite_numbers_hide_is_uniform_as_in_the_model():
    mask = torch.zeros(5, 7)
    mask[1] = torch.finfo(torch.float32).min
    mask[2, 3:] = torch.finfo(torch.float32).min
    mask[3] = -torch.inf
    query, key = torch.randn(1, 1, 5, 11), torch.randn(1, 1, 7, 11)
    model = Plain(attn_mask=mask)

    with capture(model) as trace:
        model(query, key, torch.randn(1, 1, 7, 13))

    weights = trace.calls[0].weights(0)
    np.testing.assert_allclose(weights[1], np.full(7, 1 / 7), rtol=1e-6)
    np.testing.assert_array_equal(weights[2, 3:], 0)
    np.testing.assert_array_equal(weights[3], 0)


def test_numbers_are_copied_before_the_model_changes_them():
    class InPlace(nn.Module):
        def forward(self, x):
            out = F.scaled_dot_product_attention(x, x, x)
            x.zero_()
            return out

    x = torch.randn(1, 1, 5, 11)
    kept = x.numpy().copy()
    model = InPlace()
    with capture(model) as trace:
        model(x)

    np.testing.assert_array_equal(trace.calls[0].query, kept)


def test_a_mask_changed_in_place_is_read_again():
    class Changing(nn.Module):
        def forward(self, x):
            seen = torch.ones(5, 5, dtype=torch.bool)
            for hidden in (1, 3):
                seen[:, hidden] = False
                F.scaled_dot_product_attention(x, x, x, attn_mask=seen)

    model = Changing()
    with capture(model) as trace:
        model(torch.randn(1, 1, 5, 11))

    assert [call.mask.sum() for call in trace.calls] == [4, 3]


# What is stored


def test_float16_halves_the_store_and_falls_back_beyond_its_range():
    model = Plain()
    x = torch.randn(1, 2, 5, 11)
    with capture(model, dtype="float16") as trace:
        model(x, x, x)
        model(x, x, x * 1e6)

    fits, beyond = trace.calls
    assert {a.dtype for a in (fits.query, fits.key, fits.value)} == {np.dtype("float16")}
    assert {a.dtype for a in (beyond.query, beyond.key, beyond.value)} == {np.dtype("float32")}
    # 2**-11 relative error of query and key, on scores of size 5.
    np.testing.assert_allclose(recomputed(fits), softmax_by_hand(x, x).numpy(), rtol=0, atol=3e-3)


def test_values_can_be_left_out():
    model = Plain()
    with capture(model, values=False) as trace:
        model(*[torch.randn(1, 1, 5, 11)] * 3)

    assert trace.calls[0].value is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_models_of_other_precisions_are_kept_in_float32(dtype):
    x = torch.randn(1, 1, 5, 11, dtype=dtype)
    model = Plain()
    with capture(model) as trace:
        model(x, x, x)

    np.testing.assert_array_equal(trace.calls[0].query, x.float().numpy())


@pytest.mark.parametrize(
    "layers", ["encoder.layer.1.*", ["nothing", "*.1.attention.self"]], ids=["glob", "list"]
)
def test_layers_chooses_by_glob_and_keeps_the_position(layers):
    model = build("bert", "sdpa")
    with capture(model, layers=layers) as trace:
        run(model, inputs_for("bert", "none"))

    assert [(c.layer, c.index) for c in trace.calls] == [("encoder.layer.1.attention.self", 1)]


@pytest.mark.parametrize(
    ("tokens", "stored"),
    [(["a", "b"], (("a", "b"),)), ([["a"], ["b", "c"]], (("a",), ("b", "c"))), (None, ())],
)
def test_tokens_are_kept_for_one_sequence_or_several(tokens, stored):
    model = Plain()
    with capture(model, tokens=tokens) as trace:
        model(*[torch.randn(1, 1, 5, 11)] * 3)

    assert trace.query_tokens == stored


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"model": lambda x: x}, "torch.nn.Module"),
        ({"dtype": "int8"}, "float32, float16"),
        ({"tokens": "text"}, "sequence of strings"),
    ],
)
def test_a_wrong_argument_is_one_sentence(arguments, rule):
    with pytest.raises(ValueError, match=rule), capture(**{"model": Plain(), **arguments}):
        pass


# What is left as it was


def patched_names():
    interface = transformers.modeling_utils.AttentionInterface
    return [vars(owner)["forward"] for owner in FUSED] + [vars(interface)["get_interface"]]


def active_modes():
    return torch.overrides._get_current_function_mode_stack()


def test_nothing_stays_patched():
    before = patched_names()
    model = build("bert", "sdpa")
    with capture(model):
        assert patched_names() != before
        run(model, inputs_for("bert", "none"))

    assert patched_names() == before
    assert active_modes() == []


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_nothing_stays_patched_after_an_exception_inside_the_attention(attention):
    before = patched_names()
    model = build("bert", attention)
    # Three heads of keys for two of queries: fails inside the attention function.
    model.encoder.layer[1].attention.self.key = nn.Linear(24, 30)

    with pytest.raises(RuntimeError), capture(model) as trace:
        run(model, inputs_for("bert", "none"))

    assert len(trace.calls) == 1
    assert patched_names() == before
    assert active_modes() == []
    assert run(build("bert", attention), inputs_for("bert", "none")) is not None


def test_no_warning_hides_the_exception_of_the_block():
    def fail():
        with capture(Plain()):
            raise KeyError("the user's own")

    with pytest.raises(KeyError):  # warnings are errors here
        fail()


def test_another_threads_forward_is_not_recorded():
    model, ids = build("llama", "sdpa"), torch.tensor([[3, 5, 7]])
    encoder = nn.TransformerEncoderLayer(12, 4, 20, batch_first=True).eval()
    both = nn.ModuleList([model, encoder])

    def elsewhere():
        run(model, {"input_ids": torch.tensor([[2, 3]])})
        with torch.no_grad():
            encoder(torch.randn(1, 5, 12))

    with capture(both) as trace:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        run(model, {"input_ids": ids})

    assert [call.query_len for call in trace.calls] == [3, 3]


def test_captures_in_two_threads_do_not_end_one_another():
    model, inputs = build("bert", "sdpa"), inputs_for("bert", "none")
    before = patched_names()
    inside, ended, counts = threading.Event(), threading.Event(), []

    def outlives():
        with capture(model) as trace:
            inside.set()
            ended.wait(60)
            run(model, inputs)
        counts.append(len(trace.calls))

    thread = threading.Thread(target=outlives)
    with capture(model) as trace:
        thread.start()
        inside.wait(60)
        run(model, inputs)
    ended.set()
    thread.join()

    assert len(trace.calls) == 2
    assert counts == [2]
    assert patched_names() == before


def test_nested_captures_each_see_the_calls_inside_them():
    model, inputs = build("bert", "sdpa"), inputs_for("bert", "none")
    with capture(model) as outer:
        run(model, inputs)
        with capture(model, layers="*.0.*") as inner:
            run(model, inputs)
        run(model, inputs)

    assert len(outer.calls) == 6
    assert len(inner.calls) == 1


def test_nested_captures_of_a_multihead_attention_count_it_once_each():
    model = nn.MultiheadAttention(12, 4, batch_first=True).eval()
    x = torch.randn(2, 5, 12)
    with torch.no_grad(), capture(model) as outer, capture(model) as inner:
        model(x, x, x, need_weights=False)

    assert (len(outer.calls), len(inner.calls)) == (1, 1)


def test_a_mode_of_the_users_own_stays_in_force():
    model = nn.MultiheadAttention(12, 4, batch_first=True).eval()
    x = torch.randn(2, 5, 12)
    with torch.no_grad(), capture(model) as trace, torch.device("meta"):
        model(x, x, x)
        made = torch.zeros(1)

    assert made.device.type == "meta"
    assert len(trace.calls) == 1


def test_only_the_models_own_calls_are_recorded():
    model, other = Plain(), Plain()
    x = torch.randn(1, 1, 5, 11)
    with capture(model) as trace:
        other(x, x, x)
        model(x, x, x)

    assert len(trace.calls) == 1


def test_gradients_flow_as_without_capture():
    torch.manual_seed(23)
    model = nn.MultiheadAttention(12, 4, batch_first=True)
    x = torch.randn(2, 5, 12)
    model(x, x, x)[0].sum().backward()
    plain = model.in_proj_weight.grad.clone()
    model.zero_grad()

    with capture(model):
        model(x, x, x)[0].sum().backward()

    assert torch.equal(model.in_proj_weight.grad, plain)


# What is told when nothing came


def test_a_model_that_never_ran_is_told():
    with pytest.warns(UserWarning, match="Run the model inside the with block"), capture(Plain()):
        pass


def test_a_glob_that_matches_nothing_names_what_there_was():
    model = build("bert", "sdpa")
    with (
        pytest.warns(UserWarning, match=r"encoder\.layer\.0\.attention\.self"),
        capture(model, layers="decoder.*"),
    ):
        run(model, inputs_for("bert", "none"))


def test_nan_in_the_keys_is_told_and_the_model_runs_on():
    model = Plain()
    x = torch.randn(1, 1, 5, 11)
    with pytest.warns(UserWarning, match="must be finite") as told, capture(model) as trace:
        output = model(x, x * torch.nan, x)

    assert torch.equal(output, model(x, x * torch.nan, x))
    assert trace.calls == ()
    assert len(told) == 1


def test_a_meta_tensor_is_told_and_the_model_runs_on():
    model = Plain()
    with pytest.warns(UserWarning, match="meta device"), capture(model):
        assert model(*[torch.randn(1, 1, 5, 11, device="meta")] * 3).shape == (1, 1, 5, 11)


# Reading masks


def test_split_takes_a_mask_apart():
    seen, bias = split(np.array([[0.0, -np.inf, 2.0]], dtype=np.float32), -1e9)

    np.testing.assert_array_equal(seen, [[True, False, True]])
    np.testing.assert_array_equal(bias, [[0.0, 0.0, 2.0]])


def test_compact_shrinks_only_axes_that_do_not_change():
    array = np.broadcast_to(np.arange(3)[:, None], (2, 3, 5))

    np.testing.assert_array_equal(compact(array), [[[0], [1], [2]]])


@pytest.mark.parametrize(
    ("offset", "rule"), [(0, "top_left"), (2, "bottom_right"), (1, "none"), (-1, "none")]
)
def test_only_the_two_causal_rules_are_recognised(offset, rule):
    mask = np.tri(5, 7, offset, dtype=bool)

    causal, rest = factor_causal(mask)

    assert causal == rule
    np.testing.assert_array_equal(rest, mask if rule == "none" else [[True]])
