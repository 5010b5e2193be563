"""What heads write after the output projection is the model's own, or why it is not known."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from attnpanel import capture, intervene  # noqa: E402
from attnpanel.bench.product.capture.families import (  # noqa: E402
    EAGER_ONLY,
    FAMILIES,
    VOCABULARY,
    build,
    inputs_for,
)
from attnpanel.models.capture import promoted_tokens  # noqa: E402

LISTED = 5
FLOAT32 = {"rtol": 2e-4, "atol": 2e-5}  # products of 24 terms, in another order


def language_model(family):
    """Return a small random model with a head, whose norms are not all ones."""
    config, options, _ = FAMILIES[family]
    torch.manual_seed(0)
    made = transformers.AutoModelForCausalLM.from_config(
        getattr(transformers, config)(**options),
        attn_implementation="eager" if family in EAGER_ONLY else "sdpa",
    )
    for parameter in made.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, 1.0, 0.3)
    return made.eval()


def captured(model, inputs, **options):
    with torch.no_grad(), capture(model, outputs=True, **options) as trace:
        model(**inputs)
    return trace


# The parts of two families by their names, which the capture does not know: the projection (inputs,
# outputs), the final norm, and whether that subtracts the mean.
PARTS = {
    "gpt2": (
        lambda model, i: model.transformer.h[i].attn.c_proj.weight,
        lambda model: model.transformer.ln_f,
        True,
    ),
    "llama": (
        lambda model, i: model.model.layers[i].self_attn.o_proj.weight.T,
        lambda model: model.model.norm,
        False,
    ),
}


@pytest.mark.parametrize("family", PARTS)
def test_lengths_and_logits_are_those_of_the_models_own_parts(family):
    model, inputs = language_model(family), inputs_for(family)
    projection, norm_of, centred = PARTS[family]
    norm = norm_of(model)
    read = []
    hook = norm.register_forward_pre_hook(lambda _, args: read.append(args[0]))
    trace = captured(model, inputs)
    hook.remove()

    total = read[0].detach().double().numpy()
    if centred:
        total = total - total.mean(-1, keepdims=True)
    epsilon = norm.eps if centred else norm.variance_epsilon
    scale = 1 / np.sqrt((total**2).mean(-1) + epsilon)
    unembedding = model.lm_head.weight.detach().double().numpy()
    assert len(trace) == 2
    for layer, call in enumerate(trace):
        weight = projection(model, layer).detach().double().numpy()
        parts = weight.reshape(call.heads, call.value_dim, -1)
        outputs = call.outputs
        assert outputs.missing == ""
        np.testing.assert_allclose(outputs.final_scale, scale, rtol=1e-4)
        for batch, head in np.ndindex(call.batch, call.heads):
            value = call.value[batch, head // (call.heads // call.kv_heads)].astype(float)
            projected = value @ parts[head]
            np.testing.assert_allclose(
                outputs.norms[batch, head], np.linalg.norm(projected, axis=1), **FLOAT32
            )
            if centred:
                projected = projected - projected.mean(-1, keepdims=True)
            logits = (projected * norm.weight.detach().double().numpy()) @ unembedding.T
            assert_listed(
                outputs.key_ids[batch, head], outputs.key_logits[batch, head], outputs, logits
            )
            rows = call.weights(head, batch) @ logits * scale[batch, :, None]
            assert_listed(
                outputs.row_ids[batch, head], outputs.row_logits[batch, head], outputs, rows
            )


def ids_of(places, outputs):
    """Return the model's ids of listed tokens."""
    return [int(outputs.vocabulary[at].removeprefix("token ")) for at in places]


def assert_listed(places, listed, outputs, logits):
    """Hold the listed tokens to the largest and smallest of all logits."""
    order = np.sort(logits, axis=-1)[:, ::-1]
    expected = np.concatenate([order[:, :LISTED], order[:, -LISTED:]], axis=1)
    np.testing.assert_allclose(listed, expected, **FLOAT32)
    ids = [ids_of(row, outputs) for row in places]
    np.testing.assert_allclose(np.take_along_axis(logits, np.array(ids), 1), listed, **FLOAT32)


