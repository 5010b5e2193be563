"""What a function mode does not see is named; the turns of a loop over heads are one call."""

from __future__ import annotations

import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture, intervene  # noqa: E402

B, H, T, D = 2, 3, 5, 7
C = H * D


class Projecting(nn.Module):
    """Queries, keys and values of one input; a subclass says how they meet, in `mix`."""

    def __init__(self):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(C, C) for _ in range(3))

    def forward(self, x):
        projections = (self.q_proj, self.k_proj, self.v_proj)
        heads = (f(x).view(*x.shape[:2], H, D).transpose(1, 2) for f in projections)
        return self.mix(*heads).transpose(1, 2).flatten(2)


def softmax_attention(q, k, v):
    return (q @ k.mT).softmax(-1) @ v


class Picking(Projecting):
    def mix(self, q, k, v):
        best = (q @ k.mT).argmax(-1, keepdim=True)
        return v.gather(2, best.expand(-1, -1, -1, D))


class ModeOff(Projecting):
    def forward(self, x):
        with torch._C.DisableTorchFunction():
            return super().forward(x)

    mix = staticmethod(softmax_attention)


class InAThread(Projecting):
    def mix(self, q, k, v):
        mixed = []
        thread = threading.Thread(target=lambda: mixed.append(softmax_attention(q, k, v)))
        thread.start()
        thread.join()
        return mixed[0]


class InNumPy(Projecting):
    def mix(self, q, k, v):
        q, k, v = (x.detach().numpy() for x in (q, k, v))
        exponentials = np.exp(q @ k.swapaxes(-1, -2))
        return torch.from_numpy(exponentials / exponentials.sum(-1, keepdims=True) @ v)


class Retaining(Projecting):
    def mix(self, q, k, v):
        return (q @ k.mT * torch.ones(T, T).tril()) @ v


class NamedOddly(nn.Module):
    """Three projections of one input under names that say nothing."""

    def __init__(self):
        super().__init__()
        self.f, self.g, self.h = (nn.Linear(C, C) for _ in range(3))

    def forward(self, x):
        return F.elu(self.f(x)) @ (F.elu(self.g(x)).mT @ self.h(x))


class Convolving(nn.Module):
    """A dynamic convolution, as fairseq's."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Linear(C, H * 3)

    def forward(self, x):
        weights = self.kernel(x).view(-1, T, H, 3).softmax(-1)
        window = F.pad(x, (0, 0, 2, 0)).unfold(1, 3, 1).unflatten(2, (H, D))
        return torch.einsum("bthdk,bthk->bthd", window, weights).flatten(2)


class Scripted(Projecting):
    def __init__(self):
        super().__init__()
        # A list holds it, as a function of a module would.
        self.functions = [torch.jit.script(softmax_attention)]

    def mix(self, q, k, v):
        return self.functions[0](q, k, v)


class ScriptedBlock(nn.Module):
    """A script whose class is not named like attention; its graph is."""

    def __init__(self):
        super().__init__()
        self.mixer = torch.jit.script(Mixer())

    def forward(self, x):
        return self.mixer(x)


class Mixer(nn.Module):
    def forward(self, x):
        return torch.softmax(x @ x.transpose(-1, -2), -1) @ x


class Sometimes(Projecting):
    """Attention of which one of two runs cannot be seen."""

    def mix(self, q, k, v):
        self.runs = getattr(self, "runs", 0) + 1
        return softmax_attention(q, k, v) if self.runs % 2 else InNumPy.mix(self, q, k, v)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = Sometimes()

    def forward(self, x):
        return self.layer(self.layer(x))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize(
    ("layer", "named", "reason"),
    [
        (Picking, "other", "it picks values by the largest of its scores"),
        (ModeOff, "other", r"it runs code under torch\._C\.DisableTorchFunction"),
        (InAThread, "other", "it computes in other threads"),
        (InNumPy, "other", "it looks like attention"),
        (Retaining, "other", "it looks like attention"),
        (NamedOddly, "other", "it projects one input three times"),
        (Convolving, "other", "it weighs a window around each position by a softmax"),
        (Scripted, "other", r"it calls a function compiled by torch\.jit"),
        (ScriptedBlock, "other.mixer", r"it is a torch\.jit script"),
        (Twice, "other.layer", "it ran 2 times, and 1 of its runs gave a call"),
    ],
)
def test_what_gives_no_call_is_named_beside_what_does(layer, named, reason):
    model = nn.Sequential()
    model.own, model.other = nn.MultiheadAttention(C, H, batch_first=True), layer()
    x = torch.randn(B, T, C)

    with (
        torch.no_grad(),
        pytest.warns(UserWarning, match=rf"not recorded of {named} \({reason}"),
        capture(model) as trace,
    ):
        model.other(model.own(x, x, x)[0])

    assert trace.coverage.seen == ("own",)
    assert set(trace.coverage.left_out) == {named}


@pytest.mark.filterwarnings("error")
def test_a_module_that_is_no_attention_is_not_named():
    class Gated(nn.Module):
        """A gated perceptron, a router over experts and a thread that is no model's."""

        def __init__(self):
            super().__init__()
            self.gate, self.up, self.down = nn.Linear(C, C), nn.Linear(C, C), nn.Linear(C, C)
            self.experts = nn.ModuleList(nn.Linear(C, C) for _ in range(3))
            self.router = nn.Linear(C, 3)

        def forward(self, x):
            chosen = self.router(x).softmax(-1)
            x = self.down(F.silu(self.gate(x)) * self.up(x))
            return sum(chosen[..., i : i + 1] * f(x) for i, f in enumerate(self.experts))

    model = nn.Sequential()
    model.own, model.other = nn.MultiheadAttention(C, H, batch_first=True), Gated()
    x = torch.randn(B, T, C)
    with capture(model) as trace:
        model.other(model.own(x, x, x)[0])

    assert trace.coverage.complete


