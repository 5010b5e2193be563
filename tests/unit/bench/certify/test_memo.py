"""The memo keeps the latest results within its size and protects them from writing."""

import numpy as np
import pytest

from attnpanel.bench.certify.memo import Memo


def test_a_result_is_computed_once_and_read_only():
    memo, calls = Memo(limit_bytes=100), []

    first = memo.get("a", lambda: calls.append(1) or np.zeros(3))
    again = memo.get("a", lambda: calls.append(1) or np.zeros(3))

    assert first is again
    assert calls == [1]
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1


def test_the_oldest_results_are_dropped_beyond_the_limit():
    memo, calls = Memo(limit_bytes=2 * 8 * 3), []

    for key in ("a", "b", "a", "c", "a", "b"):
        memo.get(key, lambda key=key: calls.append(key) or np.zeros(3))

    assert calls == ["a", "b", "c", "b"]


def test_a_result_above_the_limit_is_not_kept():
    memo, calls = Memo(limit_bytes=8), []

    for _ in range(2):
        memo.get("a", lambda: calls.append(1) or np.zeros(3))

    assert calls == [1, 1]
