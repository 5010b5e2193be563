"""Which axis of scores holds positions, and where queries stand among keys that were added."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture, intervene  # noqa: E402

B, H, T, D = 2, 3, 7, 4
C = H * D


def sdpa(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


def written(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v


def masked(q, k, v):
    visible = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool)
    visible[2, 3] = False
    return F.scaled_dot_product_attention(q, k, v, attn_mask=visible)


class Projecting(nn.Module):
    """Query, key and value layers, and a function of these and of x."""

    def __init__(self, attend):
        super().__init__()
        self.attend, self.out = attend, nn.Linear(C, C)
        self.query, self.key, self.value = (nn.Linear(C, C) for _ in range(3))
        self.learned = nn.Parameter(torch.randn(1, 2, C))
        self.register_buffer("stored", torch.randn(1, 2, C))

    def forward(self, x):
        return self.attend(self, x)


class Model(nn.Module):
    def __init__(self, attend):
        super().__init__()
        self.layer = Projecting(attend)

    def forward(self, x):
        return self.layer(x)


def split(x):
    return x.unflatten(-1, (H, D)).transpose(1, 2)


def merge(x):
    return x.transpose(1, 2).flatten(2)


def ran(attend, **change):
    torch.manual_seed(0)
    model, x = Model(attend).eval(), torch.randn(B, T, C)
    with torch.no_grad():
        plain = model(x)
        with capture(model) as trace:
            during = model(x)
        torch.testing.assert_close(during, plain, rtol=0, atol=0)
        if change:
            with intervene(model, **change), capture(model) as trace:
                model(x)
    return trace


def over_layers(attend, folded):
    """Attend, at each position, to the outputs of the layers before."""

    def run(layer, x):
        outputs = [x]
        for _ in range(3):
            before, query = torch.stack(outputs, 2), layer.query(outputs[-1])[:, :, None]
            if folded:
                before, query = before.flatten(0, 1)[:, None], query.flatten(0, 1)[:, None]
            mixed = attend(query, layer.key(before), layer.value(before))
            outputs.append(x + mixed.reshape(x.shape))
        return outputs[-1]

    return run


@pytest.mark.parametrize("attend", [sdpa, written])
def test_attention_over_layers_is_none_between_positions(attend):
    with pytest.warns(UserWarning, match="something else than positions, such as layers"):
        trace = ran(over_layers(attend, folded=False))

    assert not trace.calls


@pytest.mark.parametrize("attend", [sdpa, written])
def test_attention_over_more_and_more_layers_is_no_generation(attend):
    trace = ran(over_layers(attend, folded=True))

    sizes = [(call.batch, call.query_len, call.key_len) for call in trace]
    assert sizes == [(B * T, 1, count) for count in (1, 2, 3)]


def test_heads_between_queries_and_keys_that_all_share_are_named():
    """As DeepSeek-V3's own code attends to latents: scores are (B, T, H, S)."""

    def attend(layer, x):
        query, latent = layer.query(x).unflatten(-1, (H, D)), layer.key(x)[..., :D]
        weights = torch.einsum("bthc,bsc->bths", query, latent).softmax(-1)
        return layer.out(torch.einsum("bths,bsc->bthc", weights, latent).flatten(2))

    with pytest.warns(UserWarning, match="another order of axes"):
        trace = ran(attend)

    assert not trace.calls


@pytest.mark.parametrize("attend", [sdpa, written])
def test_the_last_query_of_as_many_tokens_as_heads_is_a_call(attend):
    def last(layer, x):
        query, key, value = (split(part(x)) for part in (layer.query, layer.key, layer.value))
        return merge(attend(query[:, :, -1:], key, value))

    torch.manual_seed(0)
    model, x = Model(last).eval(), torch.randn(B, H, C)
    with torch.no_grad(), capture(model) as trace:
        model(x)

    assert [(call.heads, call.query_len, call.key_len) for call in trace] == [(H, 1, H)]


def joined(attend, *order):
    """Join keys, which are values too, of the named kinds."""

    def run(layer, x):
        parts = {
            "own": layer.key(x),
            "learned": layer.learned.expand(B, -1, -1),
            "stored": layer.stored.expand(B, -1, -1),
            "zeros": torch.zeros(B, 2, C),
        }
        keys = parts[order[0]]
        for name in order[1:]:
            keys = torch.cat([keys, parts[name]], dim=1)
        return merge(attend(split(layer.query(x)), split(keys), split(keys)))

    return run


ORDERS = {
    ("own", "learned"): 0,
    ("own", "stored"): 0,
    ("own", "zeros"): 0,
    ("own", "learned", "zeros"): 0,
    ("learned", "own"): 2,
    ("stored", "own"): 2,
    ("zeros", "own"): 2,
    ("learned", "own", "zeros"): 2,
}


@pytest.mark.parametrize("attend", [sdpa, written, masked])
@pytest.mark.parametrize("order", ORDERS)
def test_queries_stand_where_their_own_keys_are(attend, order):
    (call,) = ran(joined(attend, *order))

    assert (call.kind, call.q_offset) == ("self", ORDERS[order])
    assert call.key_len == T + 2 * (len(order) - 1)


@pytest.mark.parametrize("attend", [sdpa, written])
@pytest.mark.parametrize("order", ORDERS)
def test_an_edge_is_hidden_at_the_positions_of_query_and_key(attend, order):
    offset = ORDERS[order]
    edge = (offset + 3, offset + 1)
    (call,) = ran(joined(attend, *order), hide_edges=[edge])

    hidden = np.argwhere(call.weights(0, 0) == 0)
    np.testing.assert_array_equal(hidden, [[3, offset + 1]])


@pytest.mark.parametrize("need_weights", [True, False])
def test_the_keys_that_torchs_own_module_adds_come_last(need_weights):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.MultiheadAttention(
                C, H, batch_first=True, add_bias_kv=True, add_zero_attn=True
            )

        def forward(self, x):
            return self.inner(x, x, x, need_weights=need_weights)[0]

    model, x = Attention(), torch.randn(B, T, C)
    with torch.no_grad(), intervene(model, hide_edges=[(3, 1)]), capture(model) as trace:
        model(x)
    (call,) = trace

    assert (call.kind, call.q_offset, call.key_len) == ("self", 0, T + 2)
    np.testing.assert_array_equal(np.argwhere(call.weights(0, 0) == 0), [[3, 1]])


def test_weights_of_learned_positions_are_of_the_sequence_that_they_meet():
    def attend(layer, x):
        return layer.positions.softmax(-1) @ layer.value(x)

    model = Model(attend).eval()
    model.layer.positions = nn.Parameter(torch.randn(T, T))
    with torch.no_grad(), capture(model) as trace:
        model(torch.randn(B, T, C))

    assert [call.kind for call in trace] == ["self"]


def test_weights_that_mix_their_own_output_again_are_named():
    """As personalised PageRank: what one matrix of weights gives is no output of the head."""

    def diffused(layer, x):
        weights = (layer.query(x) @ layer.key(x).mT).softmax(-1)
        mixed = value = layer.value(x)
        for _ in range(3):
            mixed = 0.8 * (weights @ mixed) + 0.2 * value
        return mixed

    with pytest.warns(UserWarning, match="by the same weights several times"):
        trace = ran(diffused)

    assert not trace.calls
