"""Attention in forms that are easily missed: recorded right, or named as left out."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture  # noqa: E402

B, H, T, D = 2, 4, 6, 8
# Sums of float32 products in another order.
ATOL = 1e-5
PARTS = range(0, T, 3)


def score(q, k):
    return q @ k.mT / D**0.5


class Plain(nn.Module):
    """An attention that is recorded, so that a trace is never empty."""

    def forward(self, x):
        self.weights = score(x, x).softmax(-1)
        return self.weights @ x


class Odd(nn.Module):
    """The attention in question: a function of q, k, v that returns its output and weights."""

    num_heads = H

    def __init__(self, attend):
        super().__init__()
        self.attend, self.query = attend, nn.Linear(D, D)

    def forward(self, q, k, v):
        output, self.used = self.attend(self.query(q), k, v)
        return output


class Model(nn.Module):
    def __init__(self, attend):
        super().__init__()
        self.plain, self.odd = Plain(), Odd(attend)

    def forward(self, x):
        y = self.plain(x)
        return self.odd(y, x + 0.1 * y, x)


def ran(attend, *, training=False):
    torch.manual_seed(0)
    model, x = Model(attend).train(training), 1.5 * torch.randn(B, H, T, D)
    with torch.no_grad(), capture(model) as trace:
        model(x)
    return trace, model.odd.used


def distances(q, k, v):
    weights = (-(torch.cdist(q, k) ** 2)).softmax(-1)
    return weights @ v, weights


def sums_of_products(q, k, v):
    weights = (q.unsqueeze(-2) * k.unsqueeze(-3)).sum(-1).softmax(-1)
    return weights @ v, weights


def additive(q, k, v):  # Bahdanau's
    weights = torch.tanh(q.unsqueeze(-2) + k.unsqueeze(-3)).sum(-1).softmax(-1)
    return weights @ v, weights


def of_positions(_q, _k, v):
    far = (torch.arange(T)[:, None] - torch.arange(T)).abs().float()
    weights = (-far).expand(B, H, T, T).softmax(-1)
    return weights @ v, weights


def three_operands(q, k, v):
    weights = torch.einsum("bhtd,bhsd,d->bhts", q, k, torch.ones(D)).softmax(-1)
    return weights @ v, weights


def without_an_arrow(q, k, v):
    weights = torch.einsum("...cd,...de", q, k.mT).softmax(-1)
    return weights @ v, weights


def linear_algebra(q, k, v):
    weights = torch.linalg.matmul(q, k.mT).softmax(-1)
    return torch.linalg.matmul(weights, v), weights


@pytest.mark.parametrize(
    "attend",
    [
        distances,
        sums_of_products,
        additive,
        of_positions,
        three_operands,
        without_an_arrow,
        linear_algebra,
    ],
)
def test_weights_are_recorded_whatever_their_scores_are_made_of(attend):
    trace, used = ran(attend)

    np.testing.assert_allclose(trace["odd"].weights(), used.numpy(), rtol=0, atol=ATOL)
    assert trace.coverage.complete


def test_a_dropout_of_torchs_own_kernel_is_no_part_of_the_weights():
    def attend(q, k, v):
        weights = score(q, k).softmax(-1)
        return torch.native_dropout(weights, 0.5, True)[0] @ v, weights  # noqa: FBT003 - torch's signature

    trace, used = ran(attend, training=True)

    np.testing.assert_allclose(trace["odd"].weights(), used.numpy(), rtol=0, atol=ATOL)


def online(q, k, v):
    """Read the keys in parts, as flash attention does."""
    peak, total = torch.full((B, H, T, 1), -1e30), torch.zeros(B, H, T, 1)
    mixed = torch.zeros(B, H, T, D)
    for part in PARTS:
        scores = score(q, k[:, :, part : part + 3])
        higher = torch.maximum(peak, scores.amax(-1, keepdim=True))
        power, old = (scores - higher).exp(), (peak - higher).exp()
        total = total * old + power.sum(-1, keepdim=True)
        mixed, peak = mixed * old + power @ v[:, :, part : part + 3], higher
    return mixed / total, None


def in_blocks(x):
    return x.unflatten(2, (2, 3))


def blocks_beside_heads(q, k, v):
    q, k, v = (in_blocks(x) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).flatten(2, 3), None


def blocks_among_heads(q, k, v):
    q, k, v = (in_blocks(x).flatten(1, 2) for x in (q, k, v))
    return (score(q, k).softmax(-1) @ v).unflatten(1, (H, 2)).flatten(2, 3), None


def a_window_of_each_query(q, k, v):
    k, v = (F.pad(x, (0, 0, 1, 1)).unfold(2, 3, 1) for x in (k, v))
    weights = torch.einsum("bhtd,bhtdw->bhtw", q, k).softmax(-1)
    return torch.einsum("bhtw,bhtdw->bhtd", weights, v), None


def summed_by_a_column_of_ones(q, k, v):
    power = F.softplus(score(q, k))
    mixed = power @ torch.cat([v, torch.ones(B, H, T, 1)], -1)
    return mixed[..., :-1] / mixed[..., -1:], None


def keys_turned_round(q, k, v):
    return score(q, k).softmax(-1).flip(-1) @ v.flip(-2), None


def heads_last(q, k, v):  # as in Transformer-XL
    weights = torch.einsum("bhtd,bhsd->btsh", q, k).softmax(2)
    return torch.einsum("btsh,bhsd->bhtd", weights, v), None


def heads_between(q, k, v):
    weights = torch.einsum("bhtd,bhsd->bths", q, k).softmax(-1)
    return torch.einsum("bths,bhsd->bhtd", weights, v), None


def some_queries(q, k, v):  # Informer's: the other queries get the mean of the values
    output = v.mean(-2, keepdim=True).repeat(1, 1, T, 1)
    output[:, :, [1, 4]] = score(q[:, :, [1, 4]], k).softmax(-1) @ v
    return output, None


def some_queries_scattered(q, k, v):
    few = score(q[:, :, 2:4], k).softmax(-1) @ v
    return v.cumsum(-2).index_copy(2, torch.tensor([2, 3]), few), None


def all_by_elements(q, k, v):
    weights = (q.unsqueeze(-2) * k.unsqueeze(-3)).sum(-1).softmax(-1)
    return (weights.unsqueeze(-1) * v.unsqueeze(-3)).sum(-2), None


def a_sink_in_the_sum(q, k, v):
    scores = score(q, k)
    total = torch.logaddexp(scores.logsumexp(-1, keepdim=True), torch.ones(H, 1, 1))
    return ((scores - total).exp() @ v).transpose(1, 2).flatten(2), None


def the_query_among_its_keys(q, k, v):
    weights = torch.cat([score(q, k), (q * k).sum(-1, keepdim=True)], -1).softmax(-1)
    return weights[..., :-1] @ v + weights[..., -1:] * v, None


def a_sink_with_a_value(q, k, v):
    weights = F.pad(score(q, k), (0, 1)).softmax(-1)
    return weights[..., :-1] @ v + weights[..., -1:] @ torch.ones(1, D), None


@pytest.mark.parametrize(
    ("attend", "reason"),
    [
        (a_sink_in_the_sum, "its weights are exponentials"),
        (the_query_among_its_keys, "in pieces"),
        (a_sink_with_a_value, "in pieces"),
        (all_by_elements, "met no product with values"),
        (some_queries, "some of its queries"),
        (some_queries_scattered, "some of its queries"),
        (heads_last, "another order of axes"),
        (heads_between, "another order of axes"),
        (online, "in pieces"),
        (blocks_beside_heads, "in pieces"),
        (blocks_among_heads, "in pieces"),
        (a_window_of_each_query, "in pieces"),
        (summed_by_a_column_of_ones, "rescales its outputs"),
        (keys_turned_round, "changes the order of the queries or keys"),
    ],
)
def test_what_is_no_matrix_of_weights_is_left_out_and_named(attend, reason):
    with pytest.warns(UserWarning, match=rf"not recorded of odd \(.*{reason}"):
        trace, _ = ran(attend)

    assert trace.layers == ("plain",)


SINKS = nn.Parameter(torch.linspace(-1, 2, H)).view(H, 1, 1)


@pytest.mark.parametrize(
    "add",
    [
        lambda scores: F.pad(scores, (0, 1)),
        lambda scores: torch.cat([scores, SINKS.expand(B, H, T, 1)], -1),
        lambda scores: torch.cat([scores, torch.zeros_like(scores[..., :1])], -1),
    ],
    ids=["padded", "learned", "zeros"],
)
def test_weights_without_the_column_of_a_sink_are_the_models_own(add):
    def attend(q, k, v):
        scores = add(score(q, k))
        weights = (scores - scores.amax(-1, keepdim=True)).softmax(-1)[..., :-1]
        return weights @ v, weights

    trace, used = ran(attend)

    np.testing.assert_allclose(trace["odd"].weights(), used.numpy(), rtol=0, atol=ATOL)
    assert trace.coverage.complete


def test_heads_that_change_places_are_still_weights():
    def attend(q, k, v):
        weights = score(q, k).softmax(-1).flip(1)
        return weights @ v, weights

    trace, used = ran(attend)

    np.testing.assert_allclose(trace["odd"].weights(), used.numpy(), rtol=0, atol=ATOL)


def test_outputs_that_are_written_into_a_buffer_are_whole():
    def attend(q, k, v):
        weights, output = score(q, k).softmax(-1), torch.zeros(B, H, T + 2, D)
        output[:, :, :T] = weights @ v
        return output[:, :, :T], weights

    trace, used = ran(attend)

    np.testing.assert_allclose(trace["odd"].weights(), used.numpy(), rtol=0, atol=ATOL)
    assert trace.coverage.complete


def test_weights_that_another_layer_uses_again_are_its_call_too():
    class Sharing(nn.Module):
        def __init__(self):
            super().__init__()
            self.plain, self.other = Plain(), Reusing()

        def forward(self, x):
            y = self.plain(x)
            return self.other(self.plain.weights, y)

    class Reusing(nn.Module):
        def forward(self, weights, x):
            return weights @ x + weights @ x.cumsum(-1)  # the second with something else

    model = Sharing()
    with capture(model) as trace:
        model(torch.randn(B, H, T, D))

    assert trace.layers == ("plain", "other")
    np.testing.assert_array_equal(trace["other"].weights(), trace["plain"].weights())


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = nn.Linear(D, D)

    def forward(self, q, k, v):
        return torch.softmax(self.query(q) @ k.transpose(-1, -2), -1) @ v


def test_a_script_inside_a_model_is_named():
    model = Model(None)
    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        model.odd.script = torch.jit.script(SelfAttention())
    model.odd.attend = lambda q, k, v: (model.odd.script(q, k, v), None)

    with (
        pytest.warns(UserWarning, match=r"odd\.script \(it is a torch\.jit script"),
        capture(model) as trace,
    ):
        model(torch.randn(B, H, T, D))

    assert trace.layers == ("plain",)


@pytest.mark.filterwarnings("error")
def test_a_softmax_that_chooses_experts_is_no_attention():
    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.plain, self.gate = Plain(), nn.Linear(D, 3)

        def forward(self, x):
            x = self.plain(x)
            chosen = self.gate(x).softmax(-1)
            outputs = torch.stack([x, 2 * x, 3 * x], -2)
            mixed = torch.einsum("bhte,bhted->bhtd", chosen, outputs)
            return (chosen.unsqueeze(-2) @ outputs).squeeze(-2) + mixed

    model = Experts()
    with capture(model) as trace:
        model(torch.randn(B, H, T, D))

    assert trace.layers == ("plain",)
