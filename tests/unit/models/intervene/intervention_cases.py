"""Intervention arguments, and the same changes computed from the formula."""

from __future__ import annotations

import torch

ALL = range(99)


def softmax(scores, visible=None):
    """The definition in float64; 0 in rows that see no key."""
    seen = ~scores.isneginf() if visible is None else visible & ~scores.isneginf()
    power = torch.where(seen, scores.double() - scores.double().amax(), -torch.inf).exp()
    return power / power.sum(-1, keepdim=True).clamp(min=1e-300)


def _grid(scores):
    query_len, key_len = scores.shape[-2:]
    return torch.arange(query_len)[:, None], torch.arange(key_len)[None, :]


def _causal(scores):
    query, key = _grid(scores)
    return softmax(scores, key <= query)


def _window(scores):
    query, key = _grid(scores)
    return softmax(scores, (key > query - 2) & (key < query + 2))


def _without_key(scores):
    _, key = _grid(scores)
    return softmax(scores, (key != 1) & (key != 3))


def _without_edge(scores):
    query, key = _grid(scores)
    return softmax(scores, ~((query == 4) & (key == 2)))


def _uniform(scores):
    return softmax(torch.where(scores.isneginf(), scores, 0.0))


def _diagonal(scores):
    query, key = _grid(scores)
    return (query == key).double().expand(scores.shape)


def given_mask(query_len, key_len):
    query, key = torch.arange(query_len)[:, None], torch.arange(key_len)
    return (query + key) % 3 != 1


def given_weights(query_len, key_len):
    query, key = torch.arange(query_len)[:, None], torch.arange(key_len)
    rows = 1.0 / (1 + (query - 2 * key).abs())
    return rows / rows.sum(-1, keepdim=True)


# Name: arguments of intervene for T queries and S keys, the weights from one head's scores
# (B, T, S), and the factor of the output.
CHANGES = {
    "sharp": (lambda _t, _s: {"temperature": 0.5}, lambda s: softmax(s / 0.5), 1.0),
    "flat": (lambda _t, _s: {"temperature": 3.0}, lambda s: softmax(s / 3), 1.0),
    "causal": (lambda _t, _s: {"mask": "causal"}, _causal, 1.0),
    "window": (lambda _t, _s: {"mask": "window", "window": 2}, _window, 1.0),
    "mask": (
        lambda t, s: {"mask": given_mask(t, s)},
        lambda s: softmax(s, given_mask(*s.shape[-2:])),
        1.0,
    ),
    "keys": (lambda _t, _s: {"hide_keys": (1, 3)}, _without_key, 1.0),
    "edge": (lambda _t, _s: {"hide_edges": [(4, 2)]}, _without_edge, 1.0),
    "half": (lambda _t, _s: {"scale": 0.5}, softmax, 0.5),
    "out": (lambda _t, _s: {"scale": 0}, softmax, 0.0),
    "uniform": (lambda _t, _s: {"weights": "uniform"}, _uniform, 1.0),
    "diagonal": (lambda _t, _s: {"weights": "diagonal"}, _diagonal, 1.0),
    "weights": (
        lambda t, s: {"weights": given_weights(t, s)},
        lambda s: given_weights(*s.shape[-2:]).expand(s.shape),
        1.0,
    ),
    "all at once": (
        lambda _t, _s: {"temperature": 2.0, "mask": "causal", "hide_keys": 1, "scale": -1.5},
        lambda s: softmax(s / 2, (_grid(s)[1] <= _grid(s)[0]) & (_grid(s)[1] != 1)),
        -1.5,
    ),
}


def attended(scores, value, change, heads):
    """Outputs (B, H, T, Dv) from scores (B, H, T, S), changed in the chosen heads."""
    _, weigh, scale = CHANGES[change]
    outputs = []
    for head in range(scores.shape[1]):
        one, mixed = scores[:, head], value[:, head].double()
        if head in heads:
            outputs.append(scale * weigh(one).double() @ mixed)
        else:
            outputs.append(softmax(one) @ mixed)
    return torch.stack(outputs, dim=1).to(value.dtype)
