"""Hugging Face models: recomputed weights are the model's own, and its output stays the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402

from attnpanel import capture  # noqa: E402
from tests.unit.models.intercept.recomputed_weights import (  # noqa: E402
    assert_weights,
    recomputed,
)

SIZES = {"vocab_size": 61, "hidden_size": 24, "num_hidden_layers": 2, "intermediate_size": 20}
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
    return [*outputs.encoder_attentions, *(weights for pair in decoder for weights in pair)]


def last_hidden(outputs):
    return outputs.last_hidden_state


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
        # SDPA and eager code give padded queries different weights, which are never read.
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


# Compiling takes 20 s, and uncompiled FlexAttention warns that it is slow. Torch's own
# compiler is imported all the same, and emits deprecation warnings for its own code.
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("padding", ["none", "right"])
def test_flex_attention_is_read_through_its_mask_function(padding):
    inputs = inputs_for("llama", padding)
    own = run(build("llama", "eager"), inputs, output_attentions=True).attentions
    model = build("llama", "flex_attention")
    with torch.compiler.set_stance("force_eager"):
        plain = last_hidden(run(model, inputs))
        with capture(model) as trace:
            during = last_hidden(run(model, inputs))

    assert torch.equal(plain, during)
    assert [call.causal for call in trace.calls] == ["top_left"] * 2
    for call, expected in zip(trace.calls, own, strict=True):
        assert_weights(call, expected, PADDINGS[padding])


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_what_a_checkpoint_computes_again_for_its_gradients_is_no_second_call(attention):
    model = build("bert", attention).train()
    newer = getattr(model, "activation_checkpointing_enable", None)
    (newer or model.gradient_checkpointing_enable)()
    with capture(model) as trace:
        model(**inputs_for("bert", "none")).last_hidden_state.sum().backward()

    assert [call.index for call in trace.calls] == [0, 1]


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


def test_t5_stores_its_position_bias_once_and_distinguishes_self_from_cross():
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

    with capture(model, stitch=False) as trace:
        cache = run(model, {"input_ids": ids[:, :4]}, use_cache=True).past_key_values
        run(model, {"input_ids": ids[:, 4:6]}, past_key_values=cache)
        run(model, {"input_ids": ids[:, 6:]}, past_key_values=cache)

    _, _, pair, _, single, _ = trace.calls
    assert [(c.kind, c.query_len, c.key_len) for c in (pair, single)] == [
        ("self", 2, 6),
        ("self", 1, 7),
    ]
    assert (pair.q_offset, single.q_offset) == (4, 6)
    assert_weights(pair, full[0][:, :, 4:6, :6])
    assert_weights(single, full[0][:, :, 6:])


def drawn(model):
    """The model with weights large enough that caps and sinks matter."""
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2 or name.endswith("sinks"):
            nn.init.normal_(parameter, std=1.0 if parameter.dim() == 1 else 0.3)
    return model.eval()


def gemma2(attention, **options):
    config = transformers.Gemma2Config(
        **SIZES,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=6,
        sliding_window=4,
        # On scores of size 1: weights without it are far off.
        attn_logit_softcapping=0.25,
        **options,
    )
    return drawn(transformers.Gemma2Model._from_config(config, attn_implementation=attention))


@pytest.mark.parametrize("padding", ["none", "left"])
def test_soft_capped_scores_are_computed_anew(padding):
    model, inputs = gemma2("eager"), inputs_for("llama", padding)
    own = run(model, inputs, output_attentions=True).attentions

    with capture(model) as trace:
        run(model, inputs)

    assert [(call.live, call.soft_cap) for call in trace.calls] == [(True, 0.25)] * 2
    for call, expected in zip(trace.calls, own, strict=True):
        assert_weights(call, expected)
        uncapped = dataclasses.replace(call, soft_cap=None)
        assert np.abs(recomputed(uncapped) - recomputed(call)).max() > 0.01, "this cap must tell"


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_flex_attention_caps_scores_as_the_eager_function_does():
    ids = inputs_for("llama", "none")["input_ids"]
    own = run(gemma2("eager"), {"input_ids": ids}, output_attentions=True).attentions
    model = gemma2("flex_attention")
    with torch.compiler.set_stance("force_eager"), capture(model) as trace:
        run(model, {"input_ids": ids})

    for call, expected in zip(trace.calls, own, strict=True):
        assert call.soft_cap == 0.25
        assert_weights(call, expected)


@pytest.mark.parametrize("padding", ["none", "left"])
def test_attention_sinks_are_computed_anew(padding):
    config = transformers.GptOssConfig(
        **SIZES,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=6,
        num_local_experts=2,
        num_experts_per_tok=1,
    )
    model = drawn(transformers.GptOssModel._from_config(config, attn_implementation="eager"))
    inputs = inputs_for("llama", padding)
    own = run(model, inputs, output_attentions=True).attentions

    with capture(model) as trace:
        run(model, inputs)

    for call, layer, expected in zip(trace.calls, model.layers, own, strict=True):
        assert call.live
        np.testing.assert_array_equal(call.sinks, layer.self_attn.sinks.detach().numpy())
        assert_weights(call, expected)
        assert float(expected.sum(-1).min()) < 0.9, "these sinks must tell"


def test_weights_that_cannot_be_recomputed_are_refused_with_advice():
    def no_weights(module, query, *others, **options):
        return query, None

    class Interface(nn.Module):
        is_causal = False

        def forward(self, x):
            mapping = transformers.modeling_utils.ALL_ATTENTION_FUNCTIONS
            attend = mapping.get_interface("eager", no_weights)
            return attend(self, x, x, x, None, scaling=1.0, indices=[0])[0]

    model = Interface()
    with pytest.warns(UserWarning, match="attn_implementation='eager'"), capture(model) as trace:
        model(torch.randn(1, 3, 5, 7))

    assert trace.calls == ()


def test_autocast_is_recorded_as_the_kernel_got_it():
    model, inputs = build("llama", "sdpa"), inputs_for("llama", "left")
    with torch.autocast("cpu", torch.bfloat16), capture(model) as trace:
        run(model, inputs)

    for call in trace.calls:  # queries that were turned by their position are float32 before
        for array in (call.query, call.key):
            stored = torch.from_numpy(np.array(array))
            assert torch.equal(stored, stored.bfloat16().float())