class OneHot(Projecting):
    def mix(self, q, k, v):
        self.own = F.one_hot((q @ k.mT).argmax(-1), T).float()
        return self.own @ v


class TopTwo(Projecting):
    def mix(self, q, k, v):
        scores, keys = (q @ k.mT).topk(2, -1)
        self.own = torch.zeros(*q.shape[:3], T).scatter(-1, keys, scores.softmax(-1))
        return self.own @ v


class LoopOverHeads(Projecting):
    def mix(self, q, k, v):
        weights = [(q[:, h] @ k[:, h].mT).softmax(-1) for h in range(H)]
        self.own = torch.stack(weights, 1)
        return torch.stack([weights[h] @ v[:, h] for h in range(H)], 1)


class LoopOverSequences(Projecting):
    def mix(self, q, k, v):
        self.own = (q @ k.mT).softmax(-1)
        return torch.stack([softmax_attention(*x) for x in zip(q, k, v, strict=True)])


class LoopOverBoth(Projecting):
    """Sequences inside heads, of memory where positions come first."""

    def mix(self, q, k, v):
        self.own = (q @ k.mT).softmax(-1)
        q, k, v = (x.permute(2, 0, 1, 3).contiguous().permute(1, 2, 0, 3) for x in (q, k, v))
        heads = ([softmax_attention(q[b, h], k[b, h], v[b, h]) for b in range(B)] for h in range(H))
        return torch.stack([torch.stack(head) for head in heads], 1)


class LoopOverFolded(Projecting):
    """Heads folded into the batch, four at a time."""

    def mix(self, q, k, v):
        self.own = (q @ k.mT).softmax(-1)
        parts = zip(*(x.flatten(0, 1).split(4) for x in (q, k, v)), strict=True)
        return torch.cat([softmax_attention(*part) for part in parts]).unflatten(0, (B, H))


class LoopOverGroups(Projecting):
    """Sequences, and groups of heads that share their key."""

    def mix(self, q, k, v):
        self.own = (q @ k[:, :1].mT).softmax(-1)
        heads = slice(0, 1), slice(1, 3)
        rows = ([softmax_attention(q[b, h], k[b, 0], v[b, h]) for h in heads] for b in range(B))
        return torch.stack([torch.cat(row) for row in rows])


class LoopOfAddedProducts(Projecting):
    num_heads = H

    def mix(self, q, k, v):
        bias = -torch.arange(T).expand(T, T) / T
        self.own = (0.5 * q @ k.mT + bias).softmax(-1)
        pairs = ((q[b, h], k[b, h].T, v[b, h]) for b in range(B) for h in range(H))
        heads = [torch.addmm(bias, q, k, alpha=0.5).softmax(-1) @ v for q, k, v in pairs]
        return torch.stack(heads).unflatten(0, (B, H))


class LoopOfCopies(Projecting):
    """Heads that share no memory; their number is an attribute."""

    num_heads = H

    def mix(self, q, k, v):
        self.own = (q @ k.mT).softmax(-1)
        heads = zip(*(x.unbind(1) for x in (q, k, v)), strict=True)
        return torch.stack([softmax_attention(*(x.clone() for x in head)) for head in heads], 1)


LAYERS = [
    *(OneHot, TopTwo, LoopOverHeads, LoopOverSequences, LoopOverBoth, LoopOverFolded),
    *(LoopOverGroups, LoopOfAddedProducts, LoopOfCopies),
]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_one_run_of_a_layer_is_one_call_with_the_models_weights(layer, mode):
    model, x = layer(), torch.randn(B, T, C)

    with mode(), capture(model) as trace:
        model(x)
        first = model.own
        model(x.flip(1))

    assert trace.coverage.complete
    assert len(trace.calls) == 2
    for call, own in zip(trace.calls, (first, model.own), strict=True):
        np.testing.assert_allclose(call.weights(), own.detach().numpy(), rtol=0, atol=1e-6)


def test_a_head_cannot_be_chosen_where_each_is_a_call():
    model, x = LoopOfCopies(), torch.randn(B, T, C)

    with (
        pytest.raises(ValueError, match="computes its 3 heads in a loop, a call each: passes=h"),
        intervene(model, head=0, scale=0),
    ):
        model(x)


def test_a_head_cannot_be_chosen_among_those_that_share_their_keys_in_a_loop():
    class Shared(Projecting):
        num_heads = H

        def mix(self, q, k, v):
            heads = [softmax_attention(q[:, h], k[:, 0], v[:, h]) for h in range(H)]
            return torch.stack(heads, 1)

    # As many sequences as heads: those of one head look like all heads of one sequence.
    with (
        pytest.raises(ValueError, match="computes its heads in several calls"),
        intervene(model := Shared(), head=1, scale=0),
    ):
        model(torch.randn(H, T, C))
