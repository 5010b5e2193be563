"""Apply interventions to what gradient checkpointing computes again in the backward pass.

``torch.utils.checkpoint`` runs a piece of the model once more in ``backward()``, which may come
after the ``intervene`` block. So each piece remembers its modules and its interventions.
"""

from __future__ import annotations

import functools
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.call import enclosed_by, running_modules
from attnpanel.models.intercept.compiled import compiled_patches
from attnpanel.models.intercept.fused_modules import fused_module_patches
from attnpanel.models.intercept.huggingface import huggingface_patches
from attnpanel.models.intercept.session import Patch, interventions, replaying
from attnpanel.models.intercept.torch_functions import make_handler

if TYPE_CHECKING:
    from collections.abc import Callable


@functools.cache
def checkpoint_patches() -> tuple[Patch, ...]:
    """Return the patches for both kinds of checkpoint, reentrant and not."""
    from torch.utils import checkpoint

    return (
        Patch(checkpoint, "_checkpoint_without_reentrant_generator", _without_reentrant),
        Patch(checkpoint.CheckpointFunction, "forward", _reentrant),
    )


def _without_reentrant(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the generator that torch hands the function which the backward pass runs."""

    @functools.wraps(original)
    def generator(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return original(_with_interventions(function), *args, **kwargs)

    return generator


def _reentrant(original: Any) -> Any:
    """Wrap the static method that runs a piece and keeps it for the backward pass."""

    @functools.wraps(original.__func__)
    def forward(context: Any, function: Callable[..., Any], *args: Any) -> Any:
        return original.__func__(context, _with_interventions(function), *args)

    return staticmethod(forward)


def _with_interventions(function: Callable[..., Any]) -> Callable[..., Any]:
    """Bind a function that a backward pass runs to the interventions active now."""
    import torch

    active = interventions()
    if not active:
        return function
    modules = running_modules()
    counts_then = [dict(intervention.call_counts) for intervention in active]

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if torch._C._current_graph_task_id() == -1:  # noqa: SLF001 - as torch.utils.checkpoint asks
            return function(*args, **kwargs)
        counts_now = [(i.call_counts, i.changed_counts) for i in active]
        with ExitStack() as stack:
            for patch in (
                *fused_module_patches(),
                *huggingface_patches(),
                *compiled_patches(),
                *checkpoint_patches(),
            ):
                stack.enter_context(patch.installed())
            stack.enter_context(replaying(active, make_handler()))
            stack.enter_context(enclosed_by(modules))
            # These are the same calls again, so they get the call numbers that they had.
            for intervention, counts in zip(active, counts_then, strict=True):
                intervention.call_counts = dict(counts)
                intervention.changed_counts = dict(intervention.changed_counts)
            try:
                return function(*args, **kwargs)
            finally:
                for intervention, both in zip(active, counts_now, strict=True):
                    intervention.call_counts, intervention.changed_counts = both

    return run
