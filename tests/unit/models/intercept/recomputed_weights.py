"""Weights recomputed from a recorded call."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

# Sums of up to 24 float32 products in another order than the model's.
ATOL = 1e-5


def recomputed(call):
    return np.stack(
        [[call.weights(h, b) for h in range(call.heads)] for b in range(call.batch)]
    )  # (B, H, T, S)


def assert_weights(call, expected, rows=None):
    """Every head's weights; `rows` (B, T) excludes rows that the model does not define."""
    ours, expected = recomputed(call), expected.detach().numpy()
    if rows is not None:
        ours, expected = (x.swapaxes(1, 2)[rows.numpy().astype(bool)] for x in (ours, expected))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=ATOL)


def softmax_by_hand(query, key, scale=None, bias=0.0, hidden=None):
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    scores = scores + bias
    if hidden is not None:
        scores = scores.masked_fill(hidden, -torch.inf)
    return scores.softmax(-1)
