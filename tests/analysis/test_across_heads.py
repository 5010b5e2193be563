"""What heads have in common, and where attention leads, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.analysis import head_affinity, rollout
from attnpanel.attention_call import AttentionCall
from attnpanel.trace import Trace

# Four heads of one call: all on the diagonal, all alike, one key shifted, half of each.
EYE, EVEN, SHIFTED = np.eye(4), np.full((4, 4), 0.25), np.roll(np.eye(4), 1, axis=1)


def call_of(*heads, index=0, kind="self"):
    stacked = np.stack(heads).astype(np.float32)[None]
    return AttentionCall(f"layer.{index}", index, kind, recorded_weights=stacked)


def test_affinity_is_one_for_the_same_and_zero_for_what_never_meets():
    heads, affinity = head_affinity(Trace([call_of(EYE, EVEN, SHIFTED)]))

    assert heads == [(0, 0), (0, 1), (0, 2)]
    # sqrt(1 * 1/4) = 1/2 for a row of the diagonal against one of equal weights.
    np.testing.assert_allclose(affinity, [[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]], atol=1e-6)


def test_heads_of_all_layers_are_compared_and_other_lengths_left_out():
    other = call_of(np.eye(3), index=2)
    heads, affinity = head_affinity(Trace([call_of(EYE), call_of(EVEN, EYE, index=1), other]))

    assert heads == [(0, 0), (1, 0), (1, 1)]
    np.testing.assert_allclose(affinity[0], [1, 0.5, 1], atol=1e-6)


def test_rollout_of_one_layer_is_half_attention_half_identity():
    np.testing.assert_allclose(
        rollout(Trace([call_of(EYE, SHIFTED)])), 0.75 * EYE + 0.25 * SHIFTED, atol=1e-12
    )


def test_rollout_multiplies_layer_upon_layer():
    sink = np.zeros((4, 4))
    sink[:, 0] = 1
    trace = Trace([call_of(SHIFTED), call_of(sink, index=1)])

    # The second layer stands on the left: it reads what the first has made.
    expected = (sink + EYE) / 2 @ ((SHIFTED + EYE) / 2)
    np.testing.assert_allclose(rollout(trace), expected, atol=1e-7)
    np.testing.assert_allclose(rollout(trace).sum(axis=-1), 1, atol=1e-12)


def test_a_row_that_sees_no_key_keeps_its_own_token():
    blind = EYE.copy()
    blind[2] = 0

    np.testing.assert_allclose(rollout(Trace([call_of(blind)])), EYE, atol=1e-12)


def test_rollout_through_cross_attention_is_refused():
    trace = Trace([call_of(EYE), call_of(EYE, index=1, kind="cross")])

    np.testing.assert_allclose(rollout(trace), EYE)
    with pytest.raises(ValueError, match="call 1 is cross-attention of 4 queries and 4 keys"):
        rollout(trace, layers=[0, 1])
