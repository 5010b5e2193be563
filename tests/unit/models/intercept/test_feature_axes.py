"""Attention between channels is left out by name, however many channels and positions there are."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from attnpanel import capture  # noqa: E402

HEADS, SIZE = 3, 12


class CrossCovariance(nn.Module):
    """Attention between channels as in XCiT, of tokens (B, N, C)."""

    def __init__(self, *, fused):
        super().__init__()
        self.fused = fused
        self.qkv = nn.Linear(SIZE, 3 * SIZE)
        self.temperature = nn.Parameter(torch.ones(HEADS, 1, 1))

    def forward(self, x):
        split = self.qkv(x).reshape(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 4, 1)
        query, key, value = split.unbind(0)
        query, key = (functional.normalize(part, dim=-1) for part in (query, key))
        if self.fused:
            out = functional.scaled_dot_product_attention(query * self.temperature, key, value)
        else:
            scores = (query @ key.transpose(-2, -1)) * self.temperature
            out = scores.softmax(-1) @ value
        return out.permute(0, 3, 1, 2).reshape(x.shape)


class OfAMap(nn.Module):
    """Attention on a map (B, C, rows, columns): between channels as in Restormer, or positions."""

    def __init__(self, *, channels):
        super().__init__()
        self.channels = channels
        self.qkv = nn.Conv2d(SIZE, 3 * SIZE, 1)
        self.deep = nn.Conv2d(3 * SIZE, 3 * SIZE, 3, padding=1, groups=3 * SIZE)

    def forward(self, x):
        parts = self.deep(self.qkv(x)).chunk(3, 1)
        query, key, value = (part.reshape(len(x), HEADS, SIZE // HEADS, -1) for part in parts)
        if not self.channels:
            query, key, value = (part.transpose(-2, -1) for part in (query, key, value))
        return (query @ key.transpose(-2, -1)).softmax(-1) @ value


def captured(model, *shape):
    torch.manual_seed(0)
    with torch.no_grad(), capture(model) as trace:
        model(torch.randn(*shape))
    return trace


# Four channels a head: as many as positions, in the second of each.
@pytest.mark.parametrize("positions", [9, SIZE // HEADS])
@pytest.mark.parametrize("fused", [True, False])
def test_channels_of_tokens(positions, fused):
    with pytest.warns(UserWarning, match="between channels, not between positions"):
        trace = captured(CrossCovariance(fused=fused), 2, positions, SIZE)

    assert len(trace) == 0
    (reason,) = trace.coverage.left_out.values()
    assert "between channels" in reason


@pytest.mark.parametrize("side", [3, 2])
def test_channels_of_a_map(side):
    with pytest.warns(UserWarning, match="between channels, not between positions"):
        trace = captured(OfAMap(channels=True), 2, SIZE, side, side)

    assert len(trace) == 0


@pytest.mark.parametrize("side", [3, 2])
def test_positions_of_a_map_are_recorded(side):
    (call,) = captured(OfAMap(channels=False), 2, SIZE, side, side)

    assert (call.query_len, call.key_len, call.head_dim) == (side**2, side**2, SIZE // HEADS)


def test_queries_that_one_vector_was_split_into_are_positions():
    class Split(nn.Module):
        def __init__(self):
            super().__init__()
            self.make, self.kv = nn.Linear(SIZE, 5 * 8), nn.Linear(SIZE, 16)

        def forward(self, x):
            query = self.make(x.mean(1)).view(len(x), 1, 5, 8)
            key, value = self.kv(x)[:, None].chunk(2, -1)
            return functional.scaled_dot_product_attention(query, key, value)

    (call,) = captured(Split(), 2, 7, SIZE)
    assert (call.query_len, call.key_len) == (5, 7)
    np.testing.assert_allclose(call.weights().sum(-1), 1, rtol=1e-6)
