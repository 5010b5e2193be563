"""Affinity of heads, calculated by hand."""

from __future__ import annotations

import numpy as np

from attnpanel.analysis import head_affinity
from attnpanel.trace import Trace
from attnpanel.trace.call import AttentionCall

# Four heads of one call: all on the diagonal, all alike, one key shifted, half of each.
EYE, EVEN, SHIFTED = np.eye(4), np.full((4, 4), 0.25), np.roll(np.eye(4), 1, axis=1)


def call_of(*heads, index=0, kind="self"):
    stacked = np.stack(heads).astype(np.float32)[None]
    return AttentionCall(f"layer.{index}", index, kind, recorded_weights=stacked)


def test_affinity_is_one_for_equal_heads_and_zero_for_disjoint_ones():
    heads, affinity = head_affinity(Trace([call_of(EYE, EVEN, SHIFTED)]))

    assert heads == [(0, 0), (0, 1), (0, 2)]
    # sqrt(1 * 1/4) = 1/2 for a row of the diagonal against one of equal weights.
    np.testing.assert_allclose(affinity, [[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]], atol=1e-6)


def test_heads_of_all_layers_are_compared_and_other_lengths_left_out():
    other = call_of(np.eye(3), index=2)
    heads, affinity = head_affinity(Trace([call_of(EYE), call_of(EVEN, EYE, index=1), other]))

    assert heads == [(0, 0), (1, 0), (1, 1)]
    np.testing.assert_allclose(affinity[0], [1, 0.5, 1], atol=1e-6)
