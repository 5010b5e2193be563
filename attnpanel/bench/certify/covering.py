"""Covering arrays: few rows in which every two levels of any two factors meet."""

from __future__ import annotations

import random
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Pair = tuple[int, int, int, int]  # a factor and its level, another and its level


def covering_array(factors: Mapping[str, Sequence[Any]], seed: int = 0) -> list[dict[str, Any]]:
    """Return rows that take one level of each factor and together cover all pairs of levels.

    Greedy: each row begins with a pair not yet covered, and takes for one factor after another, in
    random order, the level that covers most of such pairs. The best of many rows instead of one
    saves none of about 100.

    Parameters
    ----------
    factors : mapping of str to sequence
        The levels of each factor, at least two factors.
    seed : int, optional
        The same seed gives the same rows on every machine.

    Returns
    -------
    list of dict
        Factor to level.

    References
    ----------
    Cohen, Dalal, Fredman and Patton, "The AETG system: an approach to testing based on
    combinatorial design", 1997.

    Examples
    --------
    >>> len(covering_array({"T": [1, 2], "S": [3, 4], "D": [5, 6]}))
    4
    """
    rng = random.Random(seed)  # noqa: S311 - nothing here is secret
    names, sizes = list(factors), [len(levels) for levels in factors.values()]
    # A dict, not a set: its order does not change from run to run.
    uncovered: dict[Pair, None] = dict.fromkeys(
        (first, i, second, j)
        for first, second in combinations(range(len(sizes)), 2)
        for i, j in product(range(sizes[first]), range(sizes[second]))
    )
    rows = []
    while uncovered:
        required = rng.choice(list(uncovered))
        row = _greedy_row(sizes, required, uncovered, rng)
        for first, second in combinations(range(len(sizes)), 2):
            uncovered.pop((first, row[first], second, row[second]), None)
        rows.append({name: factors[name][level] for name, level in zip(names, row, strict=True)})
    return rows


def _greedy_row(
    sizes: list[int], required: Pair, uncovered: dict[Pair, None], rng: random.Random
) -> list[int]:
    """Return a level of each factor: the required pair, then what covers most, ties at random."""
    first, i, second, j = required
    chosen = {first: i, second: j}
    for factor in rng.sample(range(len(sizes)), len(sizes)):
        if factor in chosen:
            continue
        gains = [
            sum(
                ((other, taken, factor, level) if other < factor else (factor, level, other, taken))
                in uncovered
                for other, taken in chosen.items()
            )
            for level in range(sizes[factor])
        ]
        largest = max(gains)
        chosen[factor] = rng.choice([n for n, gain in enumerate(gains) if gain == largest])
    return [chosen[factor] for factor in range(len(sizes))]
