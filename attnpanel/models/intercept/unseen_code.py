"""Notice code of a model that no function mode sees: scripts, other threads, a mode switched off.

What runs there cannot be recorded. The layer that runs it is noted, so that coverage names it.
"""

from __future__ import annotations

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.call import running_modules
from attnpanel.models.intercept.script_graphs import graph_has_attention, graph_has_softmax
from attnpanel.models.intercept.session import Patch, is_active, note_unseen

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS_SCRIPT = "it calls a function compiled by torch.jit, whose operations cannot be seen"
MODE_OFF = "it runs code under torch._C.DisableTorchFunction, where nothing can be seen"
OTHER_THREAD = "it computes in other threads, where nothing can be seen"


@functools.cache
def unseen_code_patches() -> tuple[Patch, ...]:
    """Return the patches of the ways in which a model's code gets out of sight."""
    import torch

    return (
        # There is no public name of it.
        Patch(torch._C, "DisableTorchFunction", _wrap_mode_off),  # noqa: SLF001
        Patch(torch.jit.ScriptFunction, "__call__", _wrap_script),
        Patch(threading.Thread, "start", _noting(OTHER_THREAD)),
        Patch(ThreadPoolExecutor, "submit", _noting(OTHER_THREAD)),
    )


def _wrap_mode_off(original: Callable[[], Any]) -> Callable[[], Any]:
    @functools.wraps(original, updated=())
    def disable() -> Any:
        if is_active():
            note_unseen(running_modules(), MODE_OFF)
        return original()

    return disable


def _wrap_script(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if is_active():
            modules = running_modules()
            if graph_has_attention(self.graph):
                note_unseen(modules, CALLS_SCRIPT)
            elif graph_has_softmax(self.graph):
                note_unseen(modules, CALLS_SCRIPT, only_attention=True)
        return original(self, *args, **kwargs)

    return call


def _noting(reason: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if is_active():
                note_unseen(running_modules(), reason)
            return original(*args, **kwargs)

        return call

    return wrap
