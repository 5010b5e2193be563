"""Clocks: what a call takes on the CPU, and what it takes on a CUDA device."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Above the last-level cache of every CUDA device there is: H200 and B200 have 50 and 126 MB.
FLUSH_BYTES = 256 * 2**20


class Samples(NamedTuple):
    """What some samples took, in seconds a call, one after the other.

    Attributes
    ----------
    wall_s, cpu_s : tuple of float
    waited_s : tuple of float
        What of `wall_s` was spent ready to run and without a core. 0 where no system tells it,
        and on a device, which has no others.
    """

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    waited_s: tuple[float, ...]


class Clock(Protocol):
    """Times calls of a function."""

    @property
    def name(self) -> Literal["cpu", "cuda"]:
        """What it measures with."""

    def samples(self, call: Callable[[], Any], count: int, calls: int) -> Samples:
        """Return what one call took, `count` times.

        Each sample is the mean of `calls` calls in a row.
        """


class CpuClock:
    """The performance counter around the calls, and the CPU time of this process and its children.

    Parameters
    ----------
    synchronize : function, optional
        Waits until a device has done what it was given (XPU, MPS); called before either reading.
    """

    name: Literal["cpu"] = "cpu"

    def __init__(self, synchronize: Callable[[], None] = lambda: None) -> None:
        self._synchronize = synchronize

    def samples(self, call: Callable[[], Any], count: int, calls: int) -> Samples:
        """Return what one call took, `count` times."""
        children = child_processes()
        wall, cpu, waited = [], [], []
        for _ in range(count):
            self._synchronize()
            waited_before = waited_seconds(children)
            cpu_before = cpu_seconds_of(children) + time.process_time()
            before = time.perf_counter()
            for _ in range(calls):
                call()
            self._synchronize()
            wall.append((time.perf_counter() - before) / calls)
            used = time.process_time() + cpu_seconds_of(children) - cpu_before
            waited.append((waited_seconds(children) - waited_before) / calls)
            cpu.append(
                max(used, 0.0) / calls
            )  # a thread of a child that ended takes its seconds along
        return Samples(tuple(wall), tuple(cpu), tuple(waited))


class CudaClock:
    """CUDA events around each call, after its caches were flushed; one wait at the very end.

    The CPU seconds are what the host spent on handing the call to the device.

    Parameters
    ----------
    cuda : module, optional
        ``torch.cuda``, or what stands for it in a test.
    flush : function, optional
        Overwrites the device's caches without waiting.
    """

    name: Literal["cuda"] = "cuda"

    def __init__(self, cuda: Any = None, flush: Callable[[], Any] | None = None) -> None:
        if cuda is None or flush is None:
            import torch

            cuda = torch.cuda if cuda is None else cuda
            if flush is None:
                flush = torch.empty(FLUSH_BYTES, dtype=torch.int8, device="cuda").zero_
        self._cuda = cuda
        self._flush = flush

    def samples(self, call: Callable[[], Any], count: int, calls: int) -> Samples:
        """Return device seconds and the host's CPU seconds of one call, `count` times each."""
        events = [
            tuple(self._cuda.Event(enable_timing=True) for _ in ("start", "end"))
            for _ in range(count)
        ]
        cpu = []
        self._cuda.synchronize()
        for start, end in events:
            self._flush()
            cpu_before = time.process_time()
            start.record()
            for _ in range(calls):
                call()
            end.record()
            cpu.append((time.process_time() - cpu_before) / calls)
        self._cuda.synchronize()
        wall = tuple(start.elapsed_time(end) / 1e3 / calls for start, end in events)
        return Samples(wall, tuple(cpu), (0.0,) * count)


def clock_for(device: str) -> Clock:
    """Return the clock for a type of device, in torch's words."""
    if device == "cpu":
        return CpuClock()
    import torch

    return CudaClock() if device == "cuda" else CpuClock(torch.accelerator.synchronize)


def child_processes() -> list[int]:
    """Return the ids of the processes that this one started, and of those they started."""
    import psutil  # type: ignore[import-untyped]

    return [child.pid for child in psutil.Process().children(recursive=True)]


def cpu_seconds_of(processes: Sequence[int]) -> float:
    """Return the CPU seconds of all threads of these processes; 0 where there is no /proc.

    From schedstat, in nanoseconds: what psutil reads is counted in hundredths of a second.
    """
    nanoseconds = 0
    for process in processes:
        for thread in Path(f"/proc/{process}/task").glob("*/schedstat"):
            try:
                nanoseconds += int(thread.read_text(encoding="ascii").split()[0])
            except (OSError, IndexError):  # the thread ended meanwhile
                continue
    return nanoseconds / 1e9


def waited_seconds(processes: Sequence[int]) -> float:
    """Return how long this thread, and the first of each process, were kept waiting for a core.

    Since they began; by Linux' schedstat, whose second number is the time on a run queue. What
    they wait for by themselves, as for a pipe, is not in it. 0 where there is no /proc.
    """
    nanoseconds = 0
    for place in ("thread-self", *(f"{one}/task/{one}" for one in processes)):
        try:
            nanoseconds += int(
                Path(f"/proc/{place}/schedstat").read_text(encoding="ascii").split()[1]
            )
        except (OSError, IndexError):  # the process ended meanwhile
            continue
    return nanoseconds / 1e9
