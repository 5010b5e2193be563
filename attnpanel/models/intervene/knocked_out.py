"""Check that a head scaled by 0 is 0 wherever it goes, until it leaves its module.

Accounting for products is not enough: a module may add to a head what no product of its weights
with values gave, such as relative positions of the values or rows that are computed apart. So each
tensor that must hold zeros is followed, with flags that are moved as its numbers are, through
layouts, writes and sums, up to the next layer or the end of the module.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.call import running_modules
from attnpanel.models.intercept.torch_operators import layouts, named, operators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from attnpanel.models.intervene.plan import Plan


@dataclass(frozen=True, eq=False)
class _Zeros:
    """What is known of a tensor that holds knocked-out heads.

    Attributes
    ----------
    flags : bool tensor of the same shape
        True where it must be 0.
    plan : Plan
        Of the call that gave it.
    module : torch.nn.Module
        The layer's.
    value_dim : int
        Channels of a head: the last axis until the heads are merged. 0 if there is one head.
    """

    flags: Tensor
    plan: Plan
    module: nn.Module
    value_dim: int


class KnockOutCheck:
    """The tensors of one thread that must hold zeros."""

    def __init__(self) -> None:
        from torch.utils.weak import WeakTensorKeyDictionary

        self._zeros: Any = WeakTensorKeyDictionary()

    def watch(
        self, output: Tensor, flags: Tensor, plan: Plan, modules: tuple[nn.Module, ...]
    ) -> None:
        """Follow the output of a call from here on.

        Parameters
        ----------
        output : tensor
            Weights times values, in any layout whose last axis is a head's channels.
        flags : bool tensor of the same shape
            True where it must be 0.
        plan : Plan
        modules : tuple of torch.nn.Module
            The running modules, innermost first.
        """
        module = plan.active[0].layer_module(modules)
        # A single head without an axis of its own is merged from the start.
        separate = plan.target.heads > 1 or output.dim() > 3
        value_dim = output.shape[-1] if separate else 0
        self._set(output, _Zeros(flags, plan, module, value_dim))

    def follow(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """Note what a function has made of a tensor that must hold zeros."""
        import torch

        if not self._zeros.data:
            return
        arguments = tuple(_tensors((*args, *kwargs.values())))
        zeros = next((found for x in arguments if (found := self._zeros.get(x))), None)
        if zeros is None or not any(module is zeros.module for module in running_modules()):
            return
        # What cannot be followed is not checked further: the model must not stop.
        with torch.no_grad(), suppress(TypeError, ValueError, RuntimeError, IndexError):
            if func in operators()["write"]:
                self._after_write(args, zeros)
            elif func in _layouts():
                self._after_layout(func, args, kwargs, result, zeros)
            elif isinstance(result, torch.Tensor):
                self._after_arithmetic(func, arguments, result)

    def _after_write(self, args: tuple[Any, ...], zeros: _Zeros) -> None:
        """Follow ``target[index] = value``, where either holds heads."""
        target, index, value = args
        written = self._zeros.get(value) if hasattr(value, "shape") else None
        known = self._zeros.get(target)
        if written is not None:
            flags = _no_flags(target) if known is None else known.flags.clone()
            flags[index] = written.flags
            self._set(target, replace(zeros, flags=flags))
        elif known is not None:
            self._set(target, known)

    def _after_layout(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
        zeros: _Zeros,
    ) -> None:
        """Move the flags as the numbers were moved."""
        moved = func(*self._as_flags(args), **self._as_flags(kwargs))
        pairs = zip(_tensors((result,)), _tensors((moved,)), strict=True)
        for tensor, flags in pairs:
            self._set(tensor, replace(zeros, flags=flags))

    def _after_arithmetic(
        self, func: Callable[..., Any], arguments: tuple[Tensor, ...], result: Tensor
    ) -> None:
        """Follow a function that keeps the shape; what is added to merged heads is a residual."""
        known = operators()
        adds = func in known["add"] | known["sub"]
        found = [x for x in arguments if x in self._zeros and x.shape == result.shape]
        if not found or not (adds or func in _same_shape()):
            return
        zeros = self._zeros[found[0]]
        if adds and len(found) == 1 and result.shape[-1] != zeros.value_dim:
            self._zeros.pop(result, None)  # it may have been added in place
            return
        if adds and len(found) > 1:
            zeros = replace(zeros, flags=zeros.flags & self._zeros[found[1]].flags)
        self._set(result, zeros)

    def _as_flags(self, arguments: Any) -> Any:
        import torch

        if isinstance(arguments, torch.Tensor):
            zeros = self._zeros.get(arguments)
            if zeros is not None:
                return zeros.flags
            return _no_flags(arguments) if arguments.is_floating_point() else arguments
        if isinstance(arguments, (list, tuple)):
            return type(arguments)(self._as_flags(item) for item in arguments)
        if isinstance(arguments, dict):
            return {name: self._as_flags(item) for name, item in arguments.items()}
        return arguments

    def _set(self, tensor: Tensor, zeros: _Zeros) -> None:
        if not bool(zeros.flags.any()):
            return
        if bool((tensor.detach().ne(0) & zeros.flags).any()):
            for intervention in zeros.plan.active:
                if intervention.change.scale is not None:
                    intervention.leaking[zeros.plan.target.layer] = None
        self._zeros[tensor] = zeros


def _no_flags(tensor: Tensor) -> Tensor:
    import torch

    return torch.zeros(tensor.shape, dtype=torch.bool, device=tensor.device)


def _tensors(values: Any) -> Iterator[Any]:
    """Yield the tensors among values, and in their lists and tuples."""
    import torch

    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


# Those after which a 0 is a 0, unless another tensor is written over it.
SAME_SHAPE = """to float half bfloat16 double type type_as masked_fill masked_fill_ where
    masked_scatter masked_scatter_ index_copy index_copy_ index_add index_add_ index_put index_put_
    scatter scatter_ scatter_add scatter_add_ copy_"""


@cache
def _layouts() -> frozenset[Any]:
    import torch
    from torch.nn import functional

    return layouts() | {torch.cat, torch.stack, torch.concat, functional.pad}


@cache
def _same_shape() -> frozenset[Any]:
    known = operators()
    return frozenset(named(SAME_SHAPE) | known["mul"] | known["div"] | known["dropout"])
