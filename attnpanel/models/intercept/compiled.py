"""Intercept models and functions that went through ``torch.compile``.

Compiled code calls no torch function that a function mode could intercept. So while a capture is
active, each call runs twice: first uncompiled, on copies of its arguments, for the recorders; then
compiled, with everything paused. The result is that of the second run, to the last bit, and nothing
is recompiled, then or later. While an intervention is active, only the uncompiled code runs.
"""

from __future__ import annotations

import copy
import functools
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from attnpanel.models.capture.budget import CaptureBudgetError
from attnpanel.models.intercept.call import running_modules
from attnpanel.models.intercept.model_state import preserved_state
from attnpanel.models.intercept.session import (
    Patch,
    dry_run,
    in_dry_run,
    install_late,
    interventions,
    is_active,
    owns,
    paused,
    recorders,
)
from attnpanel.models.intercept.torch_operators import stand_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

DYNAMO = "torch._dynamo.eval_frame"
# Torch's compiled functions call this each time, from a frame whose locals hold their function and
# arguments. There is no public hook: torch.compiler.set_stance would stop compiling in all threads.
STANCE_CALLBACK = "_callback_from_stance"
FRAME_LOCALS = {"fn", "args", "kwargs", "cleanups"}


def compiled_patches() -> Sequence[Patch]:
    """Return the patch for functions that are compiled already, or else for ``torch.compile``."""
    import torch

    dynamo = sys.modules.get(DYNAMO)
    if dynamo is None:  # four seconds to import, which most captures don't need
        return (_patch(torch, "compile", _wrap_compile),)
    return (_patch(dynamo, STANCE_CALLBACK, _wrap_stance),) if _has_callback(dynamo) else ()


@functools.cache
def _patch(owner: Any, name: str, wrap: Callable[[Any], Any]) -> Patch:
    return Patch(owner, name, wrap)


def _has_callback(dynamo: Any) -> bool:
    return STANCE_CALLBACK in vars(dynamo)


def _wrap_compile(compile_: Callable[..., Any]) -> Callable[..., Any]:
    """Make ``torch.compile`` install the patch for what it compiles inside the block."""

    @functools.wraps(compile_)
    def wrapped(*args: Any, **options: Any) -> Any:
        compiled = compile_(*args, **options)
        dynamo = sys.modules.get(DYNAMO)
        if is_active() and dynamo is not None and _has_callback(dynamo):
            install_late(_patch(dynamo, STANCE_CALLBACK, _wrap_stance))
        return compiled

    return wrapped


def _wrap_stance(stance: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Run a compiled function uncompiled as well, when torch asks how to run it."""

    @functools.wraps(stance)
    def wrapped(callback: Any) -> Any:
        chosen = stance(callback)
        if not is_active() or chosen is None:  # None: torch runs it uncompiled
            return chosen
        frame = sys._getframe(1).f_locals  # noqa: SLF001 - see STANCE_CALLBACK
        if in_dry_run() or interventions():
            if frame.get("fullgraph_count_enabled"):
                _reset_frame_count()
            return None
        if not frame.keys() >= FRAME_LOCALS:
            return None
        uncompiled = _dry_run(frame["fn"], frame["args"], frame["kwargs"])
        # With a function mode active torch would recompile for that mode.
        pause = ExitStack()
        pause.enter_context(paused())

        def end() -> None:
            pause.close()
            _follow_result(uncompiled, sys._getframe(1).f_locals.get("result"))  # noqa: SLF001

        frame["cleanups"].append(end)
        return chosen

    return wrapped


def _reset_frame_count() -> None:
    """Keep ``fullgraph=True`` from raising because uncompiled code counts no compiled frame."""
    from torch._C._dynamo import eval_frame

    set_count = getattr(eval_frame, "set_fullgraph_compiled_frame_count", None)
    if set_count is not None:
        set_count(-1)


def _follow_result(uncompiled: Any, compiled: Any) -> None:
    """Follow each tensor of a compiled result as the one that uncompiled code gave in its place."""
    from torch import Tensor
    from torch.overrides import handle_torch_function, has_torch_function
    from torch.utils._pytree import tree_leaves

    first, second = (
        [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        for result in (uncompiled, compiled)
    )
    for pair in zip(first, second, strict=False):
        if has_torch_function(pair):
            handle_torch_function(stand_in, pair, *pair)


def _dry_run(function: Callable[..., Any], args: Any, options: Any) -> Any:
    """Run a compiled function uncompiled for the recorders, and undo its side effects.

    Returns
    -------
    object
        What it returned; None if it was not run, or failed.
    """
    import torch

    modules = _modules(function)
    if not owns(modules):
        return None
    models = [recorder.model for recorder in recorders()]
    try:
        with dry_run(), torch.no_grad(), torch.random.fork_rng(), preserved_state(models):
            return function(*_copy(args), **_copy(options))
    except CaptureBudgetError:
        raise
    except Exception as error:  # noqa: BLE001 - code that runs compiled need not run uncompiled
        for recorder in recorders():
            recorder.skip(modules, f"a compiled part failed to run uncompiled: {str(error)[:200]}")
    return None


def _modules(function: Any) -> tuple[nn.Module, ...]:
    """List the modules around a compiled function, with the module that a compiled one wraps."""
    running = running_modules()
    wrapped = [getattr(module, "_orig_mod", module) for module in running]
    return (*filter(None, [_module_of(function)]), *wrapped, *running)


def _module_of(function: Any) -> nn.Module | None:
    from torch import nn

    owner = getattr(function, "__self__", None)
    return owner if isinstance(owner, nn.Module) else None


def _copy(value: Any) -> Any:
    """Copy arguments that a run may write to: tensors and whatever holds some, such as caches."""
    import torch
    from torch import nn

    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if type(value) in (list, tuple):
        return type(value)(map(_copy, value))
    if type(value) is dict:
        return {name: _copy(item) for name, item in value.items()}
    if isinstance(value, nn.Module):  # not copied: recorders know it by its identity
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - what cannot be copied is passed as it is
        return value
