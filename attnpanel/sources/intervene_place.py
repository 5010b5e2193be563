"""Where a change of attention lands: one call's layer and sizes, and the heads that are meant."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from attnpanel.rules import check_count

Heads = int | slice | Iterable[int] | None


@dataclass(frozen=True)
class Place:
    """One attention call, as far as a change needs to know it.

    Attributes
    ----------
    layer : str
        The qualified name of the module that computes it.
    batch, heads, query_len, key_len : int
        B, H, T and S.
    first : int
        Position of the first query among the keys; above 0 with a key/value cache.
    device : torch.device
    """

    layer: str
    batch: int
    heads: int
    query_len: int
    key_len: int
    first: int
    device: Any


def check_heads(heads: Heads) -> tuple[int, ...] | slice | None:
    """Return the heads that are meant: all, a slice of them, or numbers in the caller's order."""
    if heads is None or isinstance(heads, slice):
        return heads
    numbers = [_whole(one) for one in (heads if isinstance(heads, Iterable) else [heads])]
    for number in numbers:
        check_count("head", number)
    if not numbers:
        raise ValueError("head must name at least one head; got none")
    return tuple(dict.fromkeys(numbers))


def _whole(number: Any) -> Any:
    """Return NumPy's integers as Python's, and anything else as it is, True and False too."""
    if isinstance(number, bool):
        return number
    try:
        return operator.index(number)
    except TypeError:
        return number


def heads_in(meant: tuple[int, ...] | slice | None, count: int, layer: str) -> tuple[int, ...]:
    """Return the numbers of the heads that are meant, in a layer of so many.

    Raises
    ------
    ValueError
        If the layer has no such head.
    """
    if meant is None:
        return tuple(range(count))
    if isinstance(meant, slice):
        return tuple(range(count)[meant])
    if max(meant) >= count:
        raise ValueError(f"head must be in 0..{count - 1} in layer {layer!r}; got {max(meant)}")
    return meant
