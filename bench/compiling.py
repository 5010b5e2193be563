"""How long an implementation takes to compile, whatever was compiled before."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attnpanel.kernels.implementation import Implementation


@contextmanager
def compiled_anew(implementation: Implementation) -> Iterator[None]:
    """Have torch.compile forget what it compiled, and read nothing from its caches on disk.

    Else a compilation takes no time: the certificate of the case, in the same process, or an
    earlier run has done it. Other implementations are left alone.
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
