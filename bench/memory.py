"""The most memory a call holds above what was there before it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.clocks import child_processes
from bench.process_use import memory_of

if TYPE_CHECKING:
    from collections.abc import Callable


def peak_bytes_of(call: Callable[[], Any], device: str) -> int | None:
    """Return the most memory that a call holds above what is held before it, its result included.

    On CUDA and XPU what torch's allocator counts; on the CPU resident memory of this process and
    its children, by the high-water mark that Linux keeps and lets one reset. Either is a difference
    of two readings, so what an allocator kept from an earlier call is handed back first.

    Returns
    -------
    int or None
        Bytes; None where the system tells none.
    """
    if device != "cpu":
        return _peak_on(device, call)
    processes = [os.getpid(), *child_processes()]
    gc.collect()
    _give_back_freed_memory()
    try:
        for process in processes:
            # 5 resets the high-water mark: man 5 proc.
            Path(f"/proc/{process}/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    before = [memory_of(process, "VmRSS") or 0 for process in processes]
    call()
    most = [memory_of(process, "VmHWM") or 0 for process in processes]
    return sum(max(0, peak - start) for peak, start in zip(most, before, strict=True))


def _peak_on(device: str, call: Callable[[], Any]) -> int | None:
    import torch

    counter: Any = getattr(torch, device)
    if not hasattr(counter, "max_memory_allocated"):  # MPS counts what is held now only
        return None
    counter.synchronize()
    counter.reset_peak_memory_stats()
    before = int(counter.memory_allocated())
    call()
    counter.synchronize()
    most = int(counter.max_memory_allocated())
    return most - before


def _give_back_freed_memory() -> None:
    """Hand what malloc keeps of freed blocks back, else the next call seems to need less."""
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


def means_no_memory(words: str) -> bool:
    """Whether this is how an allocation that failed is told.

    torch's (CUDA and CPU), XLA's and ONNX Runtime's exceptions are told by their words alone.
    """
    lower = words.lower()
    return any(
        told in lower
        for told in (
            "memoryerror",
            "out of memory",
            "unable to allocate",
            "can't allocate memory",
            "resource_exhausted",
            "bad_alloc",
            "failed to allocate",
        )
    )


def available_bytes() -> int:
    """Return how much memory processes can still get without swapping."""
    import psutil  # type: ignore[import-untyped]

    return int(psutil.virtual_memory().available)
