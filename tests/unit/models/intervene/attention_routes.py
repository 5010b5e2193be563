"""Small models whose attention takes every route, and the formula of their changes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from tests.unit.models.intervene.intervention_cases import attended  # noqa: E402

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
