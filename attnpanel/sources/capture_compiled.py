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

    from torch import Tensor, nn

DYNAMO = "torch._dynamo.eval_frame"
# What torch's compiled functions ask at every call, from a frame that holds what they were called
# with. There is no public way in: torch.compiler.set_stance would end compiling for all threads.
ASKED = "_callback_from_stance"
# Where transformers' caches are written.
CACHES = "transformers.cache_utils"
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
        with rehearsal(), torch.no_grad(), torch.random.fork_rng(), _kept_state():
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
def _kept_state() -> Iterator[None]:
    """Put back what a run changes in the captured models: buffers, attributes, caches in them."""
    kept = _Kept([recorder.model for recorder in recorders()])
    try:
        yield
    finally:
        kept.put_back()


class _Kept:
    """What stands in models now: in tensors but parameters, in lists, dicts and attributes.

    Parameters
    ----------
    models : sequence of torch.nn.Module
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        parts = [type(part).__module__ for model in models for part in model.modules()]
        # Objects of these are a model's own, or its cache; what others hold is not followed.
        self._homes = {name for name in parts if not name.startswith("torch.")} | {CACHES}
        self._tensors: list[tuple[Tensor, Tensor]] = []
        self._holders: list[tuple[Any, Any]] = []
        self._met: set[int] = set()
        for model in models:
            self._keep(model)

    def _keep(self, value: Any) -> None:
        import torch
        from torch import nn

        if id(value) in self._met or isinstance(value, nn.Parameter):
            return
        self._met.add(id(value))
        if isinstance(value, torch.Tensor):
            if not value.is_meta:
                self._tensors.append((value, value.detach().clone()))
        elif type(value) in (list, dict, set):
            self._holders.append((value, value.copy()))
            for one in value.values() if type(value) is dict else value:
                self._keep(one)
        elif type(value) is tuple:
            for one in value:
                self._keep(one)
        elif isinstance(value, nn.Module) or type(value).__module__ in self._homes:
            self._keep(getattr(value, "__dict__", None))

    def put_back(self) -> None:
        """Write back what has changed, and nothing else: compiled code asks what is what."""
        import torch

        for holder, kept in self._holders:
            if not _same(holder, kept):
                holder.clear()
                (holder.extend if type(holder) is list else holder.update)(kept)
        with torch.no_grad():
            for tensor, numbers in self._tensors:
                if not torch.equal(tensor, numbers):
                    tensor.copy_(numbers)


def _same(one: Any, other: Any) -> bool:
    """Whether two lists, dicts or sets hold the same objects."""
    if len(one) != len(other):
        return False
    if type(one) is dict:
        return list(one) == list(other) and _same(list(one.values()), list(other.values()))
    if type(one) is set:
        return bool(one == other)
    return all(mine is its for mine, its in zip(one, other, strict=True))


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
