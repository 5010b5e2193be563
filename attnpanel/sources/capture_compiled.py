"""Models and functions that went through ``torch.compile``: seen, and computed as ever.

Compiled code calls no torch function that a mode could hear of. So each call of it is run twice
while a capture listens: first as it is written, on copies of its arguments, to be seen; then
compiled, as if nobody listened. The result is that of the second run, to the last bit, and nothing
is compiled anew, then or later. While somebody intervenes it is run as it is written, and only so.
"""

from __future__ import annotations

import copy
import functools
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from attnpanel.sources.capture_budget import CaptureBudgetError
from attnpanel.sources.capture_seen import running_modules
from attnpanel.sources.capture_session import (
    Patch,
    install_late,
    interventions,
    owned,
    paused,
    recorders,
    rehearsal,
    rehearsing,
    watched,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import nn

DYNAMO = "torch._dynamo.eval_frame"
# What torch's compiled functions ask at every call, from a frame that holds what they were called
# with. There is no public way in: torch.compiler.set_stance would end compiling for all threads.
ASKED = "_callback_from_stance"
HELD = {"fn", "args", "kwargs", "cleanups"}


def compiled_calls() -> Sequence[Patch]:
    """Give the patch that shows what is compiled, or is compiled later in the block."""
    import torch

    dynamo = sys.modules.get(DYNAMO)
    if dynamo is None:  # four seconds to import, which most captures don't need
        return (_patch(torch, "compile", _heard),)
    return (_patch(dynamo, ASKED, _seen),) if ASKED in vars(dynamo) else ()


@functools.cache
def _patch(owner: Any, name: str, around: Callable[[Any], Any]) -> Patch:
    return Patch(owner, name, around)


def _heard(compiles: Callable[..., Any]) -> Callable[..., Any]:
    """Make ``torch.compile`` itself install the patch for what it compiles."""

    @functools.wraps(compiles)
    def heard(*args: Any, **options: Any) -> Any:
        compiled = compiles(*args, **options)
        dynamo = sys.modules.get(DYNAMO)
        if watched() and dynamo is not None and ASKED in vars(dynamo):
            install_late(_patch(dynamo, ASKED, _seen))
        return compiled

    return heard


def _seen(ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make torch's question how to run a compiled function run it as it is written, too."""

    @functools.wraps(ask)
    def answer(callback: Any) -> Any:
        chosen = ask(callback)
        if not watched() or chosen is None:  # None: torch runs it as it is written
            return chosen
        call = sys._getframe(1).f_locals  # noqa: SLF001 - see ASKED
        if rehearsing() or interventions():
            if call.get("fullgraph_count_enabled"):
                _count_no_graphs()
            return None
        if not call.keys() >= HELD:
            return None
        _rehearse(call["fn"], call["args"], call["kwargs"])
        # With a mode active torch would compile anew, for it.
        quiet = ExitStack()
        quiet.enter_context(paused())
        call["cleanups"].append(quiet.close)
        return chosen

    return answer


def _count_no_graphs() -> None:
    """Have ``fullgraph=True`` not complain that what runs as it is written is not compiled."""
    from torch._C._dynamo import eval_frame

    count = getattr(eval_frame, "set_fullgraph_compiled_frame_count", None)
    if count is not None:
        count(-1)


def _rehearse(function: Callable[..., Any], args: Any, options: Any) -> None:
    """Run a compiled function as it is written, leaving everything as it was."""
    import torch

    modules = _modules(function)
    if not owned(modules):
        return
    try:
        with rehearsal(), torch.no_grad(), torch.random.fork_rng(), _kept_buffers():
            function(*_copied(args), **_copied(options))
    except CaptureBudgetError:
        raise
    except Exception as error:  # noqa: BLE001 - what is compiled may run in no other way
        for recorder in recorders():
            recorder.leave_out(
                modules, f"run as it is written, a compiled part failed: {str(error)[:200]}"
            )


def _modules(function: Any) -> tuple[nn.Module, ...]:
    """The modules around a compiled function; of a compiled module also the one it was made of."""
    around = running_modules()
    inside = [getattr(module, "_orig_mod", module) for module in around]
    return (*filter(None, [_module_of(function)]), *inside, *around)


def _module_of(function: Any) -> nn.Module | None:
    from torch import nn

    owner = getattr(function, "__self__", None)
    return owner if isinstance(owner, nn.Module) else None


@contextmanager
def _kept_buffers() -> Iterator[None]:
    """Put back the buffers of the captured models, such as counts and running means."""
    import torch

    buffers = {id(one): one for recorder in recorders() for one in recorder.model.buffers()}
    before = [(buffer, buffer.clone()) for buffer in buffers.values()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, kept in before:
                if not torch.equal(buffer, kept):
                    buffer.copy_(kept)


def _copied(value: Any) -> Any:
    """Copy arguments that may be written to: tensors and whatever holds some, such as caches."""
    import torch
    from torch import nn

    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if type(value) in (list, tuple):
        return type(value)(map(_copied, value))
    if type(value) is dict:
        return {name: _copied(one) for name, one in value.items()}
    if isinstance(value, nn.Module):  # must stay itself, to be known by name
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - what can't be copied is handed over
        return value
