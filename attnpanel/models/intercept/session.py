"""The captures and interventions of a thread, and the patches installed for them.

Patches are process-wide, so their users are counted: the first capture installs them, the last one
restores what was there. Recorders and interventions are per thread, so in other threads a patch
does nothing.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.call import running_modules
from attnpanel.models.intercept.streams import Streams
from attnpanel.models.intervene.knocked_out import KnockOutCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn
    from torch.overrides import TorchFunctionMode

    from attnpanel.models.capture.recorder import Recorder
    from attnpanel.models.intercept.call import InterceptedCall
    from attnpanel.models.intercept.tracked_scores import ScoreUse
    from attnpanel.models.intervene.intervention import Intervention

    Handler = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


class _ThreadState(threading.local):
    """One thread's captures and interventions, outermost first, and the one mode they share."""

    def __init__(self) -> None:
        self.recorders: tuple[Recorder, ...] = ()
        self.interventions: tuple[Intervention, ...] = ()
        self.mode: TorchFunctionMode | None = None
        self.streams = Streams()
        self.knock_outs = KnockOutCheck()
        self.depth = 0
        self.in_dry_run = False
        self.late_patches = ExitStack()
        self.installed: set[Patch] = set()


_thread = _ThreadState()


def _forget_after_fork() -> None:
    """Leave a child process without its parent's captures and interventions."""
    if _thread.mode is not None:
        _remove_mode(_thread.mode)
    _thread.recorders, _thread.interventions = (), ()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_forget_after_fork)


def recorders() -> tuple[Recorder, ...]:
    """List the recorders of this thread; empty while no capture runs or capturing is paused."""
    return _thread.recorders


def interventions() -> tuple[Intervention, ...]:
    """List the interventions of this thread, outermost first; empty while paused."""
    return _thread.interventions


def is_active() -> bool:
    """Whether a capture or an intervention is active in this thread."""
    return bool(_thread.recorders or _thread.interventions)


def streams() -> Streams:
    """Return the sequences of this thread's tensors."""
    return _thread.streams


def knock_outs() -> KnockOutCheck:
    """Return the check of this thread's heads that are scaled by 0."""
    return _thread.knock_outs


def record_call(read: Callable[[], InterceptedCall]) -> None:
    """Record a call with every capture of this thread, nested ones included.

    The model must not fail because of a capture: a call that cannot be read or stored is skipped,
    and the capture warns when it ends. A checkpoint's recomputation in a backward pass is ignored,
    since the forward pass has recorded it.
    """
    import torch

    if not _thread.recorders or torch._C._current_graph_task_id() != -1:  # noqa: SLF001 - as torch.utils.checkpoint asks
        return
    try:
        if reason := transform_reason():
            raise ValueError(reason)  # noqa: TRY301 - told like any other reason
        call = read()
        for recorder in _thread.recorders:
            recorder.record(call)
    except (ValueError, RuntimeError, IndexError, TypeError) as error:
        modules = running_modules()
        for recorder in _thread.recorders:
            recorder.skip(modules, str(error))


def transform_reason() -> str | None:
    """Return why a transformation of torch that is running hides the numbers; None if none does."""
    import torch
    from torch._C import _functorch
    from torch._guards import detect_fake_mode
    from torch.fx.experimental.proxy_tensor import get_proxy_mode

    level: Any = _functorch.peek_interpreter_stack()
    if level is not None and level.key() == _functorch.TransformType.Vmap:
        return "torch.vmap hides the numbers: run the model on a batch, without vmap"
    if torch.compiler.is_exporting() or detect_fake_mode() is not None:
        return "torch.export runs a model without numbers: capture the model itself, run as it is"
    if level is not None:
        return "torch.func hides the numbers: run the model itself, outside of grad, vjp and jvp"
    if get_proxy_mode() is not None:
        return "a tracer runs a model without numbers: capture the model itself, run as it is"
    return None


def owns(modules: tuple[nn.Module, ...]) -> bool:
    """Whether a call in these modules belongs to a model captured or changed in this thread."""
    return any(owner.owns(modules) for owner in _owners())


