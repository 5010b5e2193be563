"""Measure the CPU time of a block and the peak memory of its process.

Imports nothing of the project, because scripts in other environments use it.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def measured(result: Path) -> Iterator[None]:
    """Write CPU and wall seconds of the block and the process' peak memory to `result` as JSON.

    CPU time is that of all threads. `peak_bytes` is the high-water mark of resident memory, null if
    unknown.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    taken = {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_bytes": peak_bytes(),
    }
    result.write_text(json.dumps(taken), encoding="utf-8")


def peak_bytes() -> int | None:
    """Return the high-water mark of this process's resident memory.

    From /proc, because `ru_maxrss` starts with the parent's memory at the time of the fork.
    """
    return memory_of("self", "VmHWM")


def memory_of(process: int | str, field: str) -> int | None:
    """Return the field `VmRSS` or `VmHWM` of a process in bytes; None without /proc."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, amount = line.partition(":")
        if name == field:
            return int(amount.split()[0]) * 1024
    return None


def threads_of(process: int | str) -> int | None:
    """Return how many threads a process has; None without /proc."""
    try:
        return len(list(Path(f"/proc/{process}/task").iterdir()))
    except OSError:
        return None


def cpu_seconds_of(pid: int) -> float | None:
    """Return the CPU seconds of a process so far, all its threads included; None if unknown.

    By its POSIX clock, whose steps are nanoseconds; /proc counts in hundredths of a second.
    """
    clock = (~pid << 3) | 2  # what clock_getcpuclockid(pid) returns on Linux
    try:
        return time.clock_gettime(clock)
    except (AttributeError, OSError):  # Windows, or another system than Linux
        return None


def limit_memory(most_bytes: int) -> None:
    """Make allocations beyond this address space fail, if the system supports it."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, hard))
