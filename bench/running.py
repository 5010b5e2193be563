"""Carrying a plan out: limits, certificates, then samples in rounds that visit everyone in turn."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from bench.bench_run import Agreement, Timing
from bench.child import Cancelled, Child, ChildFailure
from bench.memory import available_bytes
from bench.planning import Plan
from bench.progress import Pace, Progress, Step, weight_of
from bench.recording import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.bench_run import BenchRun, Status
    from bench.cases import Case
    from bench.progress import Kind

__all__ = ["Plan", "Progress", "run"]

# An implementation whose process was lost this often in a row is not tried on the next cases:
# each hang costs the whole time limit.
MOST_LOSSES = 3
LIMITS = "the machine's limits"
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
        except Cancelled:
            return record.keep(finished=False)
        except BaseException:
            record.keep(finished=False)
            raise
    return record.keep(finished=True)


class _Runner:
    """One run: its children by implementation, and its record."""

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
        self._children: dict[str, Child] = {}
        self._losses: dict[tuple[str, str], int] = {}
        self._pace = Pace(self._steps())
        self._memory = plan.memory_limit_bytes or available_bytes() * 4 // 5

    def __enter__(self) -> _Runner:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():
            child.close()

    def measure_limits(self) -> None:
        """Measure what the machine can do, once for each device and dtype that is timed."""
        for device, dtype in self._kinds_of_limits():
            key = f"{device} {dtype}"
            with self._step("limits", LIMITS, key, f"{LIMITS}: {key}"):
                try:
                    self._record.limits[device, dtype] = self._ask(LIMITS, "limits", device, dtype)
                except ChildFailure as failure:
                    self._record.machine[f"limits of {key}"] = str(failure)
        self._end(LIMITS)

    def certify(self) -> None:
        """Certify every row that has no certificate yet, one implementation after the other."""
        for name in self._plan.implementations:
            for case in self._plan.cases:
                if (name, case.name) not in self._record.agreements:
                    with self._step("certify", name, case.name, f"certify {name}: {case.name}"):
                        self._record.agreements[name, case.name] = self._certificate(name, case)

    def time(self) -> None:
        """Time what is certified, one case after the other."""
        for case in self._plan.timed:
            self._time_case(case)

    def _certificate(self, name: str, case: Case) -> Agreement:
        try:
            answer: Agreement = self._ask(name, "certify", case)
        except ChildFailure as failure:
            return Agreement(name, case.name, "error", "computed", (str(failure),), ())
        return answer

    def _time_case(self, case: Case) -> None:
        ready = [name for name in self._plan.implementations if self._prepare(name, case)]
        while waiting := [n for n in ready if not self._record.enough(n, case.name)]:
            for name in waiting:
                with self._step("sample", name, case.name, f"time {name}: {case.name}"):
                    self._visit(name, case)
        for name in ready:
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
                prepared = self._ask(name, "prepare", case, self._plan.row_budget_s)
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

    def _visit(self, name: str, case: Case) -> None:
        timing = self._record.timings[name, case.name]
        try:
            wall, cpu = self._ask(name, "sample", self._plan.samples_per_round)
        except ChildFailure as failure:
            self._give_up(
                replace(
                    self._untimed(name, case, failure.status, (failure.reason,)),
                    compile_s=timing.compile_s,
                )
            )
            return
        number = max(timing.rounds, default=-1) + 1
        self._record.timings[name, case.name] = replace(
            timing,
            wall_s=timing.wall_s + wall,
            cpu_s=timing.cpu_s + cpu,
            rounds=timing.rounds + (number,) * len(wall),
        )

    def _measure_memory(self, name: str, case: Case) -> None:
        timing = self._record.timings[name, case.name]
        if timing.status != "timed":
            return
        try:
            peak = self._ask(name, "memory", case.request.device)
            self._ask(name, "forget")
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
        return self._untimed(name, case, status, agreement.reasons)

    def _untimed(self, name: str, case: Case, status: Status, reasons: tuple[str, ...]) -> Timing:
        return Timing(name, case.name, self._plan.threads, status, reasons)

    def _give_up(self, timing: Timing) -> None:
        self._record.timings[timing.implementation, timing.case] = timing
        self._pace.drop(timing.implementation, timing.case)

    def _ask(self, name: str, order: str, *arguments: Any) -> Any:
        """Ask an implementation's child, started where there is none."""
        if self._losses.get((name, order), 0) >= MOST_LOSSES:
            raise ChildFailure(
                "error", f"not tried: its process was lost {MOST_LOSSES} times in a row at this"
            )
        try:
            child = self._children.get(name)
            if child is None or not child.alive:
                child = self._children[name] = Child(
                    name,
                    threads=self._plan.threads,
                    memory_limit_bytes=self._memory,
                    cancelled=self._cancelled,
                )
            answer = child.ask(order, *arguments, limit_s=self._plan.time_limit_s)
        except ChildFailure:
            child = self._children.get(name)
            if child is None or not child.alive:
                self._losses[name, order] = self._losses.get((name, order), 0) + 1
            raise
        self._losses[name, order] = 0
        return answer

    def _end(self, name: str) -> None:
        child = self._children.pop(name, None)
        if child is not None:
            child.close()

    @contextmanager
    def _step(self, kind: Kind, name: str, case: str, what: str) -> Iterator[None]:
        """Take one step: told before, its time noted and the record kept after."""
        if self._cancelled.is_set():
            raise Cancelled
        self._progress(self._pace.at(what))
        before = time.monotonic()
        yield
        self._pace.took(kind, name, case, time.monotonic() - before)
        self._record.keep_if_due()

    def _kinds_of_limits(self) -> list[tuple[str, str]]:
        requests = [case.request for case in self._plan.timed]
        kinds = dict.fromkeys((request.device, request.dtype) for request in requests)
        return [kind for kind in kinds if kind not in self._record.limits]

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
                        yield Step("sample", name, case.name, weight_of(case))
