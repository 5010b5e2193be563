"""Reading a model's mask: split, compacted, and factored into a causal rule."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.models.intercept.masks import compact, factor_causal, split_additive_mask


def test_split_takes_a_mask_apart():
    seen, bias = split_additive_mask(np.array([[0.0, -np.inf, 2.0]], dtype=np.float32), -1e9)

    np.testing.assert_array_equal(seen, [[True, False, True]])
    np.testing.assert_array_equal(bias, [[0.0, 0.0, 2.0]])


def test_compact_shrinks_only_axes_that_do_not_change():
    array = np.broadcast_to(np.arange(3)[:, None], (2, 3, 5))

    np.testing.assert_array_equal(compact(array), [[[0], [1], [2]]])


@pytest.mark.parametrize(
    ("offset", "rule"), [(0, "top_left"), (2, "bottom_right"), (1, "none"), (-1, "none")]
)
def test_only_the_two_causal_rules_are_recognised(offset, rule):
    mask = np.tri(5, 7, offset, dtype=bool)

    causal, rest = factor_causal(mask)

    assert causal == rule
    np.testing.assert_array_equal(rest, mask if rule == "none" else [[True]])
