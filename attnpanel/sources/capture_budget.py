"""How much a capture may store: a clear error before memory runs out, not after."""

from __future__ import annotations

from pathlib import Path

# Of the memory that is free when a capture begins: the model needs the rest to run.
SHARE = 0.5


class CaptureBudgetError(MemoryError):
    """A capture would store more than it may; the message says how to store less."""


def free_bytes() -> int | None:
    """Return the memory that this process can still have; None where the system tells none.

    On Linux: what can be had without swapping, and within a container no more than its limit.
    """
    found = [one for one in (_free_of_the_machine(), _free_of_the_container()) if one is not None]
    return min(found, default=None)


def _free_of_the_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return int(found[0][1]) * 1024 if found else None


def _free_of_the_container() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        most, used = (
            (folder / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current")
        )
        return int(most) - int(used)
    except (OSError, ValueError):  # no control group, or no limit: "max"
        return None


class Budget:
    """Counts what a capture stores.

    Parameters
    ----------
    max_bytes : int or None
        None is half of the memory that is free now; without a limit where the system tells none,
        as on macOS and Windows.
    """

    def __init__(self, max_bytes: int | None) -> None:
        free = free_bytes() if max_bytes is None else None
        self.max_bytes = max_bytes if free is None else int(free * SHARE)
        self.stored = 0

    def take(self, size: int, layer: str) -> None:
        """Count so many bytes more.

        Raises
        ------
        CaptureBudgetError
            If that is more than may be stored.
        """
        if self.max_bytes is not None and self.stored + size > self.max_bytes:
            raise CaptureBudgetError(
                f"a capture stores at most max_bytes={self.max_bytes:,} bytes; it holds "
                f"{self.stored:,}, and layer {layer!r} needs {size:,} more. Capture fewer layers "
                "(layers='…'), store dtype='float16' or values=False, or raise max_bytes"
            )
        self.stored += size
