"""Measure compilation without the effect of earlier compilations."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attnpanel.kernels.implementation import Implementation


@contextmanager
def without_compile_cache(implementation: Implementation) -> Iterator[None]:
    """Reset torch.compile and disable its caches on disk.

    Otherwise compilation takes no time, because the certificate of the case (in the same process)
    or an earlier run has compiled the code already. No effect on other implementations.
    """
    if not (implementation.compiles and implementation.framework == "torch"):
        yield
        return
    import torch

    torch.compiler.reset()
    settings: Any = torch.compiler.config  # torch adds patch() to the module, unknown to mypy
    with settings.patch(force_disable_caches=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*force disabled", UserWarning)
        yield
