"""What a capture says of layers that it has not, or not wholly, recorded."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import Trace, capture, head_importance, intervene, record  # noqa: E402
from attnpanel.bench.product.capture.families_in_pieces import (  # noqa: E402
    PIECES,
    TEXT,
    TOGETHER,
    VOCABULARY,
    B,
    T,
    built,
)
from attnpanel.trace.coverage import Coverage, LayerCoverage  # noqa: E402
from attnpanel.trace.trace import TraceFileError  # noqa: E402


@pytest.mark.parametrize("family", sorted(PIECES.keys() - set(TOGETHER)))
def test_attention_in_pieces_is_not_in_the_trace_and_its_layers_are_named(family):
    model, inputs = built(family)
    _, _, name, whole = PIECES[family]

    with torch.no_grad():
        plain = model(**inputs)[0]
        with (
            pytest.warns(UserWarning, match=rf"not recorded of .*{name}"),
            capture(model) as trace,
        ):
            during = model(**inputs)[0]

    torch.testing.assert_close(during, plain, rtol=0, atol=0)
    assert len(trace.calls) == whole
    left_out = trace.coverage.left_out
    assert left_out
    assert all(name in layer for layer in left_out)
    assert not set(left_out) & set(trace.layers)


@pytest.mark.parametrize("change", [{"temperature": 0.5}, {"hide_keys": 1}, {"scale": 0}])
@pytest.mark.parametrize("family", sorted(PIECES.keys() - {"Mra"}))
def test_an_intervention_names_layers_in_pieces_that_it_may_have_changed_in_part(family, change):
    model, inputs = built(family)

    with (
        torch.no_grad(),
        pytest.warns(UserWarning, match=rf"not all attention of layer .*{PIECES[family][2]}"),
        intervene(model, **change),
    ):
        model(**inputs)


def test_a_head_whose_rows_are_computed_apart_is_not_said_to_be_knocked_out():
    model, inputs = built("Longformer")
    inputs["global_attention_mask"] = torch.zeros(B, T).long().index_fill(1, torch.tensor([0]), 1)

    with (
        pytest.warns(UserWarning, match=r"not all attention of layer encoder\.layer\.0"),
        torch.no_grad(),
        intervene(model, scale=0),
    ):
        model(**inputs)


class Linear(nn.Module):
    """Linear attention, which has no weights."""

    def __init__(self):
        super().__init__()
        self.inputs = nn.Linear(8, 8)

    def forward(self, x):
        q = F.elu(self.inputs(x)) + 1
        return q @ (q.mT @ x)


class LinearAttention(Linear):
    pass


class Mixed(nn.Module):
    def __init__(self, other):
        super().__init__()
        self.own, self.other = nn.MultiheadAttention(8, 2, batch_first=True), other

    def forward(self, x):
        return self.other(self.own(x, x, x)[0])


def test_a_module_that_looks_like_attention_and_gave_no_call_is_named():
    with (
        pytest.warns(UserWarning, match=r"not recorded of other \(it looks like attention"),
        capture(model := Mixed(LinearAttention())) as trace,
    ):
        model(torch.randn(B, 5, 8))

    assert trace.coverage.seen == ("own",)
    assert set(trace.coverage.left_out) == {"other"}


@pytest.mark.filterwarnings("error")
def test_a_module_that_does_not_look_like_attention_is_none():
    with capture(model := Mixed(Linear())) as trace:
        model(torch.randn(B, 5, 8))

    assert trace.coverage.complete
    assert str(trace.coverage) == "1 of 1 attention layers captured"


@pytest.mark.filterwarnings("error")
def test_weights_that_a_module_hands_over_are_all_that_is_recorded_of_it():
    class Handing(nn.Module):
        def forward(self, q, k, v):
            weights = (q @ k.mT).softmax(-1)
            record(weights=weights, value=v)
            return weights[..., :3] @ v[..., :3, :] + weights[..., 3:] @ v[..., 3:, :]

    q, k, v = (torch.randn(B, 3, length, 7) for length in (5, 11, 11))
    with capture(model := Handing()) as trace:
        model(q, k, v)
        model(q[:, :, :2], k, v)

    assert trace.coverage.complete
    own = (q @ k.mT).softmax(-1).numpy()
    for call, rows in zip(trace.calls, (5, 2), strict=True):
        assert not call.live
        made = [[call.weights(h, b) for h in range(3)] for b in range(B)]
        np.testing.assert_array_equal(np.array(made), own[:, :, :rows])
        np.testing.assert_array_equal(call.value, v.numpy())


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({}, "record needs query, key and value, or weights"),
        ({"weights": torch.ones(2, 3, 5)}, r"weights must have axes \(B, H, T, S\)"),
        (
            {"weights": torch.ones(1, 2, 3, 5), "value": torch.ones(1, 2, 3, 7)},
            r"weights must have axes",
        ),
        ({"weights": torch.ones(1, 2, 3, 5), "scale": 2.0}, "weights replace query, key"),
    ],
)
def test_what_cannot_be_handed_over_is_refused(arguments, rule):
    with (
        pytest.warns(UserWarning, match="no attention"),
        capture(nn.Linear(2, 2)),
        pytest.raises(ValueError, match=rule),
    ):
        record(**arguments)


def test_coverage_is_saved_with_the_trace_and_files_without_one_are_read(tmp_path):
    with capture(model := nn.MultiheadAttention(8, 2)) as trace:
        model(*[torch.randn(5, 1, 8)] * 3)
    trace.save(tmp_path / "whole.safetensors")
    trace.coverage = Coverage((LayerCoverage("a", 1), LayerCoverage("b", 0, "it is fused")))
    trace.save(tmp_path / "part.safetensors")
    trace.coverage = None
    trace.save(tmp_path / "old.safetensors")

    coverages = [Trace.load(tmp_path / f"{name}.safetensors") for name in ("whole", "part", "old")]

    assert [str(loaded.coverage) for loaded in coverages] == [
        "1 of 1 attention layers captured",
        "1 of 2 attention layers captured; left out: b (it is fused)",
        "None",
    ]
    assert coverages[1].select(layers=0).coverage.left_out == {"b": "it is fused"}


def test_a_bad_coverage_in_a_file_is_one_clear_error(tmp_path):
    with capture(model := nn.MultiheadAttention(8, 2)) as trace:
        model(*[torch.randn(5, 1, 8)] * 3)
    path = tmp_path / "bad.safetensors"
    trace.save(path)
    # The same length, so that the header's stays right: a count that is text.
    data = path.read_bytes().replace(
        rb"[\"MultiheadAttention\",1,", rb"[\"MultiheadAttention\",[]", 1
    )
    path.write_bytes(data)

    with pytest.raises(TraceFileError, match=r"bad\.safetensors: "):
        Trace.load(path)


def llama():
    options = {**TEXT, "num_hidden_layers": 1}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**options)).eval()


class Distillation(nn.Module):
    """A student with a teacher that is none of its modules."""

    def __init__(self, teacher):
        super().__init__()
        self.student, self.hidden = llama(), [teacher]

    def forward(self, ids):
        return self.hidden[0](ids)[0], self.student(ids)[0]


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)

    def forward(self, ids):
        return (self.layer(self.embed(ids)),)


def without_parameters():
    model = Encoder()
    for module in list(model.modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach())
    return model


@pytest.mark.parametrize("teacher", [llama, Encoder, without_parameters])
def test_another_models_calls_are_neither_recorded_nor_changed(teacher):
    torch.manual_seed(0)
    model, ids = Distillation(teacher().eval()).eval(), torch.randint(3, 60, (B, 7))
    with torch.no_grad():
        before = model(ids)
        with intervene(model, scale=0), capture(model) as trace:
            after = model(ids)

    torch.testing.assert_close(after[0], before[0], rtol=0, atol=0)
    assert not torch.equal(after[1], before[1])
    assert trace.layers == ("student.model.layers.0.self_attn",)


def test_a_draft_model_is_not_part_of_the_model_that_it_assists():
    torch.manual_seed(0)
    model, draft, ids = llama(), llama(), torch.randint(3, 60, (1, 7))
    with torch.no_grad(), capture(model, stitch=False) as trace:
        model.generate(ids, assistant_model=draft, max_new_tokens=3, do_sample=False)
    with torch.no_grad(), capture(draft, stitch=False) as of_draft:
        model.generate(ids, assistant_model=draft, max_new_tokens=3, do_sample=False)

    assert trace.calls
    assert of_draft.calls
    for made, module in ((trace, model), (of_draft, draft)):
        # The first call's queries are those of this model's own weights.
        layer = module.model.layers[0]
        states = layer.input_layernorm(module.model.embed_tokens(ids))
        value = layer.self_attn.v_proj(states).view(1, 7, 4, 8).transpose(1, 2)
        first = next(call for call in made.calls if call.key_len >= 7)
        np.testing.assert_allclose(first.value[:, :, :7], value.detach().numpy(), atol=1e-6)


def test_a_module_made_on_the_way_and_without_parameters_is_the_models():
    class Core(nn.Module):
        def forward(self, q, k, v):
            return nn.Softmax(-1)(q @ k.mT) @ v

    class Around(nn.Module):
        def forward(self, x):
            return Core()(x, x, x)

    with capture(model := Around()) as trace:
        model(torch.randn(B, 3, 5, 7))

    assert trace.layers == ("Around",)


# In a process of its own: a fork of one with threads, as JAX starts them, may deadlock.
FORK = """
import os, torch
from torch import nn
from attnpanel import intervene
model, x = nn.MultiheadAttention(8, 2).eval(), torch.randn(5, 1, 8)
with torch.no_grad():
    plain = model(x, x, x)[0]
    with intervene(model, scale=0):
        child = os.fork()
        if child == 0:
            os._exit(3 if torch.equal(model(x, x, x)[0], plain) else 4)
        _, status = os.waitpid(child, 0)
        changed = model(x, x, x)[0]
