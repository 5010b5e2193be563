"""Covering arrays: few rows in which the levels of any two, or three, factors meet."""

from __future__ import annotations

import random
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Factors and their levels, in order of the factors.
Group: TypeAlias = "tuple[tuple[int, int], ...]"


def covering_array(
    factors: Mapping[str, Sequence[Any]], seed: int = 0, *, strength: int = 2
) -> list[dict[str, Any]]:
    """Return rows that take one level of each factor and together cover all groups of levels.

    Greedy: each row begins with a group not yet covered, and takes for one factor after another, in
    random order, the level that covers most of such groups. The best of many rows instead of one
    saves none of about 100.

    Parameters
    ----------
    factors : mapping of str to sequence
        The levels of each factor, at least `strength` factors.
    seed : int, optional
        The same seed gives the same rows on every machine.
    strength : int, optional
        Factors whose levels meet: by default every two, in any combination.

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
    together = list(combinations(range(len(sizes)), strength))
    # A dict, not a set: its order does not change from run to run.
    uncovered: dict[Group, None] = dict.fromkeys(
        tuple(zip(group, levels, strict=True))
        for group in together
        for levels in product(*(range(sizes[factor]) for factor in group))
    )
    rows = []
    while uncovered:
        required = rng.choice(list(uncovered))
        row = _greedy_row(sizes, required, uncovered, rng)
        for group in together:
            uncovered.pop(tuple((factor, row[factor]) for factor in group), None)
        rows.append({name: factors[name][level] for name, level in zip(names, row, strict=True)})
    return rows


def _greedy_row(
    sizes: list[int], required: Group, uncovered: dict[Group, None], rng: random.Random
) -> list[int]:
    """Return a level of each factor: the required group, then what covers most, ties at random."""
    chosen = dict(required)
    for factor in rng.sample(range(len(sizes)), len(sizes)):
        if factor in chosen:
            continue
        gains = [
            sum(
                tuple(sorted((*others, (factor, level)))) in uncovered
                for others in combinations(chosen.items(), len(required) - 1)
            )
            for level in range(sizes[factor])
        ]
        largest = max(gains)
        chosen[factor] = rng.choice([n for n, gain in enumerate(gains) if gain == largest])
    return [chosen[factor] for factor in range(len(sizes))]
