"""Interventions on Hugging Face models against forward passes written out from the weights."""

from __future__ import annotations

import functools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402

from attnpanel import capture, intervene  # noqa: E402
from tests.unit.models.intervene.intervention_cases import CHANGES, attended  # noqa: E402
from tests.unit.models.reference_forward import FORWARDS  # noqa: E402

# Two layers of sums of 24 float32 products in another order.
ATOL = 1e-5
T = 7
SIZES = {"vocab_size": 61, "hidden_size": 24, "num_hidden_layers": 2, "intermediate_size": 20}
LAYERS = {"bert": "encoder.layer.1.*", "gpt2": "h.1.*", "llama": "layers.1.*"}
IDS = torch.arange(2, 2 + 2 * T).reshape(2, T) * 3 % 61
PADDED = torch.tensor([[1] * T, [1] * 5 + [0] * 2])


@functools.cache
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
            transformers.T5EncoderModel,
        ),
    }[family]()
    torch.manual_seed(5)
    made = model._from_config(config, attn_implementation=attention).eval()
    for parameter in made.parameters():  # fresh weights give nearly uniform attention
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.2)
    return made.requires_grad_(requires_grad=False)


def run(model, **options):
    return model(input_ids=IDS, attention_mask=PADDED, **options).last_hidden_state


def by_hand(family, change):
    def attend(layer, scores, value):
        return attended(scores, value, change, (1, 2) if layer == 1 else ())

    return FORWARDS[family](build(family, "eager"), IDS, PADDED, attend)


def assert_close(actual, expected, rows):
    """Compare unpadded rows: kernels differ in padded ones, which are never read."""
    actual, expected = (x[rows].detach().numpy() for x in (actual, expected))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ATOL)


@pytest.mark.parametrize(
    ("attention", "change"),
    [*(("sdpa", change) for change in CHANGES), ("eager", "all at once"), ("eager", "uniform")],
)
@pytest.mark.parametrize("family", FORWARDS)
def test_a_changed_model_matches_the_written_out_forward_pass(family, attention, change):
    model = build(family, attention)
    plain = run(model)

    with intervene(model, layer=LAYERS[family], head=[1, 2], **CHANGES[change][0](T, T)):
        during = run(model)

    assert_close(during, by_hand(family, change), PADDED.bool())
    if change != "causal":  # GPT-2 and Llama are
        assert (during - plain)[PADDED.bool()].abs().max() > 100 * ATOL
    assert torch.equal(run(model), plain)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("change", ["sharp", "causal", "edge", "uniform"])
def test_flex_attention_is_changed_as_the_others_are(change):
    model = build("llama", "flex_attention")

    with (
        torch.compiler.set_stance("force_eager"),
        intervene(model, layer=LAYERS["llama"], head=[1, 2], **CHANGES[change][0](T, T)),
    ):
        during = run(model)

    assert_close(during, by_hand("llama", change), PADDED.bool())


@pytest.mark.parametrize("family", FORWARDS)
def test_changed_weights_are_given_out_and_recorded(family):
    model = build(family, "eager")

    with (
        intervene(model, layer=LAYERS[family], head=1, temperature=0.3, hide_keys=2),
        capture(model) as trace,
    ):
        own = model(input_ids=IDS, attention_mask=PADDED, output_attentions=True).attentions

    for call, expected in zip(trace.calls, own, strict=True):
        assert call.live
        ours = np.stack([[call.weights(h, b) for h in range(4)] for b in range(2)])
        rows = PADDED.bool().numpy()
        np.testing.assert_allclose(
            ours.swapaxes(1, 2)[rows], expected.numpy().swapaxes(1, 2)[rows], rtol=0, atol=ATOL
        )
    assert not own[1][:, 1, :, 2].any()
    assert own[1][:, 0, 2:, 2].any()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_position_bias_is_divided_by_the_temperature_with_the_scores(attention):
    model = build("t5", attention)
    with capture(model) as plain:
        run(model)

    with intervene(model, layer="encoder.block.1.*", temperature=0.5), capture(model) as trace:
        run(model)

    call, before = trace.calls[1], plain.calls[1]
    for head in range(4):
        scores = before.scores(head) / 0.5
        expected = np.exp(scores - scores.max(-1, keepdims=True))
        expected /= expected.sum(-1, keepdims=True)
        np.testing.assert_allclose(call.weights(head), expected, rtol=0, atol=ATOL)


