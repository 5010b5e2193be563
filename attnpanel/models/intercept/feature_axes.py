"""Tell which axes of a tensor are channels: those that a linear layer or a convolution has made.

Attention between channels (XCiT, Restormer) has the form of attention between positions, with both
axes exchanged, and lengths do not tell them apart where there are as many of each. The strides do:
channels keep theirs in memory through views and transpositions.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.torch_operators import named, operators

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Ranges = tuple[tuple[int, int], ...]

# Stored numbers that are remembered; the oldest are forgotten.
MAX_KNOWN = 512


class FeatureAxes:
    """Which strides of stored tensors are steps between channels."""

    def __init__(self) -> None:
        # By the address of the storage: it, and ranges of strides, from a first one to before a
        # last one.
        self._known: dict[int, tuple[Any, Ranges]] = {}

    def follow(self, func: Callable[..., Any], args: tuple[Any, ...], result: Any) -> None:
        """Note what a function has computed. It runs after every one, so it must be fast."""
        import torch

        source = args[0] if args and type(args[0]) is torch.Tensor else None
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if type(tensor) is torch.Tensor and tensor.is_floating_point() and not tensor.is_nested:
                self._note(func, args, tensor, source)

    def _note(
        self, func: Callable[..., Any], args: tuple[Any, ...], result: Tensor, source: Tensor | None
    ) -> None:
        address = result.untyped_storage().data_ptr()
        if source is not None and source.untyped_storage().data_ptr() == address:
            return  # a view, or written in place
        ranges = self._made(func, args, result, source)
        self._known.pop(address, None)  # of a tensor that is gone
        if ranges:
            if len(self._known) >= MAX_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[address] = _weak(result), ranges

    def _made(
        self, func: Callable[..., Any], args: tuple[Any, ...], result: Tensor, source: Tensor | None
    ) -> Ranges:
        kinds = operators()
        if func in kinds["linear layer"] or (
            func in _products() and len(args) > 1 and _is_parameter(args[1])
        ):
            axes = {result.dim() - 1}
        elif func in kinds["convolution"]:
            weight = args[1] if len(args) > 1 else None
            axes = {result.dim() + 1 - weight.dim()} if weight is not None else set()
        elif func in _by_element() and source is not None and source.shape == result.shape:
            axes = self.of(source) or set()
        elif func in _copying() and source is not None:
            # Its result is the source in the order of its axes, in other lengths.
            steps = [math.prod(source.shape[axis + 1 :]) for axis in range(source.dim())]
            return tuple(
                (steps[axis], steps[axis] * source.shape[axis]) for axis in self.of(source) or ()
            )
        elif func in kinds["join"]:
            return self._joined(*args[:2], result=result)
        else:
            return ()
        return tuple(
            (result.stride(axis), result.stride(axis) * result.shape[axis])
            for axis in axes
            if result.shape[axis] > 1
        )

    def _joined(self, parts: Any, axis: Any = 0, *, result: Tensor) -> Ranges:
        """Return what is known of groups of one tensor's channels, joined along an axis."""
        ranges = self._ranges(parts[0]) if len(parts) > 1 and type(axis) is int else None
        if ranges is None or len({part.untyped_storage().data_ptr() for part in parts}) > 1:
            return ()
        steps = {b.storage_offset() - a.storage_offset() for a, b in pairwise(parts)}
        if len(steps) > 1 or not any(first <= min(steps) < last for first, last in ranges):
            return ()
        axis, stacked = axis % result.dim(), result.dim() > parts[0].dim()
        step = result.stride(axis) * (1 if stacked else parts[0].shape[axis])
        own = [x + (stacked and x >= axis) for x in self.of(parts[0]) or ()]
        found = [(result.stride(x), result.stride(x) * result.shape[x]) for x in own if x != axis]
        return (*found, (step, step * len(parts)))

    def _ranges(self, tensor: Tensor) -> Ranges | None:
        known = self._known.get(tensor.untyped_storage().data_ptr())
        return None if known is None or known[0].expired() else known[1]

    def offset_of_sequence(self, tensor: Tensor) -> int | None:
        """Return where in memory the channels begin that a part of a sequence's is among.

        None if it is not known which are channels.
        """
        ranges, offset = self._ranges(tensor), int(tensor.storage_offset())
        if not ranges:
            return None
        return offset - sum(offset // first % (last // first) * first for first, last in ranges)

    def heads_first(self, tensor: Tensor, *, folded: bool) -> int | None:
        """Return the number of heads before the sequences of a batch; None if none is known.

        Parameters
        ----------
        tensor : tensor of shape (H, B, T, D) or (H · B, 1, T, D)
        folded : bool
            Whether the first axis may hold both.

        Returns
        -------
        int or None
            0 if they are known to come after them.
        """
        try:
            ranges = None if tensor.is_nested else self._ranges(tensor)
        except (RuntimeError, NotImplementedError):  # tensors without memory
            return None
        if ranges is None or tensor.dim() != 4:
            return None
        number, step = tensor.shape[0], tensor.stride(0)
        if not folded:
            axes = self.of(tensor) or set()
            return None if not axes & {0, 1} else number * (0 in axes and 1 not in axes)
        if any(first <= step < last for first, last in ranges):
            return 0
        found = (last // first for first, last in ranges if first > step)
        return next((heads for heads in found if number % heads == 0), None)

    def of(self, tensor: Tensor) -> set[int] | None:
        """Return the axes of a tensor that are channels; None if that is not known."""
        ranges = self._ranges(tensor)
        if ranges is None:
            return None
        return {
            axis
            for axis, (stride, size) in enumerate(zip(tensor.stride(), tensor.shape, strict=True))
            if size > 1 and any(first <= stride < last for first, last in ranges)
        }

    def between_channels(self, query: Tensor) -> bool:
        """Whether what seem queries (…, T, D) are channels, and their channels positions."""
        if query.is_nested or query.dim() < 2 or min(query.shape[-2:]) < 2:
            return False
        try:
            axes = self.of(query)
        except (RuntimeError, NotImplementedError):  # tensors without memory, as under vmap
            return False
        return axes is not None and query.dim() - 2 in axes and query.dim() - 1 not in axes


def _is_parameter(tensor: Any) -> bool:
    from torch.nn import Parameter

    base = getattr(tensor, "_base", None)
    return isinstance(tensor if base is None else base, Parameter)


def _weak(tensor: Tensor) -> Any:
    from torch.multiprocessing.reductions import StorageWeakRef

    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


@cache
def _copying() -> frozenset[Any]:
    return frozenset(named("reshape flatten"))


@cache
def _products() -> frozenset[Any]:
    return frozenset(named("matmul __matmul__"))


@cache
def _by_element() -> frozenset[Any]:
    """Return functions whose result has the axes of their first argument, in memory of its own."""
    from torch.nn import functional

    known = operators()
    arithmetic = known["add"] | known["sub"] | known["mul"] | known["div"]
    norms = {
        functional.normalize,
        functional.layer_norm,
        functional.rms_norm,
        functional.batch_norm,
        functional.group_norm,
        functional.dropout,
        functional.gelu,
        functional.silu,
        functional.relu,
        functional.elu,
    }
    copies = named("clone contiguous to float half bfloat16 double relu sigmoid tanh softmax")
    return frozenset(arithmetic | norms | copies | {functional.softmax})