def test_without_a_head_the_logits_differ_by_its_row():
    """Of the last layer, its MLP and the final norm's factor held as they were."""
    model, inputs = language_model("gpt2"), inputs_for("gpt2")
    call = captured(model, inputs)[-1]
    layer, norm, read = model.transformer.h[-1], model.transformer.ln_f, {}
    hooks = [
        norm.register_forward_pre_hook(lambda _, args: read.update(total=args[0])),
        layer.mlp.register_forward_hook(lambda _, __, made: read.setdefault("mlp", made)),
    ]
    with torch.no_grad():
        whole, with_head = model(**inputs).logits, read["total"]
        layer.attn.c_proj.weight[: call.value_dim] = 0  # head 0's part
        model(**inputs)
        deviation = with_head.var(-1, unbiased=False, keepdim=True).add(norm.eps).sqrt()
        centred = read["total"] - read["total"].mean(-1, keepdim=True)
        without = model.lm_head(centred / deviation * norm.weight + norm.bias)
    for hook in hooks:
        hook.remove()
    difference, outputs = (whole - without).numpy(), call.outputs
    for batch, query in ((0, 3), (1, 0)):
        ids = ids_of(outputs.row_ids[batch, 0, query], outputs)
        np.testing.assert_allclose(
            difference[batch, query, ids], outputs.row_logits[batch, 0, query], rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("count", [3, 11])
@pytest.mark.parametrize("numbers", [1, 1 << 20])
@pytest.mark.parametrize("block", [2, 64])
@pytest.mark.parametrize("summed", [False, True])
def test_first_and_last_tokens_of_a_vocabulary_in_blocks(
    count, numbers, block, summed, monkeypatch
):
    monkeypatch.setattr(promoted_tokens, "MAX_NUMBERS", numbers)
    monkeypatch.setattr(promoted_tokens, "BLOCK", block)
    torch.manual_seed(0)
    rows, basis, unembedding = (
        torch.randn(*shape) for shape in ((2, count, 7), (2, 7, 13), (53, 13))
    )
    seen = torch.randn(2, count - 2, 2) if summed else None
    if seen is not None:
        rows[:, 2:] = seen @ rows[:, :2]
    ids, logits = promoted_tokens.promoted(rows, basis, unembedding, seen)

    every = (rows.double() @ basis.double() @ unembedding.double().T).numpy()
    order = np.argsort(-every, axis=-1)
    expected = np.concatenate([order[..., :LISTED], order[..., -LISTED:]], axis=-1)
    np.testing.assert_array_equal(ids.numpy(), expected)
    np.testing.assert_allclose(logits, np.take_along_axis(every, expected, -1), **FLOAT32)


def test_explain_weighs_what_a_key_writes():
    trace = captured(language_model("llama"), inputs_for("llama"))
    call = trace[1]
    found = trace.explain(1, 2, 5, 3)
    weight = call.weights(2)[5, 3]

    np.testing.assert_allclose(
        found.written.projected_norms, call.weights(2)[5] * call.outputs.norms[0, 2], rtol=1e-6
    )
    factor = weight * call.outputs.final_scale[0, 5]
    expected = factor * call.outputs.key_logits[0, 2, 3]
    np.testing.assert_allclose([logit for _, logit in found.promoted.pair], expected, rtol=1e-6)
    assert len(found.promoted.row) == 2 * LISTED
    assert "after W_O" in str(found)
    other = trace.explain(1, 2, 5, 3, temperature=0.5).promoted
    assert other.row is None
    assert len(other.pair) == 2 * LISTED


def test_outputs_are_bit_identical_and_tokens_have_names():
    model, inputs = language_model("gpt2"), inputs_for("gpt2")

    class Tokenizer:
        def convert_ids_to_tokens(self, ids):
            return [f"<{number}>" for number in ids]

    with torch.no_grad():
        expected = model(**inputs).logits
        with capture(model, outputs=True, tokenizer=Tokenizer()) as trace:
            logits = model(**inputs).logits
    assert torch.equal(logits, expected)
    named = {f"<{number}>" for number in range(VOCABULARY)}
    assert set(trace[0].outputs.vocabulary) <= named


@pytest.mark.parametrize(
    "family",
    [
        "gpt-neox",
        "gpt-j",
        "opt",
        "phi",
        "bloom",
        "falcon",
        "mistral",
        "mixtral",
        "qwen3",
        "gpt-oss",
    ],
)
def test_families_whose_layers_are_added_up(family):
    trace = captured(language_model(family), inputs_for(family))

    assert [call.outputs.missing for call in trace] == [""] * len(trace)


@pytest.mark.parametrize(
    ("family", "reason"), [("gemma2", "not just added"), ("bert", "no linear layer was seen")]
)
def test_families_without_a_direct_way_to_the_logits(family, reason):
    model = build("bert", "sdpa") if family == "bert" else language_model(family)
    trace = captured(model, inputs_for(family))

    assert all(call.outputs.norms is not None for call in trace)
    assert all(call.outputs.key_ids is None for call in trace)
    assert all(reason in call.outputs.missing for call in trace)


class Small(nn.Module):
    """A decoder of one layer, with a choice of what becomes of its heads' outputs."""

    def __init__(self, what="plain", size=12, heads=3):
        super().__init__()
        self.what, self.heads = what, heads
        self.table = nn.Embedding(23, size)
        self.qkv = nn.Linear(size, 3 * size)
        self.project = nn.Linear(size, size)
        self.beside = nn.Linear(size, size)
        self.attend = nn.MultiheadAttention(size, heads, batch_first=True)
        self.norm = nn.LayerNorm(size)
        self.head = nn.Linear(size, 23, bias=False)

    def forward(self, ids):
        x = self.table(ids)
        out = self.drop(self.attention(self.norm(x)))
        total = x + out
        if self.what == "twice":
            total = total + out
        if self.what == "in place":
            total *= 0.5
        return self.head(self.norm(total))

    def drop(self, x):
        return functional.dropout(x, 0.1, self.training)

    def attention(self, x):
        if self.what == "module":
            return self.attend(x, x, x)[0]
        split = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        heads = functional.scaled_dot_product_attention(*split).transpose(1, 2)
        if self.what == "other order":
            heads = heads.flip(2)
        out = self.project(heads.flatten(2))
        if self.what == "adapter":
            out = out + self.beside(heads.flatten(2))
        return 2 * out if self.what == "scaled" else out


IDS = torch.arange(14).reshape(2, 7)


@pytest.mark.parametrize("what", ["plain", "module"])
@pytest.mark.parametrize("grad", [True, False])
def test_layers_of_ones_own(what, grad):
    torch.manual_seed(0)
    model = Small(what).eval()
    with torch.set_grad_enabled(grad):
        trace = captured_with(model, grad)
    outputs = trace[0].outputs
    assert outputs.norms.shape == (2, 3, 7)
    fused = what == "module" and not grad  # torch then runs a kernel that shows no sum
    assert ("not just added" in outputs.missing) if fused else (outputs.missing == "")


def captured_with(model, grad):
    with torch.set_grad_enabled(grad), capture(model, outputs=True) as trace:
        model(IDS)
    return trace


@pytest.mark.parametrize(
    ("what", "reason", "known"),
    [
        ("scaled", "not just added", True),
        ("twice", "is not the sum of the layers' outputs", True),
        ("in place", "not just added", True),
        ("other order", "no linear layer was seen that reads", False),
    ],
)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_what_is_not_the_heads_direct_way_is_not_shown(what, reason, known, mode, recwarn):
    torch.manual_seed(0)
    model = Small(what).eval()
    with mode(), capture(model, outputs=True) as trace:
        model(IDS)

    assert reason in trace[0].outputs.missing
    assert trace[0].outputs.key_ids is None
    assert (trace[0].outputs.norms is not None) == known
    warned = [str(entry.message) for entry in recwarn if "output projection" in str(entry.message)]
    assert len(warned) == (0 if known else 1)


def test_an_adapter_beside_the_projection_is_named():
    torch.manual_seed(0)
    model = Small("adapter").eval()

    class Shared(Small):
        def attention(self, x):
            split = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            heads = functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)
            return self.project(heads) + self.beside(heads)

    model.__class__ = Shared
    with pytest.warns(UserWarning, match="several linear layers"):
        trace = captured_with(model, grad=False)
    assert "LoRA" in trace[0].outputs.missing