@pytest.mark.parametrize("cap", [0.25, None])
def test_caps_and_sinks_are_part_of_what_is_changed(cap):
    options = {**SIZES, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6}
    torch.manual_seed(5)
    if cap is None:
        config = transformers.GptOssConfig(**options, num_local_experts=2, num_experts_per_tok=1)
        model = transformers.GptOssModel._from_config(config, attn_implementation="eager").eval()
        nn.init.normal_(model.layers[0].self_attn.sinks)
    else:
        config = transformers.Gemma2Config(**options, attn_logit_softcapping=cap)
        model = transformers.Gemma2Model._from_config(config, attn_implementation="eager").eval()
    nn.init.normal_(model.layers[0].self_attn.q_proj.weight)
    nn.init.normal_(model.layers[0].self_attn.k_proj.weight)
    with torch.no_grad(), capture(model) as plain:
        model(input_ids=IDS)

    traces = []
    for heads in (None, [1]):  # one cap for all heads, or weights of their own
        asked = {"head": heads, "temperature": 0.5, "hide_keys": 1}
        with (
            torch.no_grad(),
            intervene(model, layer="layers.0.*", **asked),
            capture(model) as trace,
        ):
            model(input_ids=IDS)
        traces.append(trace)

    before = plain.calls[0]
    mask = before.visible(1) & (np.arange(T) != 1)
    expected = before.attention(1, temperature=0.5, mask=mask).weights
    for trace in traces:
        np.testing.assert_allclose(trace.calls[0].weights(1), expected, rtol=0, atol=ATOL)
    np.testing.assert_allclose(traces[1].calls[0].weights(0), before.weights(0), rtol=0, atol=ATOL)
    assert [trace.calls[0].live for trace in traces] == [True, cap is None]


def test_positions_go_on_where_a_cache_ends():
    # Every query sees only itself, whether its keys come at once or step by step.
    model = build("llama", "sdpa")
    with intervene(model, weights="diagonal"):
        whole = model(input_ids=IDS[:1]).last_hidden_state
        cache, steps = None, []
        for at in range(T):
            made = model(input_ids=IDS[:1, at : at + 1], past_key_values=cache, use_cache=True)
            cache = made.past_key_values
            steps.append(made.last_hidden_state)

    np.testing.assert_allclose(torch.cat(steps, dim=1), whole, rtol=0, atol=ATOL)


def test_gradients_reach_the_embeddings_through_changed_attention():
    model = build("gpt2", "sdpa")
    embedded = model.wte(IDS).clone().requires_grad_()

    with intervene(model, layer="h.1.*", temperature=0.5):
        model(inputs_embeds=embedded).last_hidden_state.square().sum().backward()

    assert embedded.grad.isfinite().all()
    assert embedded.grad.abs().max() > 0


def test_generation_stays_one_call_while_its_newest_key_is_hidden():
    config = transformers.GPT2Config(
        vocab_size=61, n_embd=24, n_layer=1, n_head=4, n_positions=16, eos_token_id=None
    )
    model = transformers.GPT2LMHeadModel._from_config(config, attn_implementation="sdpa").eval()
    for options in ({}, {"cache_implementation": "static", "disable_compile": True}):
        with intervene(model, hide_keys=(4, 5)), capture(model) as trace:
            model.generate(
                IDS[:1, :5],
                attention_mask=torch.ones(1, 5, dtype=torch.long),
                max_new_tokens=5,
                do_sample=False,
                pad_token_id=0,
                **options,
            )

        (call,) = trace.calls
        assert (call.query_len, call.key_len, call.q_offset) == (9, 9, 0)
        expected = np.tril(np.ones((9, 9), dtype=bool))
        expected[:, [4, 5]] = False
        np.testing.assert_array_equal(call.visible(0), expected)


def test_what_is_changed_under_autocast_is_computed_in_full():
    class One(nn.Module):
        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(x, x, x)

    torch.manual_seed(9)
    x = torch.randn(2, 3, 5, 7)
    model = One()
    with torch.autocast("cpu", torch.bfloat16), intervene(model, temperature=0.5):
        found = model(x)

    x = x.bfloat16().float()
    exact = (x @ x.mT / 7**0.5 / 0.5).softmax(-1) @ x
    assert torch.equal(found, exact.bfloat16())
