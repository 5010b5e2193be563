"""Tell which axes of a tensor are channels: those that a linear layer or a convolution has made.

Attention between channels (XCiT, Restormer) has the form of attention between positions, with both
axes exchanged, and lengths do not tell them apart where there are as many of each. The strides do:
channels keep theirs in memory through views and transpositions.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.torch_operators import named, operators

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# Stored numbers that are remembered; the oldest are forgotten.
MAX_KNOWN = 512


class FeatureAxes:
    """Which strides of stored tensors are steps between channels."""

    def __init__(self) -> None:
        # By the address of the storage: ranges of strides, from a first one to before a last one.
        self._known: dict[int, tuple[tuple[int, int], ...]] = {}

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
            self._known[address] = ranges

    def _made(
        self, func: Callable[..., Any], args: tuple[Any, ...], result: Tensor, source: Tensor | None
    ) -> tuple[tuple[int, int], ...]:
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
        else:
            return ()
        return tuple(
            (result.stride(axis), result.stride(axis) * result.shape[axis])
            for axis in axes
            if result.shape[axis] > 1
        )

    def of(self, tensor: Tensor) -> set[int] | None:
        """Return the axes of a tensor that are channels; None if that is not known."""
        ranges = self._known.get(tensor.untyped_storage().data_ptr())
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
