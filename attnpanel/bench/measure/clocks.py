"""Clocks that time calls on the CPU and on devices.

Their functions are bound when this module is imported, which is before any implementation is: what
an implementation assigns to :mod:`time` later changes no reading.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter, process_time, thread_time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# What is overwritten to flush a device's caches: at least twice its last-level cache.
FLUSH_BYTES = 256 * 2**20


Call: TypeAlias = "Callable[[], Any]"


class Sample(NamedTuple):
    """Seconds and page faults per call of consecutive calls.

    Attributes
    ----------
    wall_s, cpu_s : float
    waited_s : float
        Part of `wall_s` spent runnable but not scheduled; 0 if unknown, and on a device.
    page_faults : float
        Minor page faults of this process; 0 if unknown.
    outside_s : float
        CPU seconds of this process before and after the calls, while their results are copied and
        clocks are read; of the whole sample.
    """

    wall_s: float
    cpu_s: float
    waited_s: float = 0.0
    page_faults: float = 0.0
    outside_s: float = 0.0

    def beyond_s(self, most: float) -> float:
        """Return the CPU time of a call beyond `most` times its wall time."""
        return self.cpu_s - most * self.wall_s


class Observer(Protocol):
    """Receives the results of timed calls."""

    def __call__(self, result: Any) -> None:
        """Wait until a result exists; called after each call, within the clock."""

    def freeze(self) -> None:
        """Copy what is to be judged; called at once after the clock has stopped."""


class Clock(Protocol):
    """Times calls of functions."""

    @property
    def name(self) -> Literal["cpu", "cuda"]:
        """Name of the clock."""

    def sample(self, calls: Sequence[Call], observer: Observer | None = None) -> Sample:
        """Call each function once; return the mean of their times."""


class Unobserved:
    """Drops the results of calls."""

    def __call__(self, result: Any) -> None:
        """Do nothing."""

    def freeze(self) -> None:
        """Do nothing."""


class CpuClock:
    """Times calls by the performance counter, with the CPU time of this process and its children.

    Parameters
    ----------
    synchronize : function, optional
        Waits for the device (XPU, MPS); called before each reading.
    """

    name: Literal["cpu"] = "cpu"

    def __init__(self, synchronize: Callable[[], None] = lambda: None) -> None:
        self._synchronize = synchronize

    def sample(self, calls: Sequence[Call], observer: Observer | None = None) -> Sample:
        """Call each function once; return the mean of their times."""
        # Bound here: a call could replace them, and a stand-in put them back once it was called.
        now, cpu_now, observe = perf_counter, process_time, observer or Unobserved()
        freeze, synchronize = observe.freeze, self._synchronize
        entered = cpu_now()
        children, count = child_processes(), len(calls)
        synchronize()
        faults = _page_faults()
        waited_before = run_queue_seconds(children)
        cpu_of_children = cpu_seconds_of(children)
        cpu_before = cpu_now()
        before = now()
        for call in calls:
            observe(call())
        synchronize()
        wall = now() - before
        used = cpu_now() - cpu_before
        freeze()
        waited = run_queue_seconds(children) - waited_before
        faults = _page_faults() - faults
        # Negative if a thread of a child ended: its CPU time is no longer counted.
        all_used = max(used + cpu_seconds_of(children) - cpu_of_children, 0.0)
        outside = cpu_now() - entered - used
        return Sample(wall / count, all_used / count, waited / count, faults / count, outside)


class CudaClock:
    """Times calls by CUDA events, with caches flushed before them.

    Results are frozen on the timing stream at once after the last event, before the device is
    synchronised: what another stream has not computed by then is not in them. The CPU seconds are
    those that the host spent on launching the calls.

    Parameters
    ----------
    cuda : module, optional
        ``torch.cuda``, or a fake in tests.
    flush : function, optional
        Overwrites the device's caches asynchronously.
    """

    name: Literal["cuda"] = "cuda"

    def __init__(self, cuda: Any = None, flush: Callable[[], Any] | None = None) -> None:
        if cuda is None or flush is None:
            import torch

            cuda = torch.cuda if cuda is None else cuda
            if flush is None:
                flush = torch.empty(_flush_bytes(cuda), dtype=torch.int8, device="cuda").zero_
        # Bound here, before an implementation is imported.
        self._event, self._synchronize = cuda.Event, cuda.synchronize
        self._flush = flush

    def sample(self, calls: Sequence[Call], observer: Observer | None = None) -> Sample:
        """Call each function once; return device seconds and the host's CPU seconds per call."""
        observe = observer or Unobserved()
        start, end = (self._event(enable_timing=True) for _ in range(2))
        self._synchronize()
        self._flush()
        cpu_before = process_time()
        start.record()
        for call in calls:
            observe(call())
        end.record()
        cpu = process_time() - cpu_before
        observe.freeze()
        self._synchronize()
        return Sample(start.elapsed_time(end) / 1e3 / len(calls), cpu / len(calls))