def test_steps_that_are_merged_say_so():
    model = language_model("gpt2")
    warned = pytest.warns(UserWarning, match="steps or calls were merged")
    with warned, torch.no_grad(), capture(model, outputs=True) as trace:
        model.generate(IDS[:1], max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert {call.outputs.missing for call in trace} == {
        "steps or calls were merged: capture one forward pass"
    }


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_a_knocked_out_head_writes_nothing_and_the_others_what_they_did(family):
    model, inputs = language_model(family), inputs_for(family)
    before = captured(model, inputs)[0]
    with intervene(model, layer="*.0.*", head=1, scale=0):
        trace = captured(model, inputs)
    outputs, others = trace[0].outputs, [0, 2, 3]

    np.testing.assert_array_equal(outputs.norms[:, 1], 0)
    np.testing.assert_allclose(outputs.norms[:, others], before.outputs.norms[:, others], **FLOAT32)
    assert outputs.missing == before.outputs.missing
    if family == "gpt2":
        found = trace.explain(0, 1, 5, 3).promoted
        assert found.pair == found.row == ()
        assert str(trace.explain(0, 1, 5, 3)).endswith("nothing")
        weight, scale = trace[0].weights(2, 1)[4, 3], outputs.final_scale[1, 4]
        assert len(trace.explain(0, 2, 4, 3, batch=1).promoted.pair) == 2 * LISTED
        np.testing.assert_allclose(
            trace.explain(0, 2, 4, 3, batch=1).promoted.pair[0][1],
            weight * scale * before.outputs.key_logits[1, 2, 3, 0],
            rtol=1e-3,
        )


@pytest.mark.parametrize("change", [{"scale": 0}, {"hide_keys": range(20)}])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.filterwarnings("ignore:hide_keys:UserWarning")
def test_without_any_head_the_reason_is_that_nothing_is_written(change, steps):
    model = language_model("gemma2")
    warned = pytest.warns(UserWarning, match="every head's output is 0")
    with warned, intervene(model, **change), capture(model, outputs=True) as trace:
        model.generate(IDS[:1], max_new_tokens=steps, do_sample=False, pad_token_id=0)
    assert {call.outputs.missing for call in trace} == {
        "every head's output is 0, so that nothing is written"
    }


def test_values_are_needed():
    refused = pytest.raises(ValueError, match="outputs=True must have values")
    with refused, capture(nn.Linear(2, 2), outputs=True, values=False):
        pass