def note_use(use: ScoreUse) -> None:
    """Note scores that were normalised, or met values; not in a backward pass."""
    import torch

    if torch._C._current_graph_task_id() == -1:  # noqa: SLF001 - as torch.utils.checkpoint asks
        for owner in _owners():
            owner.audit.note_use(use)


def note_linear(arguments: tuple[Any, ...]) -> None:
    """Note which modules run, by a linear layer's arguments; not in a backward pass."""
    import torch

    if torch._C._current_graph_task_id() == -1:  # noqa: SLF001 - as torch.utils.checkpoint asks
        for owner in _owners():
            owner.audit.note_linear(arguments)


def note_patches(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Note a convolution, which may make a picture's patches."""
    for recorder in _thread.recorders:
        if len(args) > 1 and recorder.owns(running_modules()):
            recorder.patches.note_convolution(args, kwargs)


def follow_outputs(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> None:
    """Let captures follow what becomes of the heads' outputs, where they were asked to."""
    for recorder in _thread.recorders:
        if recorder.outputs is not None:
            recorder.outputs.follow(func, args, kwargs, result)


def note_ids(args: tuple[Any, ...]) -> None:
    """Note the ids that an embedding reads."""
    for recorder in _thread.recorders:
        if args:
            recorder.patches.note_ids(args[0])


def note_rotation(kind: str, args: tuple[Any, ...], result: Any) -> None:
    """Note a part of what may be a rotary position embedding."""
    for recorder in _thread.recorders:
        recorder.rotations.note(kind, args, result)


def note_part(part: str) -> None:
    """Note that a part of an attention or of a dynamic convolution was computed."""
    modules = running_modules()
    for owner in _owners():
        owner.audit.note_part(part, modules)


def note_unseen(
    modules: tuple[nn.Module, ...], reason: str, *, only_attention: bool = False
) -> None:
    """Note that modules run code which no mode sees."""
    for owner in _owners():
        owner.audit.note_unseen(modules, reason, only_attention=only_attention)


def _owners() -> tuple[Recorder | Intervention, ...]:
    return (*_thread.recorders, *_thread.interventions)


def in_dry_run() -> bool:
    """Whether a module is being run for the recorders only."""
    return _thread.in_dry_run


@contextmanager
def dry_run() -> Iterator[None]:
    """Mark a run whose recorded calls are kept and whose result is discarded."""
    _thread.in_dry_run = True
    try:
        yield
    finally:
        _thread.in_dry_run = False


@contextmanager
def recording(recorder: Recorder, handler: Handler) -> Iterator[None]:
    """Record this thread's calls with `recorder`."""
    with _mode_pushed(handler):
        _thread.recorders = (*_thread.recorders, recorder)
        try:
            yield
        finally:  # blocks may end in another order than they began
            _thread.recorders = tuple(r for r in _thread.recorders if r is not recorder)


@contextmanager
def intervening(intervention: Intervention, handler: Handler) -> Iterator[None]:
    """Apply `intervention` to this thread's calls."""
    with _mode_pushed(handler):
        _thread.interventions = (*_thread.interventions, intervention)
        try:
            yield
        finally:
            rest = tuple(i for i in _thread.interventions if i is not intervention)
            _thread.interventions = rest


@contextmanager
def replaying(again: tuple[Intervention, ...], handler: Handler) -> Iterator[None]:
    """Apply these interventions, and no others, to a recomputation; nothing is recorded."""
    with paused():
        saved = _thread.mode, _thread.depth, _thread.late_patches, _thread.installed
        _thread.mode, _thread.depth = None, 0
        _thread.late_patches, _thread.installed = ExitStack(), set()
        try:
            with _mode_pushed(handler):
                _thread.interventions = again
                yield
        finally:
            _thread.mode, _thread.depth, _thread.late_patches, _thread.installed = saved


@contextmanager
def _mode_pushed(handler: Handler) -> Iterator[None]:
    """Push one mode for all blocks: the first one pushes it, the last one pops it."""
    if not _thread.depth:
        _thread.mode, _thread.streams = function_mode(handler), Streams()
        _thread.knock_outs = KnockOutCheck()
        _restore_modes([_thread.mode])
    _thread.depth += 1
    try:
        yield
    finally:
        _thread.depth -= 1
        if not _thread.depth:
            _thread.late_patches.close()
            _thread.installed.clear()
            _remove_mode(_thread.mode)
            _thread.mode = None


def install_late(patch: Patch) -> None:
    """Install a patch until no capture or intervention is active in this thread."""
    if patch not in _thread.installed:
        _thread.installed.add(patch)
        _thread.late_patches.enter_context(patch.installed())


@contextmanager
def paused() -> Iterator[None]:
    """Run a piece of the model with no captures, no interventions, and the mode popped.

    Popping matters: torch itself asks whether a mode is active (the fused path of its transformer
    modules), and torch.compile would trace into one.
    """
    recorders, _thread.recorders = _thread.recorders, ()
    interventions, _thread.interventions = _thread.interventions, ()
    removed = _remove_mode(_thread.mode)
    try:
        yield
    finally:
        _restore_modes(removed)
        _thread.recorders, _thread.interventions = recorders, interventions


def _remove_mode(ours: TorchFunctionMode | None) -> list[TorchFunctionMode]:
    """Remove a mode from torch's stack, also from below others; return it and those others."""
    # Torch has no public way below the top of its stack, and no types for this one.
    from torch.overrides import _get_current_function_mode_stack, _pop_mode, _push_mode

    modes: Callable[[], list[TorchFunctionMode]] = _get_current_function_mode_stack
    pop: Callable[[], TorchFunctionMode] = _pop_mode
    push: Callable[[TorchFunctionMode], None] = _push_mode
    stack = modes()
    # Inside its own handler a mode is off the stack already.
    at = next((i for i, mode in enumerate(stack) if mode is ours), len(stack))
    for _ in stack[at:]:
        pop()
    for mode in stack[at + 1 :]:
        push(mode)
    return stack[at:]


def _restore_modes(removed: list[TorchFunctionMode]) -> None:
    """Put a mode back to where :func:`_remove_mode` found it."""
    from torch.overrides import _pop_mode, _push_mode

    pop: Callable[[], TorchFunctionMode] = _pop_mode
    push: Callable[[TorchFunctionMode], None] = _push_mode
    for _ in removed[1:]:
        pop()
    for mode in removed:
        push(mode)


def function_mode(handler: Handler) -> TorchFunctionMode:
    """Make a mode that passes every torch function called in its ``with`` block to `handler`."""
    mode: TorchFunctionMode = _mode_type()(handler)
    return mode


@cache
def _mode_type() -> Callable[[Handler], TorchFunctionMode]:
    from torch.overrides import TorchFunctionMode

    class HandlerMode(TorchFunctionMode):
        def __init__(self, handler: Handler) -> None:
            super().__init__()
            self.handler = handler

        def __torch_function__(
            self,
            func: Callable[..., Any],
            types: object,
            args: tuple[Any, ...] = (),
            kwargs: dict[str, Any] | None = None,
        ) -> Any:
            return self.handler(func, args, kwargs or {})

    return HandlerMode


class Patch:
    """Replace an attribute of a class or module while at least one user needs it.

    Parameters
    ----------
    owner : class or module
    name : str
    wrap : callable
        Makes the new attribute from the old one.
    """

    _lock = threading.Lock()

    def __init__(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        self.owner, self.name, self.wrap = owner, name, wrap
        self.original: Any = None
        self.replacement: Any = None
        self.users = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Keep the patch installed at least until the block ends."""
        with self._lock:
            self.users += 1
            if self.users == 1:
                self.original = self.owner.__dict__[self.name]
                self.replacement = self.wrap(self.original)
                setattr(self.owner, self.name, self.replacement)
        try:
            yield
        finally:
            with self._lock:
                self.users -= 1
                # A patch that someone else put on top stays; ours does nothing by now.
                if self.users == 0 and self.owner.__dict__[self.name] is self.replacement:
                    setattr(self.owner, self.name, self.original)
