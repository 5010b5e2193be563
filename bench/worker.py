"""The child process that computes with one implementation: see :mod:`bench.child`.

It answers what :class:`bench.child.Child` asks, one order at a time. Its standard streams are
not part of that, so an implementation may print. It ends when its parent does: a thread waits at
the connection, whose end is closed by the system even where the parent is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import queue
import signal
import threading
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attnpanel.kernels.reasons import device_is_here
from bench.clocks import clock_for
from bench.compiling import compiled_anew
from bench.cuda_graphs import as_graph
from bench.memory import means_no_memory, peak_bytes_of
from bench.raised import in_words
from bench.roofline import measure_limits
from bench.timing import warm_up
from bench.work import ITEM_BYTES
from bench.yardstick import Yardstick

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.kernels.implementation import Implementation
    from bench.bench_run import Agreement, Limits, Status
    from bench.cases import Case
    from bench.clocks import Clock

LONG_CALL_S = 0.25
# Linux counts resident pages a few hundred kB behind.
LEAST_SEEN_BYTES = 2**19
PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True)
class Prepared:
    """What preparing a case for its samples took.

    Attributes
    ----------
    clock : {"cpu", "cuda"}
    compile_s : float or None
        The first call, where the implementation compiles.
    warmup_s : tuple of float
    calls_per_sample : int
    """

    clock: Literal["cpu", "cuda"]
    compile_s: float | None
    warmup_s: tuple[float, ...]
    calls_per_sample: int


@dataclass(frozen=True)
class Visit:
    """The samples of one visit; each tuple as in :class:`bench.bench_run.Timing`."""

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    waited_s: tuple[float, ...]
    yardstick_s: tuple[float, ...]
    copy_yardstick_s: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Warm:
    """A call that is ready for its samples.

    Attributes
    ----------
    call : function
    clock : Clock
    calls : int
        That make one sample.
    call_s : float
        What the last warm-up call took.
    device : str
    output_bytes : int
    """

    call: Callable[[], Any]
    clock: Clock
    calls: int
    call_s: float
    device: str
    output_bytes: int


class Worker:
    """Holds one implementation and its warm calls, one for each case it was prepared for."""

    def __init__(self, implementation: str, threads: int) -> None:
        self._name = implementation
        self._threads = threads
        self._warm: dict[str, Warm] = {}
        self._yardstick: Yardstick | None = None

    def certify(self, case: Case) -> Agreement:
        """Judge the implementation on the case; without its device, by shapes alone."""
        from bench.agreement import certify
        from bench.fake import certify_fake

        found = self._implementation()
        if device_is_here(case.request.device):
            judged = certify(found, case, threads=self._threads)
        else:
            judged = certify_fake(found, case)
        return replace(judged, implementation=self._name, case=case.name)

    def prepare(self, case: Case, warmup_limit_s: float, cuda_graphs: bool) -> Prepared:  # noqa: FBT001 - sent by position
        """Make the inputs, hand them to the implementation, and call it until it is warm."""
        from bench.cases import make_inputs

        found = self._implementation()
        request = case.request
        clock = clock_for(request.device)
        call = found.prepare(make_inputs(case), request, threads=self._threads)
        # What torch compiled for the certificates is forgotten once, before the first case: later
        # it would forget what earlier cases compiled.
        anew = contextlib.nullcontext() if self._warm else compiled_anew(found)
        with anew:
            if cuda_graphs and request.device == "cuda":
                call = as_graph(call)
            warm = warm_up(call, clock, limit_s=warmup_limit_s)
        outputs = request.batch * request.heads * request.query_len * request.value_dim
        self._warm[case.name] = Warm(
            call=call,
            clock=clock,
            calls=warm.calls_per_sample,
            call_s=warm.warmup_s[-1],
            device=request.device,
            output_bytes=outputs * ITEM_BYTES[request.dtype],
        )
        first = () if found.compiles else (warm.first_s,)
        return Prepared(
            clock=clock.name,
            compile_s=warm.first_s if found.compiles else None,
            warmup_s=(*first, *warm.warmup_s),
            calls_per_sample=warm.calls_per_sample,
        )

    def sample(self, case: str, count: int) -> Visit:
        """Return `count` samples, each after one call that brings caches and threads back.

        A long call brings them back by itself. On a device they come in one go, and no yardstick
        of this processor stands beside them.
        """
        warm = self._warm[case]
        if warm.device != "cpu":
            warm.call()
            taken = warm.clock.samples(warm.call, count, warm.calls)
            return Visit(*taken, yardstick_s=(), copy_yardstick_s=())
        if self._yardstick is None:
            self._yardstick = Yardstick()
        samples, yardsticks = [], [self._yardstick.seconds()]
        for _ in range(count):
            if warm.call_s < LONG_CALL_S:
                warm.call()
            samples.append(warm.clock.samples(warm.call, 1, warm.calls))
            yardsticks.append(self._yardstick.seconds())
        wall, cpu, waited = (tuple(one[0] for one in kind) for kind in zip(*samples, strict=True))
        computing, copying = (
            tuple((before + after) / 2 for before, after in pairwise(kind))
            for kind in zip(*yardsticks, strict=True)
        )
        return Visit(wall, cpu, waited, computing, copying)

    def memory(self, case: str) -> int | None:
        """Return the most memory of one call above what is there before it; None if not seen.

        A call holds its output at least. Where less is seen, its memory was taken by an earlier
        call and kept, as by the arena of ONNX Runtime.
        """
        warm = self._warm[case]
        peak = peak_bytes_of(warm.call, warm.device)
        kept = peak is not None and peak < warm.output_bytes >= LEAST_SEEN_BYTES
        return None if kept else peak

    def forget(self, case: str) -> None:
        """Let go of a prepared case."""
        del self._warm[case]

    def limits(self, device: str, dtype: str) -> Limits:
        """Measure what this machine can do at most."""
        return measure_limits(device, dtype, threads=self._threads)

    def _implementation(self) -> Implementation:
        module, _, attribute = self._name.rpartition(":")
        if module:
            found: Implementation = getattr(importlib.import_module(module), attribute)
            return found
        from attnpanel.kernels import find_implementation

        return find_implementation(self._name)


def main(arguments: list[str]) -> None:
    """Answer orders until the parent is gone."""
    connection = Connection(int(arguments[0]))
    # Not for the processes that an implementation starts: they would hold it open.
    os.set_inheritable(connection.fileno(), False)  # noqa: FBT003 - positional only
    end_with_parent()
    limit_data(int(arguments[3]))
    die_first()
    orders: queue.SimpleQueue[tuple[str, tuple[Any, ...]]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, orders), daemon=True).start()
    worker = Worker(arguments[1], int(arguments[2]))
    connection.send(("ok", None))
    while True:
        order, values = orders.get()
        connection.send(answer(worker, order, values))


def answer(worker: Worker, order: str, values: tuple[Any, ...]) -> tuple[str, Any]:
    """Do what was asked; every exception is an answer too."""
    try:
        return "ok", getattr(worker, order)(*values)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a kernel raises is its row's status
        return status_of(error), in_words(error)


def status_of(error: BaseException) -> Status:
    """Return what an exception makes of a row: ``"out of memory"`` or ``"error"``."""
    lacked = isinstance(error, MemoryError) or means_no_memory(f"{type(error).__name__}: {error}")
    return "out of memory" if lacked else "error"


def limit_data(most_bytes: int) -> None:
    """Let allocations fail beyond this much, where the system can.

    RLIMIT_DATA counts what can be written to; RLIMIT_AS would also count the address space that
    CUDA and Node reserve and never use.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def end_with_parent() -> None:
    """Let Linux end this process with the thread that started it.

    :func:`_receive` does so everywhere, but not while a kernel holds the interpreter's lock.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def die_first() -> None:
    """If memory runs out all the same, let Linux end this process and not the run."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _receive(
    connection: Connection, orders: queue.SimpleQueue[tuple[str, tuple[Any, ...]]]
) -> None:
    """Pass orders on; without a parent, end this process and all that it started."""
    while True:
        try:
            orders.put(connection.recv())
        except (EOFError, OSError):
            if os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGKILL)
            os._exit(1)
