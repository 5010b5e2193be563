"""The call that an intervention changes: its layer and sizes, and which heads are chosen."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.attention.validation import check_count

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from attnpanel.models.intercept.loop_turns import Place

Heads = int | slice | Iterable[int] | None


@dataclass(frozen=True)
class CallTarget:
    """The layer, sizes and device of an attention call to be changed.

    Attributes
    ----------
    layer : str
        The qualified name of the module that computes it.
    batch, heads, query_len, key_len : int
        B, H, T and S.
    q_offset : int
        Position of the first query among the keys; above 0 with a key/value cache.
    device : torch.device
    sequence_len : int or None
        The length of the sequence that the queries belong to, where it is known.
    places : tuple of Place
        Where query and key lie in memory; empty if that is not known.
    folded : bool
        Whether they had three axes.
    """

    layer: str
    batch: int
    heads: int
    query_len: int
    key_len: int
    q_offset: int
    device: Any
    sequence_len: int | None = None
    places: tuple[Place, ...] = ()
    folded: bool = False

    def broadcast(
        self, name: str, array: NDArray[Any], axes: str, shape: tuple[int, ...]
    ) -> Tensor:
        """Broadcast the caller's array to a shape of this call, as a float32 tensor.

        Raises
        ------
        ValueError
            If it does not broadcast; the message has `name`, `axes` and both shapes.
        """
        import torch

        try:
            full = np.broadcast_to(array, shape)
        except ValueError:
            raise ValueError(
                f"{name} must broadcast to {axes} = {shape} in layer {self.layer!r}; "
                f"got shape {array.shape}"
            ) from None
        return torch.tensor(full, dtype=torch.float32, device=self.device)


def check_heads(heads: Heads) -> tuple[int, ...] | slice | None:
    """Return the chosen heads: None for all, a slice, or numbers in the caller's order."""
    if heads is None or isinstance(heads, slice):
        return heads
    numbers = as_numbers(heads)
    for number in numbers:
        check_count("head", number)
    if not numbers:
        raise ValueError("head must name at least one head; got none")
    return tuple(dict.fromkeys(numbers))


def as_numbers(given: Any) -> list[Any]:
    """Return one number or several as a list, NumPy's integers as Python's."""
    return [_as_int(number) for number in (given if isinstance(given, Iterable) else [given])]


def _as_int(number: Any) -> Any:
    """Convert NumPy's integers to Python's; leave anything else, also booleans, unchanged."""
    if isinstance(number, bool | np.bool):  # NumPy 2.0 takes its own True for 1
        return number
    try:
        return operator.index(number)
    except TypeError:
        return number


def resolve_heads(
    chosen: tuple[int, ...] | slice | None, count: int, layer: str
) -> tuple[int, ...]:
    """Return the numbers of the chosen heads in a layer of `count` heads.

    Raises
    ------
    ValueError
        If the layer has no such head.
    """
    if chosen is None:
        return tuple(range(count))
    if isinstance(chosen, slice):
        return tuple(range(count)[chosen])
    if max(chosen) >= count:
        raise ValueError(f"head must be in 0..{count - 1} in layer {layer!r}; got {max(chosen)}")
    return chosen
