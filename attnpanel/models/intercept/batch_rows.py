"""Tell which sequences of a batch a tensor holds, so that one may be seen to attend to another.

Models of pairs (LightGlue, bi-encoders) put both into one batch and part it, or turn it round,
before one attends to the other. A tensor's rows are the sequences along its slowest axes, in their
order in memory. A layout that moves those axes, such as that of query, key and value packed in one
tensor, leaves them unknown.
"""

from __future__ import annotations

import math
import weakref
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.torch_operators import moved_axes, named, operators

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    # A number of the tensor that a batch began with, and of the sequence in it.
    Rows = tuple[tuple[int, int], ...]

# Tensors remembered before those that are gone are forgotten.
MAX_KNOWN = 4096
# Sequences of a batch beyond which they are not told apart.
MAX_ROWS = 1024


class BatchRows:
    """The sequences in one thread's tensors."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Tensor], Rows]] = {}
        self._numbers = count()
        self._limit = MAX_KNOWN
        self._joining = operators()["join"]

    def begin(self, tensor: Tensor) -> None:
        """Begin the sequences of a batch (B, T, C), (B, C, height, width) or (B, N, C, …)."""
        if tensor.dim() > 2 and not tensor.is_nested:
            number = next(self._numbers)
            size = math.prod(tensor.shape[: 2 if tensor.dim() > 4 else 1])
            if 0 < size <= MAX_ROWS:
                self._set(tensor, tuple((number, row) for row in range(size)))

    def follow(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        results: Sequence[Tensor],
    ) -> None:
        """Note what a function has computed. It runs after every one, so it must be fast."""
        if func in self._joining:
            self._join(args, kwargs, results[0])
            return
        for source in args:
            rows = self.rows(source)
            if rows:
                break
        else:
            return
        found: list[Rows]
        if len(rows) == 1:
            found = [rows for _ in results]
        elif func in _picking():
            found = _picked(func, args, kwargs, rows, results)
        else:
            kept = _keeps(func, source, len(rows))
            found = [rows if kept(result) else () for result in results]
        for result, held in zip(results, found, strict=False):
            if held:
                self._set(result, held)

    def _join(self, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> None:
        tensors = args[0] if args else kwargs["tensors"]
        axis = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))
        if type(axis) is not int:  # an axis may have a name
            return
        parts = [self.rows(tensor) for tensor in tensors]
        if axis % result.dim():
            if len(parts[0]) == result.shape[0]:
                self._set(result, parts[0])
            return
        whole = all(
            rows and len(rows) == tensor.shape[0]
            for rows, tensor in zip(parts, tensors, strict=True)
        )
        if whole and len({rows[0][0] for rows in parts}) > 1:
            self.begin(result)
        elif whole:
            self._set(result, tuple(row for rows in parts for row in rows))

    def differ(self, one: Tensor, other: Tensor) -> bool:
        """Whether two tensors are known to hold other sequences of one batch, at every place."""
        rows, others = self.rows(one), self.rows(other)
        if not rows or not others or {row[0] for row in rows}.isdisjoint(row[0] for row in others):
            return False
        if len(rows) != len(others):
            return set(rows).isdisjoint(others)
        return all(row != other for row, other in zip(rows, others, strict=True))

    def rows(self, tensor: Any) -> Rows:
        """Return the sequences that a tensor holds, slowest axis first; none if not known."""
        known = self._known.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else ()

    def _set(self, tensor: Tensor, rows: Rows) -> None:
        if len(self._known) > self._limit:
            known = self._known.items()
            self._known = {number: entry for number, entry in known if entry[0]() is not None}
            self._limit = max(MAX_KNOWN, 2 * len(self._known))
        self._known[id(tensor)] = weakref.ref(tensor), rows


def _slowest(tensor: Tensor, number: int) -> int:
    """Return how many of the first axes have as many places as there are sequences, or more."""
    size, axes = 1, 0
    while size < number and axes < tensor.dim():
        size *= tensor.shape[axes]
        axes += 1
    return axes


def _keeps(func: Callable[..., Any], source: Tensor, number: int) -> Callable[[Tensor], bool]:
    """Return whether a result of a function holds the sequences of its source, in their order."""
    if func in _reshaping():
        return lambda result: result.numel() == source.numel()
    first = _slowest(source, number)
    if func in _turning():
        return lambda result: (
            result.shape[:first] == source.shape[:first]
            and result.stride()[:first] == source.stride()[:first]
        )
    return lambda result: result.shape[:first] == source.shape[:first]


def _picked(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    rows: Rows,
    results: Sequence[Tensor],
) -> list[Rows]:
    """Return the sequences in each result of a function that picks some or changes their order."""
    import torch

    source = args[0]
    first = _slowest(source, len(rows))
    moves = func in operators()["reorder"] or func is torch.Tensor.__getitem__
    axes = moved_axes(func, args, kwargs) if moves else []
    inside = any(axis % source.dim() < first for axis in axes)
    kept = all(
        result.dim() == source.dim() and result.shape[:first] == source.shape[:first]
        for result in results
    )
    if kept and not inside:
        return [rows for _ in results]
    sizes = source.shape[:first]
    # Each sequence may have several places, as its heads that are folded into the batch.
    share, rest = divmod(math.prod(sizes), len(rows))
    if rest or func in _gathering():
        return []
    from attnpanel.models.intercept.session import paused

    with paused():
        places = torch.arange(len(rows), device=source.device).repeat_interleave(share)
        places = places.view(*sizes, *[1] * (source.dim() - first)).expand(source.shape)
        found = func(places, *args[1:], **kwargs)
        found = found if isinstance(found, (tuple, list)) else (found,)
        return [_rows_at(part, rows) for part in found]


def _rows_at(places: Tensor, rows: Rows) -> Rows:
    """Return the sequences at places that are the same along the last axes."""
    while places.dim() and places.shape[-1] and bool((places == places[..., :1]).all()):
        places = places[..., 0]
    return tuple(rows[at] for at in places.flatten().tolist()) if places.numel() <= MAX_ROWS else ()


@cache
def _turning() -> frozenset[Any]:
    """Return the functions that change the order of axes."""
    import torch

    properties = {getattr(torch.Tensor, name).__get__ for name in ("mT", "T", "mH", "H")}
    names = "transpose permute swapaxes swapdims movedim moveaxis t adjoint"
    return frozenset(named(names) | properties)


@cache
def _reshaping() -> frozenset[Any]:
    """Return the functions that keep the order of numbers in memory and change the shape."""
    return frozenset(
        named("view reshape flatten unflatten squeeze unsqueeze view_as reshape_as contiguous")
    )


@cache
def _picking() -> frozenset[Any]:
    """Return the functions that pick some places along an axis, or change their order."""
    names = "chunk split tensor_split unbind narrow select __getitem__ flip roll index_select"
    return frozenset(named(names)) | _gathering()


@cache
def _gathering() -> frozenset[Any]:
    return frozenset(named("gather take_along_dim"))
