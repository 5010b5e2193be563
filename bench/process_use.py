"""What a process used: CPU-seconds of a block, and the most memory since the process began.

Imports nothing of the project, so that scripts in other environments can use it.
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

    CPU is that of all threads. `peak_bytes` is the high-water mark of resident memory, null
    where the system tells none.
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
    """Return this process' high-water mark of resident memory.

    From /proc: `ru_maxrss` begins with what the parent held when it forked.
    """
    return memory_of("self", "VmHWM")


def memory_of(process: int | str, field: str) -> int | None:
    """Return a field of a process' memory, `VmRSS` or `VmHWM`; None where there is no /proc."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, amount = line.partition(":")
        if name == field:
            return int(amount.split()[0]) * 1024
    return None


def limit_memory(most_bytes: int) -> None:
    """Let further allocations fail beyond this much address space, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, hard))
