"""Gradient checkpointing: what a backward pass computes again is changed as its forward pass was.

``torch.utils.checkpoint`` runs a piece of the model once more in ``backward()``, which may come
after the block. So each piece remembers which interventions it ran under, and where.
"""

from __future__ import annotations

import functools
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from attnpanel.sources.capture_compiled import compiled_calls
from attnpanel.sources.capture_huggingface import attention_interface
from attnpanel.sources.capture_seen import inside, running_modules
from attnpanel.sources.capture_session import Patch, interventions, resumed
from attnpanel.sources.capture_torch import fused_modules, make_watcher

if TYPE_CHECKING:
    from collections.abc import Callable


@functools.cache
def checkpoints() -> tuple[Patch, ...]:
    """Give the patches for both kinds of checkpoint, with and without a pass of its own."""
    from torch.utils import checkpoint

    return (
        Patch(checkpoint, "_checkpoint_without_reentrant_generator", _without_reentrant),
        Patch(checkpoint.CheckpointFunction, "forward", _reentrant),
    )


def _without_reentrant(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make torch's generator that is handed what the backward pass runs."""

    @functools.wraps(original)
    def generator(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return original(_as_now(function), *args, **kwargs)

    return generator


def _reentrant(original: Any) -> Any:
    """Make the static method that runs a piece, and keeps it for the backward pass."""

    @functools.wraps(original.__func__)
    def forward(context: Any, function: Callable[..., Any], *args: Any) -> Any:
        return original.__func__(context, _as_now(function), *args)

    return staticmethod(forward)


def _as_now(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that a backward pass runs under the interventions of now, and no others."""
    import torch

    meant = interventions()
    if not meant:
        return function
    modules = running_modules()
    turns = [dict(one.calls) for one in meant]

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if torch._C._current_graph_task_id() == -1:  # noqa: SLF001 - as torch.utils.checkpoint asks
            return function(*args, **kwargs)
        after = [one.calls for one in meant]
        with ExitStack() as stack:
            for patch in (
                *fused_modules(),
                *attention_interface(),
                *compiled_calls(),
                *checkpoints(),
            ):
                stack.enter_context(patch.installed())
            stack.enter_context(resumed(meant, make_watcher()))
            stack.enter_context(inside(modules))
            # A layer's calls are the same ones again: they have the turns that they had.
            for one, before in zip(meant, turns, strict=True):
                one.calls = dict(before)
            try:
                return function(*args, **kwargs)
            finally:
                for one, counted in zip(meant, after, strict=True):
                    one.calls = counted

    return run
