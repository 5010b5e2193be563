"""Who captures or intervenes in this thread, and the patches that hold while anybody does.

Patches are process-wide, so they are counted: the first capture installs them, the last one
restores what was there. Recorders and interventions are per thread, so in other threads a patch
does nothing.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from attnpanel.sources.capture_seen import running_modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn
    from torch.overrides import TorchFunctionMode

    from attnpanel.sources.capture_recorder import Recorder
    from attnpanel.sources.capture_seen import SeenCall
    from attnpanel.sources.intervene_change import Intervention

    Handler = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


class _Thread(threading.local):
    """One thread's captures and interventions, outermost first, and the one mode for them all."""

    def __init__(self) -> None:
        self.recorders: tuple[Recorder, ...] = ()
        self.interventions: tuple[Intervention, ...] = ()
        self.mode: TorchFunctionMode | None = None
        self.blocks = 0
        self.rehearsing = False
        self.late = ExitStack()
        self.installed: set[Patch] = set()


_thread = _Thread()


def recorders() -> tuple[Recorder, ...]:
    """List the recorders of this thread; empty while no capture runs or capturing is paused."""
    return _thread.recorders


def interventions() -> tuple[Intervention, ...]:
    """List what changes attention in this thread, outermost first; empty while paused."""
    return _thread.interventions


def watched() -> bool:
    """Whether anybody captures or intervenes in this thread."""
    return bool(_thread.recorders or _thread.interventions)


def report(make: Callable[[], SeenCall]) -> None:
    """Hand a call to every capture of this thread: nested captures each see it.

    The model must run on, whatever it does: a call that can't be read or kept is left out, and
    told of when the capture ends. What a checkpoint computes again in a backward pass was seen in
    the forward pass.
    """
    import torch

    if not _thread.recorders or torch._C._current_graph_task_id() != -1:  # noqa: SLF001 - as torch.utils.checkpoint asks
        return
    try:
        seen = make()
        for recorder in _thread.recorders:
            recorder.record(seen)
    except (ValueError, RuntimeError, IndexError, TypeError) as error:
        modules = running_modules()
        for recorder in _thread.recorders:
            recorder.leave_out(modules, str(error))


def owned(modules: tuple[nn.Module, ...]) -> bool:
    """Whether a call in these modules is of a model that is captured or changed in this thread."""
    watchers: tuple[Recorder | Intervention, ...] = (*_thread.recorders, *_thread.interventions)
    return any(watcher.owns(modules) for watcher in watchers)


def rehearsing() -> bool:
    """Whether a module is being run only to be seen."""
    return _thread.rehearsing


@contextmanager
def rehearsal() -> Iterator[None]:
    """Mark a run of which nothing but the recorded calls is kept."""
    _thread.rehearsing = True
    try:
        yield
    finally:
        _thread.rehearsing = False


@contextmanager
def recording(recorder: Recorder, handler: Handler) -> Iterator[None]:
    """Let `recorder` see this thread's calls."""
    with _listening(handler):
        _thread.recorders = (*_thread.recorders, recorder)
        try:
            yield
        finally:  # blocks may end in another order than they began
            _thread.recorders = tuple(one for one in _thread.recorders if one is not recorder)


@contextmanager
def changing(intervention: Intervention, handler: Handler) -> Iterator[None]:
    """Let `intervention` change this thread's calls."""
    with _listening(handler):
        _thread.interventions = (*_thread.interventions, intervention)
        try:
            yield
        finally:
            rest = tuple(one for one in _thread.interventions if one is not intervention)
            _thread.interventions = rest


@contextmanager
def resumed(meant: tuple[Intervention, ...], handler: Handler) -> Iterator[None]:
    """Let interventions change this thread's calls once more, and nobody else see them."""
    with paused():
        kept = _thread.mode, _thread.blocks, _thread.late, _thread.installed
        _thread.mode, _thread.blocks, _thread.late, _thread.installed = None, 0, ExitStack(), set()
        try:
            with _listening(handler):
                _thread.interventions = meant
                yield
        finally:
            _thread.mode, _thread.blocks, _thread.late, _thread.installed = kept


@contextmanager
def _listening(handler: Handler) -> Iterator[None]:
    """Listen with one mode: the first capture or intervention starts it, the last one ends it."""
    if not _thread.blocks:
        _thread.mode = listen(handler)
        _put_on([_thread.mode])
    _thread.blocks += 1
    try:
        yield
    finally:
        _thread.blocks -= 1
        if not _thread.blocks:
            _thread.late.close()
            _thread.installed.clear()
            _take_off(_thread.mode)
            _thread.mode = None


def install_late(patch: Patch) -> None:
    """Install a patch for as long as anybody captures or intervenes in this thread."""
    if patch not in _thread.installed:
        _thread.installed.add(patch)
        _thread.late.enter_context(patch.installed())


@contextmanager
def paused() -> Iterator[None]:
    """Run a piece of the model as if nobody watched: nobody is told, and the mode is taken off.

    Taken off and not only silenced, because torch itself asks whether a mode is active (the
    fused path of its transformer modules) and torch.compile would trace into it.
    """
    recorders, _thread.recorders = _thread.recorders, ()
    interventions, _thread.interventions = _thread.interventions, ()
    taken = _take_off(_thread.mode)
    try:
        yield
    finally:
        _put_on(taken)
        _thread.recorders, _thread.interventions = recorders, interventions


def _take_off(ours: TorchFunctionMode | None) -> list[TorchFunctionMode]:
    """Take a mode off torch's stack, from below others if need be; return it and those others."""
    # Torch has no public way to reach below the top of its stack, and no types for this one.
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


def _put_on(taken: list[TorchFunctionMode]) -> None:
    """Put a mode back where :func:`_take_off` took it from."""
    from torch.overrides import _pop_mode, _push_mode

    pop: Callable[[], TorchFunctionMode] = _pop_mode
    push: Callable[[TorchFunctionMode], None] = _push_mode
    for _ in taken[1:]:
        pop()
    for mode in taken:
        push(mode)


def listen(handler: Handler) -> TorchFunctionMode:
    """Make a mode that hands every torch function called in its ``with`` block to `handler`."""
    mode: TorchFunctionMode = _mode_type()(handler)
    return mode


@cache
def _mode_type() -> Callable[[Handler], TorchFunctionMode]:
    from torch.overrides import TorchFunctionMode

    class Listening(TorchFunctionMode):
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

    return Listening


class Patch:
    """An attribute of a class or module that is another one while at least one capture runs.

    Parameters
    ----------
    owner : class or module
    name : str
    around : callable
        Makes the new attribute from the old one.
    """

    _lock = threading.Lock()

    def __init__(self, owner: Any, name: str, around: Callable[[Any], Any]) -> None:
        self.owner, self.name, self.around = owner, name, around
        self.original: Any = None
        self.replacement: Any = None
        self.users = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Keep the patch in place, at least until the block ends."""
        with self._lock:
            self.users += 1
            if self.users == 1:
                self.original = self.owner.__dict__[self.name]
                self.replacement = self.around(self.original)
                setattr(self.owner, self.name, self.replacement)
        try:
            yield
        finally:
            with self._lock:
                self.users -= 1
                # Somebody else's patch on top of ours stays: ours does nothing by now.
                if self.users == 0 and self.owner.__dict__[self.name] is self.replacement:
                    setattr(self.owner, self.name, self.original)
