"""Scores that are no product, choose keys only, recur, or are of several streams."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture  # noqa: E402


class Scored(nn.Module):
    """Attention by a rule from a sequence to weights."""

    num_heads = 2

    def __init__(self, weigh):
        super().__init__()
        self.weigh, self.query, self.used = weigh, nn.Linear(4, 4), None

    def forward(self, x):
        q, k = (z.unflatten(-1, (2, 2)).transpose(1, 2) for z in (self.query(x), x))
        self.used = self.weigh(q, k)
        return self.used @ k


def distances(q, k):
    power = (-torch.cdist(q, k)).exp()
    return power / power.sum(-1, keepdim=True)


def sigmoids_by_element(q, k):
    return (q[:, :, :, None] * k[:, :, None]).sum(-1).sigmoid()


@pytest.mark.parametrize("weigh", [distances, sigmoids_by_element])
def test_weights_without_a_softmax_of_scores_that_are_no_product_are_recorded(weigh):
    model = Scored(weigh).eval()
    with torch.no_grad(), capture(model) as trace:
        model(torch.randn(3, 7, 4))

    np.testing.assert_array_equal(trace[0].weights(), model.used.numpy())
    assert trace[0].kind == "self"


class Indexer(nn.Module):
    """Attention to the keys that another product of queries and keys chooses, as DeepSeek's."""

    num_heads = 4

    def __init__(self):
        super().__init__()
        self.query, self.index_query, self.factors = (nn.Linear(8, n) for n in (8, 16, 2))

    def forward(self, x):
        scores = torch.relu(
            self.index_query(x).unflatten(-1, (2, 8)) @ x.mT[:, None]
        )  # (B, T, 2, S)
        summed = (self.factors(x)[:, :, None] @ scores)[:, :, 0]
        chosen = torch.zeros_like(summed).scatter(-1, summed.topk(3, -1).indices, 1.0).bool()
        q, v = (z.unflatten(-1, (4, 2)).transpose(1, 2) for z in (self.query(x), x))
        return F.scaled_dot_product_attention(q, v, v, attn_mask=chosen[:, None])


def test_scores_that_only_choose_keys_are_no_call():
    model = Indexer().eval()
    with torch.no_grad(), capture(model) as trace:
        model(torch.randn(3, 7, 8))

    assert [(call.heads, call.kind) for call in trace] == [(4, "self")]
    assert trace.coverage.complete


class Scan(nn.Module):
    """A state-space layer: its steps are a product that meets others by element."""

    def __init__(self):
        super().__init__()
        self.steps, self.attention = nn.Parameter(torch.randn(8, 8)), nn.MultiheadAttention(8, 2)

    def forward(self, x):
        steps = F.softplus(self.steps @ x.mT)
        inputs = steps[..., None] * x[:, None]  # (B, channels, T, states)
        state = torch.zeros_like(inputs[:, :, 0])
        for at in range(x.shape[1]):
            state = 0.9 * state + inputs[:, :, at]
        return self.attention(x, x, x)[0] + state.sum()


def test_a_state_space_layer_is_no_attention():
    model = Scan().eval()
    with torch.no_grad(), capture(model) as trace:
        model(torch.randn(3, 7, 8))

    assert trace.layers == ("attention",)
    assert trace.coverage.complete


class TwoStreams(nn.Module):
    """A main stream, and two that read its keys and their own, as ProphetNet's."""

    num_heads = 2

    def forward(self, x):
        main, *others = (z[:, None].expand(-1, 2, -1, -1) for z in x.chunk(3, 1))
        first = (main @ main.mT).softmax(-1) @ main
        keys = torch.cat([torch.cat([main, other], 2) for other in others])
        queries = torch.cat(others)
        return first, (queries @ keys.mT).softmax(-1) @ keys


def test_streams_of_one_pass_are_no_steps_of_a_generation():
    model, x = TwoStreams(), torch.randn(2, 15, 8)
    with torch.no_grad(), capture(model) as trace:
        model(x)

    assert [(call.batch, call.query_len, call.key_len) for call in trace] == [(2, 5, 5), (4, 5, 10)]


class Decoder(nn.Module):
    """A recurrent decoder that reads another sequence, a query a step."""

    def __init__(self, weigh):
        super().__init__()
        self.encoder, self.cell = nn.GRU(8, 8, batch_first=True), nn.GRUCell(8, 8)
        self.add, self.weigh, self.used = nn.Linear(8, 1), weigh, []

    def forward(self, x):
        states, last = self.encoder(x)
        for _ in range(3):
            scores = self.add(torch.tanh(states + last[-1][:, None]))[..., 0]
            self.used.append(scores.softmax(-1))
            last = self.cell(self.weigh(self.used[-1], states), last[-1])[None]
        return last


def test_additive_weights_of_one_query_a_step_are_recorded():
    model = Decoder(lambda weights, states: torch.bmm(weights[:, None], states)[:, 0]).eval()
    with torch.no_grad(), capture(model) as trace:
        model(torch.randn(2, 5, 8))

    assert len(trace) == 3
    for call, weights in zip(trace, model.used, strict=True):
        np.testing.assert_array_equal(call.weights()[:, 0, 0], weights.numpy())


def test_additive_weights_that_meet_values_by_element_are_named():
    model = Decoder(lambda weights, states: (weights[..., None] * states).sum(1)).eval()
    with (
        pytest.warns(UserWarning, match="not recorded of Decoder"),
        torch.no_grad(),
        capture(model) as trace,
    ):
        model(torch.randn(2, 5, 8))

    assert trace.calls == ()
