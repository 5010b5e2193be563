"""Where a change of attention lands: one call's layer and sizes, and the heads that are meant."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.rules import check_count

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

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

    def fill(self, name: str, given: NDArray[Any], axes: str, full: tuple[int, ...]) -> Tensor:
        """Return the caller's numbers for this call, float32, of the full shape.

        Raises
        ------
        ValueError
            If they do not broadcast to it; names what was given and what the axes are.
        """
        import torch

        try:
            whole = np.broadcast_to(given, full)
        except ValueError:
            raise ValueError(
                f"{name} must broadcast to {axes} = {full} in layer {self.layer!r}; "
                f"got shape {given.shape}"
            ) from None
        return torch.tensor(whole, dtype=torch.float32, device=self.device)


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