print(os.waitstatus_to_exitcode(status), torch.equal(changed, plain))
"""


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.posix
def test_a_forked_process_is_not_in_its_parents_block():
    ran = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)

    assert ran.stdout == "3 False\n"


def test_transformations_are_each_one_sentence():
    from torch.fx.experimental.proxy_tensor import make_fx

    class Own(nn.Module):
        def forward(self, x):
            return (x @ x.mT).softmax(-1) @ x

    for sentence, run in (
        ("torch.vmap hides the numbers", lambda m: torch.vmap(m)(torch.randn(3, 5, 7))),
        ("torch.func hides the numbers", lambda m: torch.func.jacrev(m)(torch.randn(5, 7))),
        ("torch.func hides the numbers", lambda m: torch.func.vjp(m, torch.randn(5, 7))),
        ("a tracer runs a model without", lambda m: make_fx(m)(torch.randn(5, 7))),
        ("torch.export runs a model", lambda m: torch.export.export(m, (torch.randn(5, 7),))),
    ):
        with (
            pytest.warns(UserWarning, match=rf"not recorded of Own \({sentence}"),
            capture(model := Own()) as trace,
        ):
            run(model)
        assert trace.calls == ()


def test_importance_of_a_head_that_cannot_be_knocked_out_is_unknown():
    class Chunked(nn.Module):
        def forward(self, q, k, v):
            weights = (q @ k.mT).sigmoid() / 5
            record(weights=weights, value=v)
            return (weights[..., 1:] @ v[:, :, 1:]).flatten(1, 2)

    model, x = Chunked(), torch.randn(B, 3, 5, 7)
    with capture(model) as trace:
        model(x, x, x)

    with pytest.warns(UserWarning, match="importance of layer Chunked is unknown"):
        (importance,) = head_importance(model, lambda: model(x, x, x), trace)

    assert np.isnan(importance).all()
