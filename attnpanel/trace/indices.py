"""Indices of heads and sequences as Python counts them: -1 is the last, slices are several."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

Chosen = int | slice | Iterable[int]


def one_index(name: str, index: Any, size: int) -> int:
    """Return an index from 0; a negative one counts from the end.

    Raises
    ------
    ValueError
        If it is no integer from ``-size`` to ``size - 1``.
    """
    # A bool tensor has an __index__, as Python's bool does, and as NumPy's had.
    boolean = isinstance(index, bool) or str(getattr(index, "dtype", "")).endswith("bool")
    try:
        number = size if boolean else operator.index(index)
    except TypeError:
        number = size
    if not -size <= number < size:
        raise ValueError(f"{name} must be in 0..{size - 1}; got {index!r}")
    return number % size


def several_indices(name: str, chosen: Chosen, size: int) -> list[int]:
    """Return the indices of a slice or of an iterable, in its order.

    Raises
    ------
    ValueError
        If one does not exist, or none is chosen.
    """
    if isinstance(chosen, slice):
        try:
            numbers = list(range(size)[chosen])
        except (TypeError, ValueError):
            raise ValueError(
                f"{name} must be a slice of integers with a step other than 0; got {chosen!r}"
            ) from None
    else:
        indices: Iterable[int] = [chosen] if is_one(chosen) else chosen  # type: ignore[list-item, assignment]
        numbers = [one_index(name, index, size) for index in indices]
    if not numbers:
        raise ValueError(f"{name} must choose at least one of {size}; got {chosen!r}")
    return numbers


def is_one(chosen: Any) -> bool:
    """Whether a choice is one index rather than several (a 0-d array or tensor is one)."""
    if isinstance(chosen, slice):
        return False
    several = hasattr(chosen, "__iter__") and getattr(chosen, "ndim", 1) > 0
    return isinstance(chosen, str) or not several
