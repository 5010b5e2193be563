"""Limit how many bytes a capture stores, so that it fails before memory runs out."""

from __future__ import annotations

from pathlib import Path

# Share of the memory that is free when a capture begins; the model needs the rest to run.
SHARE = 0.5


class CaptureBudgetError(MemoryError):
    """A capture would store more bytes than allowed; the message says how to store fewer."""


def free_bytes() -> int | None:
    """Return how many bytes this process can still allocate; None if the system does not say.

    On Linux: the memory available without swapping, and within a container at most its limit.
    """
    found = [free for free in (_free_of_machine(), _free_of_container()) if free is not None]
    return min(found, default=None)


def _free_of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return int(found[0][1]) * 1024 if found else None


def _free_of_container() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = (
            (folder / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current")
        )
        return int(limit) - int(used)
    except (OSError, ValueError):  # no control group, or no limit: "max"
        return None


class Budget:
    """Count the bytes that a capture stores.

    Parameters
    ----------
    max_bytes : int or None
        None allows half of the memory that is free now; no limit where the system does not report
        it, as on macOS and Windows.
    """

    def __init__(self, max_bytes: int | None) -> None:
        free = free_bytes() if max_bytes is None else None
        self.max_bytes = max_bytes if free is None else int(free * SHARE)
        self.stored = 0

    def take(self, size: int, layer: str) -> None:
        """Count `size` more bytes for a layer.

        Raises
        ------
        CaptureBudgetError
            If that exceeds the limit.
        """
        if self.max_bytes is not None and self.stored + size > self.max_bytes:
            raise CaptureBudgetError(
                f"a capture stores at most max_bytes={self.max_bytes:,} bytes; it holds "
                f"{self.stored:,}, and layer {layer!r} needs {size:,} more. Capture fewer layers "
                "(layers='…'), store dtype='float16' or values=False, or raise max_bytes"
            )
        self.stored += size
