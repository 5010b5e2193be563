"""Which tokens of two sequences correspond."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Places in the first and the second sequence; None where a token has no counterpart.
Pairs = tuple[tuple[int | None, int | None], ...]


def align(first: Sequence[str], second: Sequence[str]) -> Pairs:
    """Pair the tokens of two sequences, in the order of both.

    Equal tokens are paired along a longest common subsequence. Between two such pairs, runs of
    the same length are paired one by one, as a word put in another's place; runs of different
    lengths stay alone, those of the first sequence before those of the second.

    Parameters
    ----------
    first, second : sequence of str
        N and M tokens; it takes N·M steps.

    Returns
    -------
    tuple of (int or None, int or None)
        Each place of both sequences once.

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
    anchors = [(-1, -1), *_common(first, second), (len(first), len(second))]
    pairs: list[tuple[int | None, int | None]] = []
    for (i, j), (next_i, next_j) in pairwise(anchors):
        ours, theirs = range(i + 1, next_i), range(j + 1, next_j)
        if len(ours) == len(theirs):
            pairs += zip(ours, theirs, strict=True)
        else:
            pairs += [(one, None) for one in ours]
            pairs += [(None, one) for one in theirs]
        pairs.append((next_i, next_j))
    return tuple(pairs[:-1])


def _common(first: Sequence[str], second: Sequence[str]) -> Iterator[tuple[int, int]]:
    """A longest common subsequence as pairs of places; of several, the one that starts earliest."""
    # longest[i][j] is how many tokens first[i:] and second[j:] have in common, in order.
    longest = [[0] * (len(second) + 1)]
    for one in reversed(first):
        below, row = longest[-1], [0]
        for j in range(len(second) - 1, -1, -1):
            row.append(below[j + 1] + 1 if one == second[j] else max(below[j], row[-1]))
        longest.append(row[::-1])
    longest.reverse()
    i = j = 0
    while i < len(first) and j < len(second):
        if first[i] == second[j]:
            yield i, j
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
