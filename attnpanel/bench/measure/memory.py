"""Measure the peak memory of a call."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnpanel.bench.measure.clocks import child_processes
from attnpanel.bench.measure.process_use import memory_of

if TYPE_CHECKING:
    from collections.abc import Callable


VMSTAT = Path("/proc/vmstat")
CGROUPS = Path("/sys/fs/cgroup")


def peak_bytes_of(call: Callable[[], Any], device: str) -> int | None:
    """Return the peak memory of a call, result included, above that before it.

    On CUDA and XPU, as counted by torch's allocator; on the CPU, resident memory of this process
    and its children, by Linux's resettable high-water mark. It is a difference of two readings, so
    memory that the allocator kept from earlier calls is released first.

    Returns
    -------
    int or None
        Bytes; None if unknown.
    """
    if device != "cpu":
        return _peak_on(device, call)
    processes = [os.getpid(), *child_processes()]
    gc.collect()
    _release_freed_memory()
    try:
        for process in processes:
            # Writing 5 resets the high-water mark (man 5 proc).
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
    if not hasattr(counter, "max_memory_allocated"):  # MPS has no peak counter
        return None
    counter.synchronize()
    counter.reset_peak_memory_stats()
    before = int(counter.memory_allocated())
    call()
    counter.synchronize()
    most = int(counter.max_memory_allocated())
    return most - before


def _release_freed_memory() -> None:
    """Return freed memory to the system; otherwise the next call seems to need less."""
    with contextlib.suppress(OSError, AttributeError):  # only glibc has malloc_trim
        ctypes.CDLL(None).malloc_trim(0)


def is_out_of_memory(message: str) -> bool:
    """Whether an error message reports a failed allocation.

    Exceptions of torch (CUDA and CPU), XLA and ONNX Runtime differ by their message only.
    """
    lower = message.lower()
    return any(
        phrase in lower
        for phrase in (
            "memoryerror",
            "out of memory",
            "unable to allocate",
            "can't allocate memory",
            "resource_exhausted",
            "bad_alloc",
            "failed to allocate",
        )
    )


def out_of_memory_kills() -> int:
    """Return how many processes the kernel killed for lack of memory so far; 0 if it does not tell.

    Of the whole machine, and of this control group and those above it, whose limits may be lower.
    """
    try:
        group = Path("/proc/self/cgroup").read_text(encoding="ascii").rpartition("::")[2].strip()
    except OSError:
        group = ""
    inner = CGROUPS / group.lstrip("/")
    folders = [folder for folder in (inner, *inner.parents) if folder.is_relative_to(CGROUPS)]
    kills = 0
    for path in (VMSTAT, *(folder / "memory.events" for folder in folders)):
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        kills += sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return kills


def available_bytes() -> int:
    """Return the memory available without swapping, in bytes."""
    import psutil  # type: ignore[import-untyped]

    return int(psutil.virtual_memory().available)
