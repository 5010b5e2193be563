"""An attention call as a model makes it: tensors, still on the model's device."""

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

    from attnpanel.models.intercept.batch_rows import Rows
    from attnpanel.models.intercept.tracked_scores import ScoreUse
    from attnpanel.trace.call import Causal, Kind


@dataclass(frozen=True, eq=False)
class InterceptedCall:
    """The inputs of one attention call, before anything is copied.

    Attributes
    ----------
    modules : tuple of torch.nn.Module
        The running modules, innermost first; the first one that belongs to the captured model
        names the call.
    query, key, value : tensors of shape (B, H, T, D), (B, Hkv, S, D), (B, Hkv, S, Dv)
    mask : tensor broadcastable to (B, H, T, S), or None
        Boolean, True = may attend; or additive, with large negative numbers where a key is hidden.
    bias : float tensor broadcastable to (B, H, T, S), or None
        Added to the scores.
    causal : {"none", "top_left"}
        The causal rule that was passed as a flag.
    scale : float or None
        None means ``1 / sqrt(D)``.
    soft_cap : float or None
        Bounds the scaled products by a tanh, before the bias.
    sinks : tensor of shape (H,), or None
        The score of each head's attention sink.
    kind : {"self", "cross"} or None
        None where the call does not say.
    weights : tensor of shape (B, H, T, S), or None
        The model's own weights, to check the recomputed ones against.
    dropout : float
        The probability with which dropout has set some of `weights` to 0.
    trusted : bool
        False if the fields above may not fully determine the weights.
    q_offset : int or None
        Position of the first query among the keys, where it is known; an intervention's mask may
        make it impossible to infer.
    folded : bool
        True if the tensors had three axes: H is 1, and B may include the heads.
    handed_over : bool
        True if the model has reported the call itself, by :func:`attnpanel.record`.
    has_values : bool
        False if the outputs are not `weights` times one value for each key, so that none are kept.
    sequence_len : int or None
        The length of the sequence that the queries belong to, where it is known; T is less where
        queries are pooled, or computed in chunks.
    rows : tuple of (int, int)
        The sequences that the query holds, where they are known: a number of the batch, and which
        of it.
    use : ScoreUse or None
        The scores that a model's own code made the call of.
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
    dropout: float = 0.0
    trusted: bool = True
    q_offset: int | None = None
    folded: bool = False
    handed_over: bool = False
    has_values: bool = True
    sequence_len: int | None = None
    rows: Rows = ()
    use: ScoreUse | None = None


def autocast(tensor: Tensor) -> Tensor:
    """Cast a tensor as autocast would; a function mode sees arguments before autocast does."""
    import torch

    if tensor.is_meta or not tensor.is_floating_point():
        return tensor
    device = tensor.device.type
    # Autocast leaves double precision alone.
    if tensor.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return tensor
    return tensor.to(torch.get_autocast_dtype(device))


class _EnclosingModules(threading.local):
    """The enclosing modules of a piece that a backward pass runs again, by thread."""

    modules: tuple[nn.Module, ...] = ()


_enclosing = _EnclosingModules()


@contextmanager
def enclosed_by(modules: tuple[nn.Module, ...]) -> Iterator[None]:
    """Run a piece of a model as if these modules had called it, innermost first."""
    before, _enclosing.modules = _enclosing.modules, modules
    try:
        yield
    finally:
        _enclosing.modules = before


def running_modules() -> tuple[nn.Module, ...]:
    """List the modules whose methods are on this thread's stack, innermost first.

    Read from the stack rather than from hooks: a hook on any submodule makes
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
    around = (m for m in _enclosing.modules if not any(m is module for module in found))
    return (*found, *around)
