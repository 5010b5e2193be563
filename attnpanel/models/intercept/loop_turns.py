"""Tell the turns of a loop over heads, or over sequences, from calls of their own.

A model that computes ``softmax(query[:, h] @ key[:, h].mT) @ value[:, h]`` for each h makes H calls
of one head. They are told from several passes by the memory that they share: views of one tensor,
at other places in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

# What a loop goes over. Of calls with several heads, "head groups" are joined along that axis, and
# "sequences" along the batch; "heads" and "batch" are those of calls with one of the two axes.
Axis = Literal["heads", "batch", "head groups", "sequences"]


@dataclass(eq=False)
class Place:
    """Where in memory a tensor lies; holds no tensor."""

    storage: Any
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def moved_from(self, other: Place) -> bool:
        """Whether this is another part of the same memory."""
        alike = (self.shape, self.strides) == (other.shape, other.strides)
        return alike and self.beside(other)

    def beside(self, other: Place) -> bool:
        """Whether these are other matrices (T, D) of the same memory, fewer or more of them."""
        same = self.storage.cdata == other.storage.cdata and not other.storage.expired()
        alike = (self.shape[2:], self.strides[2:]) == (other.shape[2:], other.strides[2:])
        return same and alike and self.offset != other.offset


def place_of(tensor: Tensor) -> Place:
    """Return the place of a tensor (B, H, T, D), or of one with fewer leading axes."""
    from torch.multiprocessing.reductions import StorageWeakRef

    if tensor.dim() < 4:
        tensor = tensor.unsqueeze(-3)[(None,) * (3 - tensor.dim())]
    storage: Any = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
    return Place(storage, int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride())


def is_turn(places: tuple[Place, ...], before: tuple[Place, ...], *, whole: bool) -> bool:
    """Whether a call reads another part of the query than the call before it, as a loop does.

    Heads may share their keys; where the queries may be some of a sequence (`whole` is False), keys
    must be others, too.
    """
    moved = [new.moved_from(old) for new, old in zip(places, before, strict=False)]
    return bool(before) and moved[0] and (whole or any(moved[1:]))


def loop_axis(
    places: tuple[Place, ...], before: tuple[Place, ...], *, folded: bool, whole: bool
) -> Axis | None:
    """Return what a loop goes over, by how far it goes in memory; None if it is none.

    Parameters
    ----------
    places, before : tuple of Place
        Of query and key, and maybe value, in a call and in the one before it.
    folded : bool
        Whether the tensors had three axes.
    whole : bool
        Whether the queries are those of a whole sequence, as far as its length is known.

    Notes
    -----
    A query that stays where it is meets other keys, such as a part of its own.
    """
    if not is_turn(places, before, whole=whole):
        return None
    query = places[0]
    batch, heads, length, _ = query.shape
    step, strides = abs(query.offset - before[0].offset), query.strides
    if heads > 1:
        if step == batch * strides[0]:
            return "sequences"
        return "head groups" if step == heads * strides[1] else None  # else parts of the channels
    if batch > 1 and not folded:
        return "heads"
    # The axis of sequences has the longest stride: a shorter step is one to another head.
    if step < max(strides[0], strides[2]):
        return "heads"
    # Of a matrix (T, D) in a row of others nobody can tell what they are.
    return "batch" if strides[0] > length * strides[2] or batch > 1 else None