def clock_for(device: str) -> Clock:
    """Return the clock for a torch device type."""
    if device == "cpu":
        return CpuClock()
    import torch

    return CudaClock() if device == "cuda" else CpuClock(torch.accelerator.synchronize)


def background_seconds() -> float:
    """Return the CPU seconds of all threads but this one, and of child processes, also ended."""
    others = process_time() - thread_time() + _ended_children_seconds()
    return others + cpu_seconds_of(child_processes())


def _ended_children_seconds() -> float:
    """Return the CPU seconds of child processes that have ended; 0 if unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def child_processes() -> list[int]:
    """Return the ids of all descendants of this process.

    From Linux's own lists, which takes 0.1 ms; psutil reads about every process of the machine.
    """
    if Path("/proc/thread-self/children").exists():
        return processes_below(os.getpid())
    import psutil  # type: ignore[import-untyped]

    return [child.pid for child in psutil.Process().children(recursive=True)]


def processes_below(process: int) -> list[int]:
    """Return the ids of all descendants of a process; empty without /proc."""
    found: list[int] = []
    for thread in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += map(int, thread.read_text(encoding="ascii").split())
        except OSError:  # the thread ended meanwhile
            continue
    return found + [below for child in found for below in processes_below(child)]


def cpu_seconds_of(processes: Sequence[int]) -> float:
    """Return the CPU seconds of all threads of these processes; 0 without /proc.

    From schedstat, in nanoseconds: psutil's values have a resolution of 10 ms only.
    """
    nanoseconds = 0
    for process in processes:
        for thread in Path(f"/proc/{process}/task").glob("*/schedstat"):
            try:
                nanoseconds += int(thread.read_text(encoding="ascii").split()[0])
            except (OSError, IndexError):  # the thread ended meanwhile
                continue
    return nanoseconds / 1e9


def main_thread_seconds(process: int) -> float:
    """Return the CPU seconds of the main thread of a process; 0 without /proc."""
    try:
        words = Path(f"/proc/{process}/task/{process}/schedstat").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return int(words.split()[0]) / 1e9


def run_queue_seconds(processes: Sequence[int]) -> float:
    """Return how long this thread and each process's main thread were runnable but not scheduled.

    Seconds since their start, from the second field of Linux's schedstat, the time on a run queue.
    It excludes waiting for a pipe or a lock. 0 without /proc.
    """
    nanoseconds = 0
    for place in ("thread-self", *(f"{pid}/task/{pid}" for pid in processes)):
        try:
            nanoseconds += int(
                Path(f"/proc/{place}/schedstat").read_text(encoding="ascii").split()[1]
            )
        except (OSError, IndexError):  # the process ended meanwhile
            continue
    return nanoseconds / 1e9


def _flush_bytes(cuda: Any) -> int:
    cache = getattr(cuda.get_device_properties(cuda.current_device()), "L2_cache_size", 0)
    return max(FLUSH_BYTES, 2 * int(cache))


def _page_faults() -> int:
    """Return the minor page faults of this process so far; 0 if the system does not count them."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
