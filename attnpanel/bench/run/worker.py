"""The child process that runs one implementation; `attnpanel.bench.run.child` is its parent's side.

It answers the requests of :class:`attnpanel.bench.run.child.Child` one at a time over a connection
of their own, so an implementation may print. It ends with its parent: a thread reads from the
connection, which the operating system closes even if the parent is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import queue
import signal
import sys
import threading
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from attnpanel.bench.certify.description import describe, why_no_gradients
from attnpanel.bench.certify.direction import certify_direction
from attnpanel.bench.certify.gradients_certificate import certify_gradients
from attnpanel.bench.certify.plain_function import as_implementation
from attnpanel.bench.certify.serving import measure_invariance
from attnpanel.bench.certify.subject import load_subject
from attnpanel.bench.measure.clocks import clock_for
from attnpanel.bench.measure.compiling import without_compile_cache
from attnpanel.bench.measure.memory import is_out_of_memory
from attnpanel.bench.measure.reference_workload import ReferenceWorkload
from attnpanel.bench.measure.roofline import measure_limits
from attnpanel.bench.run.exception_text import format_exception
from attnpanel.bench.run.integrity import Integrity
from attnpanel.bench.run.records import GradientAgreement
from attnpanel.bench.run.timed_results import RefusedError
from attnpanel.bench.run.warm_case import WarmCase
from attnpanel.kernels.reasons import device_is_here, no_device

if TYPE_CHECKING:
    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.certify.description import Description
    from attnpanel.bench.certify.serving import Invariance
    from attnpanel.bench.measure.clocks import Clock
    from attnpanel.bench.run.records import Agreement, Limits, Status
    from attnpanel.bench.run.visits import Prepared, PrepareOptions, Visit
    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import DType

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


class Worker:
    """Runs one implementation and holds a warm call for each prepared case."""

    def __init__(self, implementation: str, threads: int) -> None:
        self._name = implementation
        self._threads = threads
        self._warm: dict[str, WarmCase] = {}
        self._clocks: dict[str, Clock] = {}
        self._reference_workload: ReferenceWorkload | None = None
        self._subjects: dict[str, Any] = {}
        self._found: dict[str, Implementation] = {}
        # Taken before the implementation is imported, of all that it may replace.
        import psutil  # type: ignore[import-untyped]  # noqa: F401

        if ":" in implementation:
            with contextlib.suppress(ImportError):
                import torch  # noqa: F401
        self._integrity = Integrity()
        self._integrity.watch(self)

    def certify(self, case: Case) -> Agreement:
        """Certify what the case computes; see :func:`bench.certify.direction.certify_direction`."""
        found = self._implementation(case.request.device)
        judged = certify_direction(found, case, threads=self._threads)
        self._check_integrity()
        return replace(judged, implementation=self._name, case=case.name)

    def certify_gradients(self, case: Case) -> GradientAgreement | None:
        """Certify the gradients of the implementation on the case; None if it declares none."""
        found = self._implementation(case.request.device)
        if found.gradients is None:
            return None
        judged = certify_gradients(found, case)
        self._check_integrity()
        units = {name: unit for name, unit in judged.units.items() if math.isfinite(unit)}
        return GradientAgreement(self._name, case.name, judged.verdict, judged.reasons, units)

    def describe(self, device: str) -> Description:
        """Describe what is certified: its source, and what it was seen to do on a device."""
        found = self._implementation(device)
        self._check_integrity()
        return describe(found, self._name, self._subjects[device])

    def why_no_gradients(self, device: str) -> str:
        """Return why the implementation gives no gradients at all; empty if it gives some."""
        found = self._implementation(device)
        reason = why_no_gradients(found, device)
        self._check_integrity()
        return reason

    def invariance(self, device: str, dtype: DType) -> tuple[Invariance, ...]:
        """Measure how far the laws of serving hold."""
        found = self._implementation(device)
        measured = measure_invariance(found, dtype, device=device, threads=self._threads)
        self._check_integrity()
        return measured

    def prepare(self, case: Case, warmup_limit_s: float, options: PrepareOptions) -> Prepared:
        """Make calls of the implementation until it is warm."""
        found = self._implementation(case.request.device)
        if case.request.device not in self._clocks:
            raise RuntimeError(f"{no_device(case.request.device)} any more")
        # Reset torch's compiler only once, before the first case: a later reset would discard the
        # compiled code of earlier cases.
        recompile = contextlib.nullcontext() if self._warm else without_compile_cache(found)
        warm = WarmCase(
            implementation=found,
            case=case,
            clock=self._clocks[case.request.device],
            threads=self._threads,
            check_process=self._check_integrity,
            cuda_graphs=options.cuda_graphs,
        )
        self._integrity.watch(warm, warm.clock)
        with recompile:
            prepared = warm.warm(warmup_limit_s, check=options.check)
        self._warm[case.name] = warm
        self._check_integrity()
        return prepared

    def sample(self, case: str, count: int) -> Visit:
        """Return `count` samples; on a device without the CPU's reference workload."""
        began = perf_counter()
        warm = self._warm[case]
        workload = None
        if warm.case.request.device == "cpu":
            workload = self._reference_workload = self._reference_workload or ReferenceWorkload()
        visit = warm.visit(count, workload)
        return replace(visit, elapsed_s=perf_counter() - began)

    def memory(self, case: str) -> int | None:
        """Return the peak memory of one call; see :meth:`WarmCase.memory`."""
        return self._warm[case].memory()

    def prepare_calls(self, case: str, most: int) -> int:
        """Prepare calls, of which inputs fit; return their number."""
        warm = self._warm[case]
        warm.counted.prepare(count := warm.fitting(most))
        return count

    def make_calls(self, case: str) -> None:
        """Make the prepared calls, and nothing else."""
        self._warm[case].counted.make()

    def judge_calls(self, case: str) -> None:
        """Judge the results of the calls that were made."""
        self._warm[case].counted.check()
        self._check_integrity()

    def forget(self, case: str) -> None:
        """Release a prepared case."""
        device = self._warm.pop(case).case.request.device
        if device == "cuda":
            import torch

            # Other implementations' processes need what torch would keep.
            torch.cuda.empty_cache()

    def limits(self, device: str, dtype: str) -> Limits:
        """Measure the peak rates of this machine."""
        return measure_limits(device, dtype, threads=self._threads)

    def _implementation(self, device: str) -> Implementation:
        """Import the implementation, after the clock of its device and all that judges it."""
        if device not in self._clocks and device_is_here(device):
            self._clocks[device] = clock_for(device)
        if device not in self._found:
            subject = load_subject(self._name)
            self._subjects[device] = subject
            self._found[device] = as_implementation(subject, self._name, device=device)
        return self._found[device]

    def _check_integrity(self) -> None:
        if violation := self._integrity.violation():
            raise RefusedError(violation)


