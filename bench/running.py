"""Carrying a plan out: limits, certificates, then samples in rounds that visit all in turn."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from attnpanel.kernels.reasons import no_device
from bench.bench_run import Timing
from bench.certifying import certificate, certify_all
from bench.child import Cancelled, ChildFailure
from bench.children import Children
from bench.environment import available_cores
from bench.memory import means_no_memory
from bench.planning import LEAST_ROUNDS, Plan
from bench.progress import Pace, Progress, Step, weight_of
from bench.recording import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from bench.bench_run import Agreement, BenchRun, Status
    from bench.cases import Case
    from bench.progress import Kind
    from bench.worker import Prepared, Visit

__all__ = ["Plan", "Progress", "run"]

# More certificates at once than this win little: what they share is memory's bandwidth.
MOST_AT_ONCE = 4
LIMITS = "the machine's limits"
# Two calls, against the dozens of a certificate or a preparation; until the first one is taken.
SAMPLE_WEIGHT = 0.1
STATUSES: Final[tuple[Status, ...]] = ("crashed", "out of memory", "timed out", "error")


def run(
    plan: Plan,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    cancelled: threading.Event | None = None,
    output: Path | None = None,
    resume: bool = False,
) -> BenchRun:
    """Carry a plan out, each implementation in a process of its own.

    A row whose certificate is not ``"pass"`` is not timed. Whatever befalls an implementation
    is its row's status.

    Parameters
    ----------
    plan : Plan
    progress : function of a Progress
        Called before each step, in this thread.
    cancelled : threading.Event, optional
        Set it from anywhere to stop: heard within a fifth of a second.
    output : path, optional
        Written while the run goes on, whole each time, so that it can be resumed.
    resume : bool
        Go on with the file at `output`, where there is one.

    Returns
    -------
    BenchRun
        `finished` is False where it was cancelled.

    Raises
    ------
    FileExistsError
        If `output` exists and `resume` is False.
    ValueError
        If the file to resume is damaged, or of another plan or machine.
    OSError
        If `output` can't be written; what it held before is still there.
    """
    record = Record(plan, output, resume=resume)
    with _Runner(plan, record, progress, cancelled or threading.Event()) as runner:
        try:
            runner.measure_limits()
            runner.certify()
            runner.time()
            runner.measure_limits_again()
        except Cancelled:
            return record.keep(finished=False)
        except BaseException:
            record.keep(finished=False)
            raise
    return record.keep(finished=True)


class _Runner:
    """One run: its children, the threads that wait for them, and its record."""

    def __init__(
        self,
        plan: Plan,
        record: Record,
        progress: Callable[[Progress], None],
        cancelled: threading.Event,
    ) -> None:
        self._plan = plan
        self._record = record
        self._progress = progress
        self._cancelled = cancelled
        self._ended = self._sampled = False
        self._children = Children(plan, self._stopped)
        self._at_once = _at_once(plan)
        self._pool = ThreadPoolExecutor(self._at_once)
        self._pace = Pace(self._steps(), self._at_once)
        self._prepared: set[tuple[str, str]] = set()

    def __enter__(self) -> _Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._pool.shutdown(cancel_futures=True)
        self._children.close()

    def measure_limits(self) -> None:
        """Measure what the machine can do, once for each device and dtype that is timed."""
        for device, dtype in self._kinds_of_limits():
            key = f"{device} {dtype}"
            with self._step("limits", LIMITS, key, f"{LIMITS}: {key}"):
                try:
                    limits = self._children.ask(LIMITS, "limits", device, dtype)
                    self._record.limits[device, dtype] = limits
                except ChildFailure as failure:
                    self._record.machine[f"limits of {key}"] = str(failure)
        self._children.end(LIMITS)

    def measure_limits_again(self) -> None:
        """Add samples after the timings: what kept the first ones low may have passed."""
        if not self._sampled:
            return
        before = {kind: self._record.limits.get(kind) for kind in self._kinds()}
        for kind, first in before.items():
            if first is None:
                continue
            try:
                again = self._children.ask(LIMITS, "limits", *kind)
            except ChildFailure:
                continue
            self._record.limits[kind] = replace(
                first,
                gemm_flops_per_s=first.gemm_flops_per_s + again.gemm_flops_per_s,
                copy_bytes_per_s=first.copy_bytes_per_s + again.copy_bytes_per_s,
            )

    def certify(self) -> None:
        """Certify every row that has no certificate yet."""
        rows = [
            (name, case)
            for name in self._plan.implementations
            for case in self._plan.cases
            if (name, case.name) not in self._record.agreements
        ]
        if rows:
            self._tell(f"certify {rows[0][0]}: {rows[0][1].name}")
        cases = {case.name: case for _, case in rows}
        alone = []
        for found in certify_all(rows, self._children, self._pool, self._stopped):
            agreement = found.agreement
            if self._at_once > 1 and _lacked_memory(agreement):
                alone.append((agreement.implementation, cases[agreement.case]))
            else:
                self._keep(agreement, found.seconds)
        # With the memory of the whole machine: those beside it may have taken what it lacked.
        for name, case in alone:
            with self._step("certify", name, case.name, f"certify {name}: {case.name}"):
                self._keep(certificate(name, case, self._children), 0.0)

    def time(self) -> None:
        """Time what is certified.

        A round goes through all cases, so that the rounds of a row lie all over the run and
        what slows the machine for a minute slows few of them. On a device it is one case at a
        time: its memory holds the inputs and graphs of one.
        """
        for group in _together(self._plan.timed):
            self._time_group(group)

    def _keep(self, agreement: Agreement, seconds: float) -> None:
        row = agreement.implementation, agreement.case
        self._record.agreements[row] = agreement
        self._pace.took("certify", *row, seconds)
        self._record.keep_if_due()
        self._tell(f"certified {row[0]}: {row[1]}")

    def _time_group(self, cases: Sequence[Case]) -> None:
        names = self._plan.implementations
        ready = [(name, case) for case in cases for name in names if self._prepare(name, case)]
        while waiting := [row for row in ready if not self._record.enough(row[0], row[1].name)]:
            for name, case in waiting:
                with self._step("sample", name, case.name, f"time {name}: {case.name}"):
                    self._visit(name, case)
        for name, case in ready:
            self._measure_memory(name, case)
            self._pace.drop(name, case.name)
        self._record.keep_if_due()

    def _prepare(self, name: str, case: Case) -> bool:
        """Get a row ready for its samples; False where it gets none."""
        row = name, case.name
        if self._record.complete(*row):
            self._pace.drop(*row)
            return False
        refusal = self._refusal(name, case)
        if refusal is not None:
            self._give_up(refusal)
            return False
        with self._step("prepare", name, case.name, f"warm up {name}: {case.name}"):
            try:
                prepared = self._warm_up(name, case)
            except ChildFailure as failure:
                self._give_up(self._untimed(name, case, failure.status, (failure.reason,)))
                return False
            # A resumed row keeps its samples, and the warm-up they were taken after.
            self._record.timings.setdefault(
                row,
                replace(
                    self._untimed(name, case, "timed", ()),
                    clock=prepared.clock,
                    compile_s=prepared.compile_s,
                    warmup_s=prepared.warmup_s,
                    calls_per_sample=prepared.calls_per_sample,
                ),
            )
        return True

    def _warm_up(self, name: str, case: Case) -> Prepared:
        plan = self._plan
        if not self._children.alive(name):  # what it had prepared ended with it
            self._prepared = {row for row in self._prepared if row[0] != name}
        asked = case, plan.row_budget_s, plan.cuda_graphs
        prepared: Prepared = self._children.ask(name, "prepare", *asked)
        self._prepared.add((name, case.name))
        return prepared

    def _ask_warm(self, name: str, order: str, case: Case, *arguments: Any) -> Any:
        """Ask about a prepared case; a child that was lost at another one prepares it again."""
        if not (self._children.alive(name) and (name, case.name) in self._prepared):
            self._warm_up(name, case)
        return self._children.ask(name, order, case.name, *arguments)

    def _visit(self, name: str, case: Case) -> None:
        timing = self._record.timings[name, case.name]
        try:
            visit: Visit = self._ask_warm(name, "sample", case, self._samples_of(timing))
        except ChildFailure as failure:
            self._give_up(
                replace(
                    self._untimed(name, case, failure.status, (failure.reason,)),
                    compile_s=timing.compile_s,
                )
            )
            return
        self._sampled = True
        number = max(timing.rounds, default=-1) + 1
        self._record.timings[name, case.name] = replace(
            timing,
            wall_s=timing.wall_s + visit.wall_s,
            cpu_s=timing.cpu_s + visit.cpu_s,
            rounds=timing.rounds + (number,) * len(visit.wall_s),
            waited_s=timing.waited_s + visit.waited_s,
            yardstick_s=timing.yardstick_s + visit.yardstick_s,
            copy_yardstick_s=timing.copy_yardstick_s + visit.copy_yardstick_s,
        )

    def _samples_of(self, timing: Timing) -> int:
        """Return how many samples a round takes: fewer where the least rounds would overdraw."""
        round_s = self._plan.row_budget_s / LEAST_ROUNDS
        sample_s = sum(timing.warmup_s[-1:]) * timing.calls_per_sample
        count = self._plan.samples_per_round
        while count > 1 and count * sample_s > round_s:
            count -= 1
        return count

    def _measure_memory(self, name: str, case: Case) -> None:
        timing = self._record.timings[name, case.name]
        if timing.status != "timed":
            return
        try:
            peak = self._ask_warm(name, "memory", case)
            self._ask_warm(name, "forget", case)
        except ChildFailure as failure:
            self._give_up(self._untimed(name, case, failure.status, (failure.reason,)))
            return
        self._record.timings[name, case.name] = replace(timing, peak_bytes=peak)

    def _refusal(self, name: str, case: Case) -> Timing | None:
        """Return the row of what is not timed because of its certificate."""
        agreement = self._record.agreements[name, case.name]
        if agreement.verdict == "pass" and agreement.basis == "computed":
            return None
        status: Status = "not certified" if agreement.verdict == "fail" else "unsupported"
        if agreement.verdict == "error":
            words = agreement.reasons[0] if agreement.reasons else ""
            status = next((one for one in STATUSES if words.startswith(f"{one}:")), "error")
            if _lacked_memory(agreement):
                status = "out of memory"
        reasons = agreement.reasons
        if agreement.verdict == "pass":
            reasons = (no_device(case.request.device),)
        return self._untimed(name, case, status, reasons)

    def _untimed(self, name: str, case: Case, status: Status, reasons: tuple[str, ...]) -> Timing:
        return Timing(name, case.name, self._plan.threads, status, reasons)

    def _give_up(self, timing: Timing) -> None:
        self._record.timings[timing.implementation, timing.case] = timing
        self._pace.drop(timing.implementation, timing.case)

    def _stopped(self) -> bool:
        return self._ended or self._cancelled.is_set()

    def _tell(self, what: str) -> None:
        self._progress(self._pace.at(what))

    @contextmanager
    def _step(self, kind: Kind, name: str, case: str, what: str) -> Iterator[None]:
        """Take one step: told before, its time noted and the record kept after."""
        if self._stopped():
            raise Cancelled
        self._tell(what)
        before = time.monotonic()
        yield
        self._pace.took(kind, name, case, time.monotonic() - before)
        self._record.keep_if_due()

    def _kinds_of_limits(self) -> list[tuple[str, str]]:
        return [kind for kind in self._kinds() if kind not in self._record.limits]

    def _kinds(self) -> list[tuple[str, str]]:
        requests = [case.request for case in self._plan.timed if self._plan.limits]
        return list(dict.fromkeys((request.device, request.dtype) for request in requests))

    def _steps(self) -> Iterator[Step]:
        """Yield what is still to do, as far as is known before it begins."""
        for device, dtype in self._kinds_of_limits():
            yield Step("limits", LIMITS, f"{device} {dtype}", 1.0)
        for case in self._plan.cases:
            for name in self._plan.implementations:
                if (name, case.name) not in self._record.agreements:
                    yield Step("certify", name, case.name, weight_of(case))
        for case in self._plan.timed:
            for name in self._plan.implementations:
                if not self._record.complete(name, case.name):
                    yield Step("prepare", name, case.name, weight_of(case))
                    for _ in range(self._plan.rounds):
                        yield Step("sample", name, case.name, SAMPLE_WEIGHT * weight_of(case))


def _together(cases: Sequence[Case]) -> list[Sequence[Case]]:
    """Return the groups of cases whose rounds go on together."""
    if all(case.request.device == "cpu" for case in cases):
        return [cases]
    return [(case,) for case in cases]


def _at_once(plan: Plan) -> int:
    """Return how many certificates are made at once; on a device, one."""
    if any(case.request.device != "cpu" for case in plan.cases):
        return 1
    return max(1, min(available_cores() // plan.threads, MOST_AT_ONCE))


def _lacked_memory(agreement: Agreement) -> bool:
    return agreement.verdict == "error" and means_no_memory(" ".join(agreement.reasons))
