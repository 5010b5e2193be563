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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnpanel.kernels.reasons import device_is_here
from bench.clocks import clock_for
from bench.compiling import compiled_anew
from bench.cuda_graphs import as_graph
from bench.memory import means_no_memory, peak_bytes_of
from bench.raised import in_words
from bench.roofline import measure_limits
from bench.timing import warm_up
from bench.work import ITEM_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.kernels.implementation import Implementation
    from bench.bench_run import Agreement, Limits, Status
    from bench.cases import Case
    from bench.clocks import Clock, Samples

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

    clock: str
    compile_s: float | None
    warmup_s: tuple[float, ...]
    calls_per_sample: int


class Worker:
    """Holds one implementation and the case that it was prepared for."""

    def __init__(self, implementation: str, threads: int) -> None:
        self._name = implementation
        self._threads = threads
        self._call: Callable[[], Any] | None = None
        self._clock: Clock | None = None
        self._calls = 1
        self._warm_s = 0.0
        self._output_bytes = 0

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
        self.forget()
        self._clock = clock_for(case.request.device)
        self._call = found.prepare(make_inputs(case), case.request, threads=self._threads)
        with compiled_anew(found):
            if cuda_graphs and case.request.device == "cuda":
                self._call = as_graph(self._call)
            warm = warm_up(self._call, self._clock, limit_s=warmup_limit_s)
        self._calls = warm.calls_per_sample
        request = case.request
        outputs = request.batch * request.heads * request.query_len * request.value_dim
        self._output_bytes = outputs * ITEM_BYTES[request.dtype]
        self._warm_s = warm.warmup_s[-1]
        first = () if found.compiles else (warm.first_s,)
        return Prepared(
            clock=self._clock.name,
            compile_s=warm.first_s if found.compiles else None,
            warmup_s=(*first, *warm.warmup_s),
            calls_per_sample=warm.calls_per_sample,
        )

    def sample(self, count: int) -> Samples:
        """Return `count` samples, after one call that brings caches and threads back.

        A long call brings them back by itself.
        """
        assert self._call is not None  # noqa: S101 - the parent prepares first
        assert self._clock is not None  # noqa: S101
        if self._warm_s < LONG_CALL_S:
            self._call()
        return self._clock.samples(self._call, count, self._calls)

    def memory(self, device: str) -> int | None:
        """Return the most memory of one call above what is there before it; None if not seen.

        A call holds its output at least. Where less is seen, its memory was taken by an earlier
        call and kept, as by the arena of ONNX Runtime.
        """
        assert self._call is not None  # noqa: S101 - the parent prepares first
        peak = peak_bytes_of(self._call, device)
        kept = peak is not None and peak < self._output_bytes >= LEAST_SEEN_BYTES
        return None if kept else peak

    def forget(self) -> None:
        """Let go of the prepared case."""
        self._call = self._clock = None

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
