"""One attention call as a model makes it: tensors, still on the model's device."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from torch import Tensor, nn

    from attnpanel.attention_call import Causal, Kind


@dataclass(frozen=True, eq=False)
class SeenCall:
    """What one attention call computes from, before anything is copied.

    Attributes
    ----------
    modules : tuple of torch.nn.Module
        The modules that are running, innermost first; the first that belongs to the captured
        model names the call.
    query, key, value : tensors of shape (B, H, T, D), (B, Hkv, S, D), (B, Hkv, S, Dv)
    mask : tensor broadcastable to (B, H, T, S), or None
        Boolean, True = may attend; or additive, with large negative numbers where hidden.
    bias : float tensor broadcastable to (B, H, T, S), or None
        Added to the scores.
    causal : {"none", "top_left"}
        The causal rule the call was given as a flag.
    scale : float or None
        None means ``1 / sqrt(D)``.
    soft_cap : float or None
        What the scaled products are soft-capped to, before the bias.
    sinks : tensor of shape (H,), or None
        The score of each head's attention sink.
    kind : {"self", "cross"}, or None where the call does not tell.
    weights : tensor of shape (B, H, T, S), or None
        The model's own weights, to check the recomputed ones against.
    dropped : bool
        Whether dropout has changed `weights`, so that they can't be compared.
    trusted : bool
        False where what stands above may not be all there is to the call's weights.
    first : int or None
        Position of the first query among the keys, where it is known: a changed mask may hide it.
    folded : bool
        Whether it came with three axes: H is 1, and B may hold heads, too.
    """

    modules: tuple[nn.Module, ...]
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None = None
    bias: Tensor | None = None
    causal: Causal = "none"
    scale: float | None = None
    soft_cap: float | None = None
    sinks: Tensor | None = None
    kind: Kind | None = None
    weights: Tensor | None = None
    dropped: bool = False
    trusted: bool = True
    first: int | None = None
    folded: bool = False


def as_cast(tensor: Tensor) -> Tensor:
    """Return what torch's own attention computes from: autocast casts what a mode has seen."""
    import torch

    if tensor.is_meta or not tensor.is_floating_point():
        return tensor
    device = tensor.device.type
    # Double precision is what autocast leaves alone.
    if tensor.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return tensor
    return tensor.to(torch.get_autocast_dtype(device))


class _Around(threading.local):
    """Modules that this thread would be in, if it weren't a backward pass's."""

    modules: tuple[nn.Module, ...] = ()


_around = _Around()


@contextmanager
def inside(modules: tuple[nn.Module, ...]) -> Iterator[None]:
    """Run a piece of a model as if it were called by these modules, innermost first."""
    before, _around.modules = _around.modules, modules
    try:
        yield
    finally:
        _around.modules = before


def running_modules() -> tuple[nn.Module, ...]:
    """List the modules whose methods are on this thread's stack, innermost first.

    Read from the stack, so that no hook is placed on the model: a hook on any submodule makes
    ``nn.TransformerEncoderLayer`` leave its fast path, which changes the last bits.
    """
    from torch import nn

    found: list[nn.Module] = []
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect.stack() reads source files, 1000 times slower
    while frame is not None:
        code = frame.f_code
        if code.co_argcount and code.co_varnames[0] == "self":
            owner = frame.f_locals.get("self")
            if isinstance(owner, nn.Module) and not any(owner is module for module in found):
                found.append(owner)
        frame = frame.f_back
    return (*found, *(one for one in _around.modules if not any(one is own for own in found)))