def main(arguments: list[str]) -> None:
    """Answer requests until the parent ends."""
    connection = Connection(int(arguments[0]))
    # Child processes of an implementation must not inherit it: they would keep it open.
    os.set_inheritable(connection.fileno(), False)  # noqa: FBT003 - positional only
    die_with_parent()
    adopt_orphans()
    limit_data_segment(int(arguments[3]))
    prefer_oom_kill()
    requests: queue.SimpleQueue[tuple[str, tuple[Any, ...]]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, requests), daemon=True).start()
    worker = Worker(arguments[1], int(arguments[2]))
    connection.send(("ok", None, False))
    while True:
        method, values = requests.get()
        reply = answer(worker, method, values)
        lost = device_is_lost()
        connection.send((*reply, lost))
        if lost:
            # No later call of this process could use the device.
            os._exit(1)


def answer(worker: Worker, method: str, values: tuple[Any, ...]) -> tuple[str, Any]:
    """Call a method of the worker; return its result, or the status of its exception."""
    try:
        return "ok", getattr(worker, method)(*values)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any exception becomes the row's status
        status = status_of(error)
        return status, str(error) if status == "refused" else format_exception(error)


def device_is_lost() -> bool:
    """Whether CUDA answers every call of this process with an error, as after an illegal access."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def status_of(error: BaseException) -> Status:
    """Return the status of a row that raised."""
    if isinstance(error, RefusedError):
        return "refused"
    no_memory = isinstance(error, MemoryError) or is_out_of_memory(
        f"{type(error).__name__}: {error}"
    )
    return "out of memory" if no_memory else "error"


def limit_data_segment(most_bytes: int) -> None:
    """Make allocations beyond this size fail, if the system supports it.

    RLIMIT_DATA counts writable memory only; RLIMIT_AS would also count address space that CUDA and
    Node reserve and never use.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def die_with_parent() -> None:
    """Have Linux kill this process when the thread that started it ends.

    :func:`_receive` does so on every system, but not while a kernel holds the interpreter lock.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Have Linux make what its child processes leave behind children of this process.

    Otherwise a process whose parent has ended works unseen.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def prefer_oom_kill() -> None:
    """Make Linux's out-of-memory killer choose this process rather than the parent."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _receive(
    connection: Connection, requests: queue.SimpleQueue[tuple[str, tuple[Any, ...]]]
) -> None:
    """Queue incoming requests; once the parent has ended, kill this process group."""
    while True:
        try:
            requests.put(connection.recv())
        except (EOFError, OSError):
            if os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGKILL)
            os._exit(1)
