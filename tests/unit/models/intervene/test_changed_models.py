"""Interventions in whole models: checkpoints, compiled, fused, nested, threads."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch.utils.checkpoint import checkpoint  # noqa: E402

from attnpanel import capture, intervene  # noqa: E402
from tests.unit.models.intervene.attention_routes import (  # noqa: E402
    Attention,
    B,
    D,
    S,
    T,
    Two,
    assert_close,
    by_formula,
    exponentials,
    matmul,
    sdpa,
    sdpa_masked,
    tensors,
)
from tests.unit.models.intervene.intervention_cases import CHANGES  # noqa: E402


class Checkpointed(nn.Module):
    """Two layers of attention, each checkpointed: a backward pass may compute it again."""

    def __init__(self, kind):
        super().__init__()
        self.first, self.second, self.kind = Attention(matmul), Attention(sdpa), kind

    def forward(self, q, k, v):
        for layer in (self.first, self.second, self.written_here):
            q = self.piece(layer, q, k, v)
        return q

    def piece(self, layer, *tensors):
        if self.kind == "none":
            return layer(*tensors)
        return checkpoint(layer, *tensors, use_reentrant=self.kind == "reentrant")

    @staticmethod
    def written_here(q, k, v):  # no module's own forward: its layer is who called the checkpoint
        return F.scaled_dot_product_attention(q, k, v)


def a_trace_of_two_runs(inputs):
    """Run the checkpointed layers twice, with different weights."""
    model, (q, k, v) = Checkpointed("none"), inputs
    with capture(model) as trace:
        model(q, k, v)
        model(-2 * q, k, v)
    return trace


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("kind", ["reentrant", "in one pass"])
def test_what_a_checkpoint_computes_again_is_changed_as_the_forward_pass_was(kind, later):
    inputs = tensors()
    trace = a_trace_of_two_runs(inputs)

    def gradients(kind, *, later):
        model, leaves = Checkpointed(kind), [x.clone().requires_grad_() for x in inputs]
        with ExitStack() as block:
            block.enter_context(intervene(model, head=0, weights=trace))
            block.enter_context(intervene(model, head=1, temperature=0.5, scale=-2))
            block.enter_context(intervene(model, head=2, hide_edges=[(4, 2)]))
            losses = [model(*leaves).square().sum() for _ in range(2)]
            if later:
                block.close()
            for loss in reversed(losses):
                loss.backward()
        return [leaf.grad for leaf in leaves]

    expected = gradients("none", later=False)
    found = gradients(kind, later=later)

    for gradient, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(gradient.numpy(), wanted.numpy(), rtol=0, atol=1e-4)
    assert max(float(gradient.abs().max()) for gradient in expected) > 1


def test_a_fused_encoder_is_changed_in_the_layer_that_is_meant():
    torch.manual_seed(5)
    layer = nn.TransformerEncoderLayer(12, 4, 20, batch_first=True)
    model, x = nn.TransformerEncoder(layer, 2).eval(), torch.randn(B, T, 12)
    with torch.no_grad():
        plain = model(x)

        with intervene(model, layer="layers.1.*", head=3, scale=0), capture(model) as trace:
            during = model(x)
        after = model(x)

        # A head's output is unused if the output projection ignores it.
        model.layers[1].self_attn.out_proj.weight[:, 9:] = 0
        expected = model(x)
    assert trace.layers == ("layers.0.self_attn", "layers.1.self_attn")
    assert torch.equal(after, plain)
    assert (during - plain).abs().max() > 0.01
    assert_close(during, expected)


def test_a_compiled_model_is_changed_and_compiled_again_afterwards():
    model, inputs, graphs = Two(), tensors(), []

    def compiler(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    runs = torch.compile(model, backend=compiler)
    plain = runs(*inputs)
    compiled = len(graphs)

    with intervene(model, layer="second", head=1, temperature=0.5), capture(model) as trace:
        during = runs(*inputs)

    first = model.first(*inputs)
    assert_close(during, by_formula(sdpa, "sharp", (1,), first, *inputs[1:]))
    assert trace.layers == ("first", "second")
    assert torch.equal(runs(*inputs), plain)
    assert len(graphs) == compiled


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("change", ["sharp", "edge", "uniform", "half"])
def test_flex_attention_called_directly_is_changed(change):
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def banded(_b, _h, i, j):
        return ((j <= i) & (j > i - 4)) | ((i == 0) & (j >= T))  # BAND

    def route(q, k, v):
        mask = create_block_mask(banded, None, None, T, S, device="cpu", BLOCK_SIZE=128)
        return flex_attention(q, k, v, block_mask=mask)

    model, inputs = Attention(route), tensors()
    with (
        torch.no_grad(),
        intervene(model, head=1, **CHANGES[change][0](T, S)),
        capture(model) as trace,
    ):
        during = model(*inputs)

    assert_close(during, by_formula(matmul, change, (1,), *inputs))
    assert len(trace.calls) == 1


def test_layers_and_heads_are_chosen_by_pattern():
    model, inputs = Two(), tensors()
    first = model.first(*inputs)

    with intervene(model, layer=["sec*"], head=slice(1, None), temperature=0.5):
        during = model(*inputs)

    assert_close(during, by_formula(sdpa, "sharp", (1, 2), first, *inputs[1:]))


def test_nested_blocks_add_up():
    model, (q, k, v) = Attention(sdpa), tensors()

    with (
        intervene(model, head=0, temperature=2.0),
        intervene(model, head=[0, 1], hide_keys=0),
        intervene(model, head=2, scale=0),
        intervene(model, temperature=0.25),
    ):
        during = model(q, k, v)

    scores = q @ k.mT * D**-0.5
    hidden = scores.clone()
    hidden[..., 0] = -torch.inf
    expected = torch.stack(
        [
            (hidden[:, 0] / 0.5).softmax(-1) @ v[:, 0],
            (hidden[:, 1] / 0.25).softmax(-1) @ v[:, 1],
            torch.zeros(B, T, D),
        ],
        dim=1,
    )
    assert_close(during, expected)


@pytest.mark.parametrize("route", [sdpa_masked, matmul], ids=lambda route: route.__name__)
def test_weights_of_another_run_are_put_in_place(route):
    model, (q, k, v) = Two(route), tensors()
    others = tensors(seed=4)
    with capture(model) as trace:
        model(*others)

    with intervene(model, layer="second", head=[0, 2], weights=trace):
        during = model(q, k, v)

    first = model.first(q, k, v)
    expected = model.second(first, k, v).clone()
    for head in (0, 2):
        weights = np.stack([trace.calls[1].weights(head, b) for b in range(B)])
        expected[:, head] = torch.from_numpy(weights) @ v[:, head]
    assert_close(during, expected)


def test_a_part_of_a_trace_gives_the_heads_it_holds():
    model, inputs = Attention(sdpa), tensors()
    with capture(model) as trace:
        plain = model(*inputs)
    part = trace.select(heads=[1])

    with intervene(model, head=1, weights=part):
        assert_close(model(*inputs), plain)
    with (
        pytest.raises(ValueError, match=r"the trace must hold head 2 of layer 'Attention'"),
        intervene(model, head=2, weights=part),
    ):
        model(*inputs)


@pytest.mark.parametrize("route", [sdpa, matmul], ids=lambda route: route.__name__)
def test_a_query_that_sees_no_key_gives_zero_and_no_nan_in_its_gradient(route):
    model = Attention(route)
    q, k, v = (x.requires_grad_() for x in tensors())

    with intervene(model, head=1, hide_keys=range(S)):
        during = model(q, k, v)
    during.sum().backward()

    assert not during[:, 1].any()
    assert q.grad.isfinite().all()
    assert not q.grad[:, 1].any()
    assert q.grad[:, 0].any()


@pytest.mark.parametrize("route", [sdpa, exponentials], ids=lambda route: route.__name__)
def test_gradients_flow_through_what_is_changed(route):
    model = Attention(route)
    q, k, v = tensors()
    ours, theirs = q.clone().requires_grad_(), q.clone().requires_grad_()

    with intervene(model, temperature=0.5, scale=3):
        model(ours, k, v).square().sum().backward()
    expected = 3 * ((theirs @ k.mT * D**-0.5 / 0.5).softmax(-1) @ v)
    expected.square().sum().backward()

    np.testing.assert_allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-3)


def test_an_exception_in_the_block_leaves_the_model_as_it_was():
    model, inputs = Attention(sdpa), tensors()
    plain = model(*inputs)

    with pytest.raises(RuntimeError, match="stop"), intervene(model, scale=0):  # noqa: PT012 - the block is what is left
        model(*inputs)
        raise RuntimeError("stop")

    assert torch.equal(model(*inputs), plain)


def test_another_thread_and_another_model_are_not_changed():
    model, other, inputs = Attention(sdpa), Attention(sdpa), tensors()
    plain, seen = model(*inputs), []

    with intervene(model, scale=0):
        thread = threading.Thread(target=lambda: seen.append(model(*inputs)))
        thread.start()
        thread.join()
        seen.append(other(*inputs))
        assert not model(*inputs).any()

    assert all(torch.equal(output, plain) for output in seen)


def test_attention_outside_the_model_stays():
    model, inputs = Attention(matmul), tensors()
    plain = matmul(*inputs)

    with intervene(model, temperature=0.5):
        assert not torch.equal(model(*inputs), plain)
        assert torch.equal(matmul(*inputs), plain)
