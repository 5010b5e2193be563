"""Interventions, on every route, against a forward pass written out from the formula."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch.utils.checkpoint import checkpoint  # noqa: E402

from attnpanel import Trace, capture, intervene  # noqa: E402
from tests.unit.models.intervene.intervention_cases import CHANGES, attended  # noqa: E402

# Sums of a few float32 products in another order.
ATOL = 1e-5
B, H, T, S, D = 2, 3, 5, 7, 11
HIDDEN = torch.ones(B, 1, 1, S, dtype=torch.bool)
HIDDEN[1, :, :, 5:] = False
BAND = torch.ones(T, S, dtype=torch.bool).tril().triu(-3)
BAND[0, T:] = True  # a key that nobody sees would be left out of a trace
ADDED = torch.linspace(-2, 2, H * T * S).reshape(1, H, T, S)


def sdpa(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


def sdpa_masked(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=HIDDEN, scale=0.4)


def sdpa_causal(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def sdpa_biased(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=ADDED)


def sdpa_grouped(q, k, v):
    return F.scaled_dot_product_attention(q, k[:, :1], v[:, :1], enable_gqa=True)


def matmul(q, k, v):
    scores = q @ k.mT / D**0.5
    return scores.masked_fill(~BAND, float("-inf")).softmax(-1) @ v


def folded(q, k, v):
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    scores = torch.baddbmm(ADDED.expand(B, -1, -1, -1).flatten(0, 1), q, k.mT, alpha=D**-0.5)
    return torch.bmm(F.softmax(scores, dim=-1), v).unflatten(0, (B, H))


def einsum(q, k, v):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    weights = torch.einsum("bqhd,bkhd->bhqk", q, k).div(D**0.5).softmax(-1)
    return torch.einsum("bhqk,bkhd->bqhd", F.dropout(weights, 0.5, training=False), v).transpose(
        1, 2
    )


def exponentials(q, k, v):
    scores = (q @ k.mT) * D**-0.5
    power = (scores - scores.amax(-1, keepdim=True)).exp()
    return (power / power.sum(-1, keepdim=True)) @ v


def grouped(q, k, v):
    q, k, v = q.unflatten(1, (1, H)), k[:, :1, None], v[:, :1, None]
    return ((q @ k.mT / D**0.5).softmax(-1) @ v).flatten(1, 2)


# What each route does beyond q·k/√D: the scale, what is added, whether keys are shared.
ROUTES = {
    sdpa: (D**-0.5, None, False),
    sdpa_masked: (0.4, torch.zeros(HIDDEN.shape).masked_fill(~HIDDEN, -torch.inf), False),
    sdpa_causal: (
        D**-0.5,
        torch.zeros(T, S).masked_fill(torch.ones(T, S).triu(1) > 0, -torch.inf),
        False,
    ),
    sdpa_biased: (D**-0.5, ADDED, False),
    sdpa_grouped: (D**-0.5, None, True),
    matmul: (D**-0.5, torch.zeros(T, S).masked_fill(~BAND, -torch.inf), False),
    folded: (D**-0.5, ADDED, False),
    einsum: (D**-0.5, None, False),
    exponentials: (D**-0.5, None, False),
    grouped: (D**-0.5, None, True),
}


class Attention(nn.Module):
    """Attention over given tensors, computed by one of the routes."""

    num_heads = H

    def __init__(self, route):
        super().__init__()
        self.route = route

    def forward(self, q, k, v):
        return self.route(q, k, v)


class Two(nn.Module):
    """The same attention twice, under two names."""

    def __init__(self, route=sdpa):
        super().__init__()
        self.first, self.second = Attention(route), Attention(route)

    def forward(self, q, k, v):
        return self.second(self.first(q, k, v), k, v)


def tensors(seed=3, dv=D):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((B, H, T, D), (B, H, S, D), (B, H, S, dv))
    return tuple(2 * torch.randn(shape, generator=generator) for shape in shapes)


def by_formula(route, change, heads, q, k, v):
    scale, added, shared = ROUTES[route]
    if shared:
        k, v = k[:, :1].expand_as(k), v[:, :1].expand_as(v)
    scores = q @ k.mT * scale
    return attended(scores if added is None else scores + added, v, change, heads)


def assert_close(actual, expected):
    np.testing.assert_allclose(
        actual.detach().numpy(), expected.detach().numpy(), rtol=0, atol=ATOL
    )


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
def test_chosen_heads_are_the_formulas_and_the_others_the_models_own(route, change):
    model, inputs = Attention(route), tensors()
    plain = model(*inputs)

    with intervene(model, head=[0, 2], **CHANGES[change][0](T, S)):
        during = model(*inputs)
    after = model(*inputs)

    assert_close(during, by_formula(route, change, (0, 2), *inputs))
    assert torch.equal(during[:, 1], plain[:, 1])
    assert torch.equal(after, plain)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
def test_a_capture_records_the_changed_attention(route, change):
    model, inputs = Attention(route), tensors()
    asked = CHANGES[change][0](T, S)

    with intervene(model, head=1, **asked), capture(model) as trace:
        during = model(*inputs)

    (call,) = trace.calls
    heads = [[call.weights(h, b) for h in range(H)] for b in range(B)]
    assert call.live == ("weights" not in asked)
    values = inputs[2][:, :1].expand(-1, H, -1, -1) if ROUTES[route][2] else inputs[2]
    scale = torch.tensor([1, CHANGES[change][2], 1])[:, None, None]
    values = values[:, :, : call.key_len]  # keys at the end that nobody sees are left out
    assert_close(torch.from_numpy(np.stack(heads)) @ values * scale, during)
    if call.live:
        outputs = [[call.attention(h, b).output for h in range(H)] for b in range(B)]
        assert_close(torch.from_numpy(np.stack(outputs)), during)


def sdpa_folded(q, k, v):
    return F.scaled_dot_product_attention(*(x.flatten(0, 1) for x in (q, k, v))).unflatten(
        0, (B, H)
    )


@pytest.mark.parametrize("route", [folded, sdpa_folded])
def test_folded_heads_separates_heads_that_are_folded_into_the_batch(route):
    model, inputs = Attention(route), tensors()
    model.num_heads = None
    plain = model(*inputs)

    with intervene(model, head=2, scale=0, folded_heads=H):
        during = model(*inputs)
    with capture(model, folded_heads=H) as trace:
        model(*inputs)

    assert during[:, 2].abs().max() == 0
    assert torch.equal(during[:, :2], plain[:, :2])
    (call,) = trace.calls
    assert (call.batch, call.heads, call.live) == (B, H, True)
    outputs = [[call.attention(h, b).output for h in range(H)] for b in range(B)]
    assert_close(torch.from_numpy(np.stack(outputs)), plain)


def test_a_number_of_folded_heads_that_is_none_is_refused():
    model, inputs = Attention(folded), tensors()
    with pytest.raises(ValueError, match="folded_heads must be at least 1; got 0"):
        capture(model, folded_heads=0).__enter__()
    with (
        pytest.raises(ValueError, match=f"folded_heads=5 must divide the batch.*got {B * H}"),
        intervene(model, scale=0, folded_heads=5),
    ):
        model(*inputs)
    with pytest.warns(UserWarning, match="folded_heads=5"), capture(model, folded_heads=5):
        model(*inputs)


@pytest.mark.parametrize("route", [sdpa, matmul, folded, einsum, exponentials])
def test_a_head_that_is_knocked_out_gives_0_for_infinite_values_too(route):
    model, (q, k, v) = Attention(route), tensors()
    plain = model(q, k, v)
    v[:, 1, 4] = torch.inf

    with intervene(model, head=1, scale=0):
        during = model(q, k, v)

    assert torch.equal(during[:, 1], torch.zeros_like(during[:, 1]))
    assert torch.equal(during[:, [0, 2]], plain[:, [0, 2]])


def test_multihead_attention_gives_0_for_infinite_values_of_a_head_that_is_knocked_out():
    torch.manual_seed(5)
    model, x = nn.MultiheadAttention(12, 3, batch_first=True).eval(), torch.randn(B, T, 12)
    with torch.no_grad():
        model.in_proj_bias[2 * 12 + 4] = torch.inf  # a value of head 1
        for need_weights in (True, False):
            with intervene(model, head=1, scale=0):
                assert model(x, x, x, need_weights=need_weights)[0].isfinite().all()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
def test_a_scale_may_differ_between_sequences(route):
    model, inputs = Attention(route), tensors()
    plain = model(*inputs)

    with intervene(model, head=[2, 0], scale=np.array([[0.5, 1.0], [0.0, -2.0]])):
        during = model(*inputs)

    factors = torch.tensor([[1.0, 1.0, 0.5], [-2.0, 1.0, 0.0]])
    assert_close(during, plain * factors[..., None, None])
    assert torch.equal(during[:, 1], plain[:, 1])


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_multihead_attention_is_changed_as_in_the_formula(change, need_weights):
    torch.manual_seed(5)
    model = nn.MultiheadAttention(12, 3, batch_first=True).eval()
    x, padded = torch.randn(B, T, 12), torch.arange(T).expand(B, T) >= torch.tensor([[T], [3]])

    with (
        intervene(model, head=(0, 1), **CHANGES[change][0](T, T)),
        capture(model) as trace,
    ):
        during, given = model(
            x, x, x, key_padding_mask=padded, need_weights=need_weights, average_attn_weights=False
        )

    mixed = x @ model.in_proj_weight.T + model.in_proj_bias
    q, k, v = (part.unflatten(-1, (3, 4)).transpose(1, 2) for part in mixed.chunk(3, dim=-1))
    scores = (q @ k.mT / 2).masked_fill(padded[:, None, None], -torch.inf)
    heads = attended(scores, v, change, (0, 1))
    assert_close(during, model.out_proj(heads.transpose(1, 2).flatten(2)))
    recorded = [[trace.calls[0].weights(h, b) for h in range(3)] for b in range(B)]
    scale = torch.tensor([CHANGES[change][2]] * 2 + [1.0])[:, None, None]
    assert_close(torch.from_numpy(np.stack(recorded)) @ v * scale, heads)
    if need_weights:
        assert_close(given, torch.from_numpy(np.stack(recorded)))


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


def test_weights_that_are_no_softmax_of_their_scores_are_not_changed_wrongly():
    def muted(q, k, v):
        power = (q @ k.mT).exp() * BAND
        return (power / power.sum(-1, keepdim=True)) @ v

    model = Attention(muted)

    with (
        pytest.raises(ValueError, match=r"layer 'Attention' cannot be changed: its weights are"),
        intervene(model, temperature=2.0),
    ):
        model(*tensors())


def test_nothing_changed_is_a_warning_that_names_the_layers():
    model, inputs = Two(), tensors()

    with (
        pytest.warns(UserWarning, match=r"matches none of the 2 calls.*named first, second"),
        intervene(model, layer="encoder.*", scale=0),
    ):
        model(*inputs)
    with (
        pytest.warns(UserWarning, match=r"no attention of Two was changed. Run the model inside"),
        intervene(model, scale=0),
    ):
        pass


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({}, "an intervention must change something"),
        ({"temperature": 0}, "temperature must be above 0; got 0"),
        ({"temperature": float("nan")}, "temperature must be finite"),
        ({"scale": "0"}, "scale must be a number; got '0'"),
        (
            {"scale": np.array([1, 2])},
            r"scale must be .* a float array.*; got int64 of shape \(2,\)",
        ),
        ({"scale": np.array([0, np.nan])}, "scale must be finite throughout"),
        ({"mask": "causl"}, "mask must be one of causal, window; got 'causl'"),
        ({"mask": "window"}, "mask='window' and window go together; got 'window' and None"),
        ({"mask": np.zeros((T, S))}, "mask must be 'causal', 'window' or a bool array"),
        ({"hide_keys": -1}, "hide_keys must be an integer from 0"),
        ({"hide_edges": [3]}, r"hide_edges must hold pairs \(query, key\); got 3"),
        ({"weights": "flat"}, "weights must be one of uniform, diagonal; got 'flat'"),
        ({"weights": [[1, 0]]}, "weights must be 'uniform', 'diagonal', a Trace or a float array"),
        ({"weights": "uniform", "temperature": 2}, "temperature must be 1"),
        ({"weights": "diagonal", "mask": "causal"}, "a mask needs weights=None or 'uniform'"),
        ({"scale": 0, "head": -1}, "head must be an integer from 0"),
        ({"scale": 0, "head": []}, "head must name at least one head"),
    ],
)
def test_an_argument_outside_its_rule_is_refused_before_anything_runs(asked, complaint):
    with pytest.raises(ValueError, match=complaint), intervene(Attention(sdpa), **asked):
        pass


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"scale": 0, "head": 3}, r"head must be in 0\.\.2 in layer 'Attention'; got 3"),
        ({"scale": np.zeros(2)}, r"scale must broadcast to .* = \(2, 3\).*; got shape \(2,\)"),
        ({"mask": np.ones((4, S), bool)}, r"mask must broadcast to .* = \(2, 3, 5, 7\)"),
        ({"weights": np.ones((4, S))}, r"weights must broadcast to .* = \(2, 3, 5, 7\)"),
        ({"weights": Trace()}, "the trace must have layer 'Attention'; it has none"),
    ],
)
@pytest.mark.parametrize("route", [sdpa, einsum], ids=lambda route: route.__name__)
def test_arguments_that_do_not_fit_a_call_raise_from_the_forward_pass(route, asked, complaint):
    model = Attention(route)

    with pytest.raises(ValueError, match=complaint), intervene(model, **asked):
        model(*tensors())


def test_dropout_falls_on_the_changed_weights_as_on_the_models_own():
    model = Attention(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, dropout_p=0.5))
    q, k, v = tensors()

    torch.manual_seed(1)
    with intervene(model, weights="uniform"):
        during = model(q, k, torch.ones_like(v))

    # Each of 7 keys is dropped or counts 2/7: sums are multiples of 2/7 and differ.
    steps = during * S / 2
    assert_close(steps, steps.round())
    assert len(steps.round().unique()) > 2


@pytest.mark.parametrize("route", [sdpa, matmul], ids=lambda route: route.__name__)
def test_arrays_hold_heads_in_the_order_that_is_asked_for(route):
    model, inputs = Attention(route), tensors()
    weights = np.stack([np.eye(T, S), np.full((T, S), 0.5), np.zeros((T, S))])
    mask = np.stack([np.eye(T, S, dtype=bool), np.ones((T, S), dtype=bool)])

    for asked in ({"weights": weights}, {"mask": mask}):
        ((name, array),) = asked.items()
        order = [2, 0, 1][: len(array)]
        with intervene(model, head=order, **asked):
            together = model(*inputs)
        for at, head in enumerate(order):
            with intervene(model, head=head, **{name: array[at]}):
                assert_close(model(*inputs)[:, head], together[:, head])


def test_numpys_integers_name_heads():
    model, inputs = Attention(sdpa), tensors()

    with intervene(model, head=np.int64(2), scale=0):
        during = model(*inputs)

    assert [bool(during[:, head].any()) for head in range(H)] == [True, True, False]
    for truth in (True, np.True_):
        with pytest.raises(ValueError, match="head must be"), intervene(model, head=truth, scale=0):
            pass


def einsum_of_a_list(weights, v):
    return torch.einsum("bhqk,bhkd->bhqd", [weights, v])


def matmul_by_names(weights, v):
    return torch.matmul(input=weights, other=v)


@pytest.mark.parametrize("mix", [einsum_of_a_list, matmul_by_names])
def test_a_head_is_knocked_out_however_its_product_is_spelled(mix):
    model, inputs = Attention(lambda q, k, v: mix((q @ k.mT).softmax(-1), v)), tensors()
    plain = model(*inputs)

    with intervene(model, head=1, scale=0):
        during = model(*inputs)

    assert not during[:, 1].any()
    assert torch.equal(during[:, ::2], plain[:, ::2])


def test_a_scale_that_reaches_no_output_is_an_error():
    def mixed_by_sums(q, k, v):
        return ((q @ k.mT).softmax(-1)[..., None] * v[:, :, None]).sum(-2)

    model, inputs = Attention(mixed_by_sums), tensors()

    with (
        pytest.raises(
            ValueError, match="scale cannot be applied to the output of layer 'Attention'"
        ),
        intervene(model, scale=0),
    ):
        model(*inputs)
    with intervene(model, temperature=0.5):
        model(*inputs)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_nested_tensors_are_refused_with_a_clear_message():
    model, parts = Attention(sdpa), [torch.ones(length, H, D) for length in (T, 3)]
    ragged = torch.nested.nested_tensor(parts, layout=torch.jagged).transpose(1, 2)

    with (
        pytest.raises(ValueError, match=r"'Attention' cannot be changed: .* nested tensors"),
        intervene(model, scale=0),
    ):
        model(ragged, ragged, ragged)


def test_heads_come_last_of_the_axes_before_queries():
    model, (q, k, v) = Attention(matmul), tensors()
    windows = [x.unflatten(0, (1, B)) for x in (q, k, v)]

    with intervene(model, head=2, scale=0), capture(model) as trace:
        during = model(*windows)

    assert not during[:, :, 2].any()
    assert during[:, :, :2].any(-1).all()
    assert (trace.calls[0].batch, trace.calls[0].heads) == (B, H)
