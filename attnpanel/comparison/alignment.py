"""Align the tokens of two sequences."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Indices in the first and the second sequence; None if a token has no counterpart.
Pairs = tuple[tuple[int | None, int | None], ...]


def align(first: Sequence[str], second: Sequence[str]) -> Pairs:
    """Pair the tokens of two sequences, in the order of both.

    Equal tokens are paired along a longest common subsequence. Between two such pairs, runs of
    the same length are paired one by one, as substitutions; the tokens of runs of different lengths
    have no counterpart, those of the first sequence before those of the second.

    Parameters
    ----------
    first, second : sequence of str
        N and M tokens; takes N·M steps.

    Returns
    -------
    tuple of (int or None, int or None)
        Each index of both sequences once.

    References
    ----------
    Hirschberg, "A Linear Space Algorithm for Computing Maximal Common Subsequences", 1975,
    algorithm A.

    Examples
    --------
    >>> align(["it", "is", "large"], ["it", "is", "small"])
    ((0, 0), (1, 1), (2, 2))
    >>> align(["it", "is"], ["it", "surely", "is"])
    ((0, 0), (None, 1), (1, 2))
    """
    return _align(tuple(first), tuple(second))


@lru_cache(maxsize=8)  # the layers of a comparison have the same tokens
def _align(first: tuple[str, ...], second: tuple[str, ...]) -> Pairs:
    anchors = [(-1, -1), *_common(first, second), (len(first), len(second))]
    pairs: list[tuple[int | None, int | None]] = []
    for (i, j), (next_i, next_j) in pairwise(anchors):
        first_run, second_run = range(i + 1, next_i), range(j + 1, next_j)
        if len(first_run) == len(second_run):
            pairs += zip(first_run, second_run, strict=True)
        else:
            pairs += [(index, None) for index in first_run]
            pairs += [(None, index) for index in second_run]
        pairs.append((next_i, next_j))
    return tuple(pairs[:-1])


def _common(first: Sequence[str], second: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield a longest common subsequence as pairs of indices; the one that starts earliest."""
    numbers: dict[str, int] = {}
    left, right = (
        np.array([numbers.setdefault(token, len(numbers)) for token in row], int)
        for row in (first, second)
    )
    # longest[i, j] is the length of the longest common subsequence of first[i:] and second[j:].
    longest = np.zeros((len(first) + 1, len(second) + 1), np.int32)
    for i in range(len(first) - 1, -1, -1):
        below = longest[i + 1]
        best = np.where(right == left[i], below[1:] + 1, below[:-1])
        longest[i, :-1] = np.maximum.accumulate(best[::-1])[::-1]
    i = j = 0
    while i < len(first) and j < len(second):
        if first[i] == second[j]:
            yield i, j
            i, j = i + 1, j + 1
        elif longest[i + 1, j] >= longest[i, j + 1]:
            i += 1
        else:
            j += 1
