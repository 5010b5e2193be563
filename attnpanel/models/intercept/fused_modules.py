"""Intercept PyTorch's transformer modules, which torch may compute with one fused kernel."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.session import (
    Patch,
    dry_run,
    in_dry_run,
    interventions,
    is_active,
    paused,
    recorders,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@functools.cache
def fused_module_patches() -> tuple[Patch, ...]:
    """Return the patches of the modules that torch may compute with one fused kernel."""
    from torch import nn

    owners = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)
    return tuple(Patch(owner, "forward", _run_twice) for owner in owners)


def _run_twice(original: Callable[..., Any]) -> Callable[..., Any]:
    """Run a module that torch may fuse once for the recorders, then once as without a capture.

    The fused kernel exposes no query or key, and with a mode active torch does not use it: then
    the last bits differ, and so do padded rows, which it fills with zeros. The result is that of
    the second run. Only a module without dropout and gradients may be fused, so the first run has
    no side effects except that it calls the user's own hooks.
    """

    @functools.wraps(original)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_active() or in_dry_run() or not _may_fuse(self):
            return original(self, *args, **kwargs)
        if any(intervention.targets_inside(self) for intervention in interventions()):
            return original(self, *args, **kwargs)  # a changed module cannot be fused
        if any(getattr(x, "is_nested", False) for x in (*args, *kwargs.values())):
            for recorder in recorders():
                recorder.skip((self,), "a nested tensor went into torch's fused attention")
        else:
            with dry_run():
                original(self, *args, **kwargs)
        with paused():
            return original(self, *args, **kwargs)

    return forward


def _may_fuse(module: Any) -> bool:
    """Whether torch may fuse this module now; False only where it certainly does not."""
    import torch

    if module.training or not getattr(module, "batch_first", True):
        return False
    trained = any(parameter.requires_grad for parameter in module.parameters())
    return not (torch.is_grad_enabled() and trained)
