"""Run a plan: measure limits, certify, then sample in rounds over all implementations."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnpanel.bench.certify.parallel import certify_all, certify_in_child
from attnpanel.bench.measure.machine import TIME_LIMIT
from attnpanel.bench.measure.roofline import merge_limits
from attnpanel.bench.run.child import Cancelled, ChildFailure
from attnpanel.bench.run.children import Children
from attnpanel.bench.run.gradients import gradients_of_plan
from attnpanel.bench.run.kernel_time import unlike_the_kernels_time
from attnpanel.bench.run.planning import MIN_ROUNDS, Plan, concurrency, group_cases
from attnpanel.bench.run.progress import LIMITS, Progress, ProgressEstimator, remaining_steps
from attnpanel.bench.run.recording import Record
from attnpanel.bench.run.records import Timing
from attnpanel.bench.run.refusals import ClockComparison, refuse_impossible_times
from attnpanel.bench.run.statuses import ran_out_of_memory, why_untimed
from attnpanel.bench.run.visits import PrepareOptions, number_of_next_round, with_visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.run.progress import Kind
    from attnpanel.bench.run.records import Agreement, BenchRun, Status
    from attnpanel.bench.run.visits import Prepared, Visit

__all__ = ["Plan", "Progress", "run"]


def run(
    plan: Plan,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    cancelled: threading.Event | None = None,
    output: Path | None = None,
    resume: bool = False,
) -> BenchRun:
    """Run a plan with each implementation in a process of its own.

    A row whose certificate is not ``"pass"`` is not timed. Exceptions, crashes and time-outs of an
    implementation become the status of its row.

    Parameters
    ----------
    plan : Plan
    progress : function of a Progress
        Called before each step, in this thread.
    cancelled : threading.Event, optional
        Set it from any thread to stop the run within about 0.2 s.
    output : path, optional
        Written atomically while the run goes on, so that it can be resumed.
    resume : bool
        Continue the file at `output`, if it exists.

    Returns
    -------
    BenchRun
        `finished` is False if it was cancelled.

    Raises
    ------
    FileExistsError
        If `output` exists and `resume` is False.
    ValueError
        If the file to resume is damaged, or of another plan or machine.
    OSError
        If `output` can't be written; its previous content is kept.
    """
    record = Record(plan, output, resume=resume)
    with _Runner(plan, record, progress, cancelled or threading.Event()) as runner:
        try:
            runner.work()
        except Cancelled:
            if not runner.out_of_time:
                return record.keep(finished=False)
            runner.record_unreached()
        except BaseException:
            record.keep(finished=False)
            raise
    refuse_impossible_times(record, plan)
    return record.keep(finished=True)


class _Runner:
    """The state of one run: child processes, the threads that wait for them, and the record."""

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
        self._deadline = time.monotonic() + (plan.run_limit_s or math.inf)
        self._ended = self._sampled = False
        self._children = Children(plan, self._is_cancelled)
        self._concurrency = concurrency(plan)
        self._pool = ThreadPoolExecutor(self._concurrency)
        self._estimator = ProgressEstimator(
            remaining_steps(plan, record, self._kinds_of_limits()), self._concurrency
        )
        self._prepared: set[tuple[str, str]] = set()
        self._processes: dict[str, int] = {}
        self._clocks: defaultdict[tuple[str, str], ClockComparison] = defaultdict(ClockComparison)

    def __enter__(self) -> _Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._pool.shutdown(cancel_futures=True)
        self._children.close()

    @property
    def out_of_time(self) -> bool:
        """Whether the plan's limit has passed, and nobody cancelled the run."""
        return time.monotonic() >= self._deadline and not self._cancelled.is_set()

    def work(self) -> None:
        """Measure, certify and time; with a limit, one group of timed cases after the other.

        Raises
        ------
        Cancelled
            If the run was cancelled, or is out of time.
        """
        plan = self._plan
        self.measure_limits()
        if plan.run_limit_s is None:
            self.certify(plan.cases)
            self.certify_gradients()
            self.time(plan.timed)
        else:
            for group in group_cases(plan.timed):
                self.certify(group)
                self.time(group)
            self.certify_gradients()
            self.certify(plan.certified)
        self.measure_limits_again()

    def record_unreached(self) -> None:
        """Give each timed row that was not reached the reason; keep the samples of the others."""
        limit = f"{self._plan.run_limit_s:g} s"
        self._record.machine[TIME_LIMIT] = f"the run was ended after {limit}"
        for case in self._plan.timed:
            for name in self._plan.implementations:
                timing = self._record.timings.get((name, case.name))
                if timing is None or (timing.status == "timed" and not timing.wall_s):
                    why = f"the run's limit of {limit} had passed"
                    self._record_failure(self._untimed(name, case, "timed out", (why,)))

    def measure_limits(self) -> None:
        """Measure the machine's limits once for each device and dtype that is timed."""
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
        """Add samples after the timings: a disturbance of the first ones may have ended."""
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
            self._record.limits[kind] = merge_limits(first, again)

    def certify(self, wanted: Sequence[Case]) -> None:
        """Certify every row of these cases that has no certificate yet."""
        rows = [
            (name, case)
            for name in self._plan.implementations
            for case in wanted
            if (name, case.name) not in self._record.agreements
        ]
        if rows:
            self._report(f"certify {rows[0][0]}: {rows[0][1].name}")
        cases = {case.name: case for _, case in rows}
        retries = []
        for found in certify_all(rows, self._children, self._pool, self._is_cancelled):
            agreement = found.agreement
            if self._concurrency > 1 and ran_out_of_memory(agreement):
                retries.append((agreement.implementation, cases[agreement.case]))
            else:
                self._keep(agreement, found.seconds)
        # Again, one at a time: certificates made in parallel may have exhausted the memory.
        for name, case in retries:
            with self._step("certify", name, case.name, f"certify {name}: {case.name}"):
                self._keep(certify_in_child(name, case, self._children), 0.0)

    def certify_gradients(self) -> None:
        """Certify the gradients of every implementation that declares some, if asked to."""
        if self._plan.gradients:
            gradients_of_plan(self._plan, self._record, self._children, self._step)

    def time(self, wanted: Sequence[Case]) -> None:
        """Time the rows of these cases that passed their certificate.

        Each round visits all cases, so that the rounds of a row are spread over the whole run and a
        slow minute of the machine affects few of them. On a device cases are timed one after the
        other, because its memory may hold the inputs and graphs of one case only.
        """
        for group in group_cases(wanted):
            self._time_group(group)

    def _keep(self, agreement: Agreement, seconds: float) -> None:
        row = agreement.implementation, agreement.case
        self._record.agreements[row] = agreement
        self._estimator.record("certify", *row, seconds)
        self._record.keep_if_due()
        self._report(f"certified {row[0]}: {row[1]}")

    def _time_group(self, cases: Sequence[Case]) -> None:
        names = self._plan.implementations
        ready = [(name, case) for case in cases for name in names if self._prepare(name, case)]
        while waiting := [row for row in ready if not self._record.enough(row[0], row[1].name)]:
            self._replace_processes(waiting)
            for name, case in waiting:
                with self._step("sample", name, case.name, f"time {name}: {case.name}"):
                    self._visit(name, case)
        for name, case in ready:
            self._measure_memory(name, case)
            self._estimator.drop(name, case.name)
        self._record.keep_if_due()

    def _replace_processes(self, rows: Sequence[tuple[str, Case]]) -> None:
        """End the processes whose rows have had their share of rounds in it.

        What compiles keeps its process, because compiling again takes longer than all its rounds.
        """
        for name in dict.fromkeys(name for name, _ in rows):
            timings = [self._record.timings[name, case.name] for row, case in rows if row == name]
            due = [self._plan.process_of(number_of_next_round(timing)) for timing in timings]
            if min(due) > self._processes.get(name, 0) and timings[0].compile_s is None:
                self._processes[name] = min(due)
                self._children.end(name)

    def _prepare(self, name: str, case: Case) -> bool:
        """Prepare a row for sampling; return False if it is not to be sampled."""
        row = name, case.name
        if self._record.complete(*row):
            self._estimator.drop(*row)
            return False
        refusal = self._refusal(name, case)
        if refusal is not None:
            self._record_failure(refusal)
            return False
        with self._step("prepare", name, case.name, f"warm up {name}: {case.name}"):
            try:
                prepared = self._warm_up(name, case)
            except ChildFailure as failure:
                self._record_failure(self._untimed(name, case, failure.status, (failure.reason,)))
                return False
            # A resumed row keeps its samples and the record of their warm-up.
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
        if not self._children.alive(name):  # its prepared cases were lost with it
            self._prepared = {row for row in self._prepared if row[0] != name}
        timing = self._record.timings.get((name, case.name))
        options = PrepareOptions(plan.cuda_graphs, check=timing is None or not timing.wall_s)
        asked = case, plan.row_budget_s, options
        prepared: Prepared = self._children.ask(name, "prepare", *asked)
        self._prepared.add((name, case.name))
        return prepared

    def _ask_prepared(self, name: str, method: str, case: Case, *arguments: Any) -> Any:
        """Send a request about a prepared case, preparing it again if the child was restarted."""
        self._ensure_prepared(name, case)
        return self._children.ask(name, method, case.name, *arguments)

    def _ensure_prepared(self, name: str, case: Case) -> None:
        if not (self._children.alive(name) and (name, case.name) in self._prepared):
            self._warm_up(name, case)

    def _visit(self, name: str, case: Case) -> None:
        row = name, case.name
        timing = self._record.timings[row]
        try:
            self._ensure_prepared(name, case)
            before = self._children.main_thread_seconds(name)
            count = self._samples_of(timing)
            visit: Visit = self._children.ask(name, "sample", case.name, count)
            self._clocks[row].add(visit, self._children.main_thread_seconds(name) - before)
            process = self._processes.get(name, 0)
            self._record.timings[row] = with_visit(timing, visit, process)
        except ChildFailure as failure:
            self._fail(timing, failure.status, failure.reason)
            return
        # A sample of 0 s or of nan seconds.
        except ValueError as error:
            self._fail(timing, "error", f"its clock gave no time: {error}")
            return
        self._sampled = True

    def _fail(self, timing: Timing, status: Status, reason: str) -> None:
        failed = Timing(timing.implementation, timing.case, timing.threads, status, (reason,))
        self._record_failure(replace(failed, compile_s=timing.compile_s))

    def _samples_of(self, timing: Timing) -> int:
        """Return the samples per round: fewer if `MIN_ROUNDS` rounds would exceed the budget."""
        round_s = self._plan.row_budget_s / MIN_ROUNDS
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
            peak = self._ask_prepared(name, "memory", case)
            unlike = unlike_the_kernels_time(timing, self._children)
            self._ask_prepared(name, "forget", case)
        except ChildFailure as failure:
            self._record_failure(self._untimed(name, case, failure.status, (failure.reason,)))
            return
        if disagreement := unlike or self._clocks[name, case.name].disagreement():
            self._fail(timing, "refused", disagreement)
            return
        self._record.timings[name, case.name] = replace(
            timing, peak_bytes=peak, judged=timing.judged + 1
        )

    def _refusal(self, name: str, case: Case) -> Timing | None:
        """Return the untimed row if its certificate forbids timing, else None."""
        agreement = self._record.agreements[name, case.name]
        if agreement.timeable:
            return None
        status, reasons = why_untimed(agreement, case.request.device)
        return self._untimed(name, case, status, reasons)

    def _untimed(self, name: str, case: Case, status: Status, reasons: tuple[str, ...]) -> Timing:
        return Timing(name, case.name, self._plan.threads, status, reasons)

    def _record_failure(self, timing: Timing) -> None:
        self._record.timings[timing.implementation, timing.case] = timing
        self._estimator.drop(timing.implementation, timing.case)

    def _is_cancelled(self) -> bool:
        return self._ended or self._cancelled.is_set() or time.monotonic() >= self._deadline

    def _report(self, what: str) -> None:
        self._progress(self._estimator.at(what))

    @contextmanager
    def _step(self, kind: Kind, name: str, case: str, what: str) -> Iterator[None]:
        """Report a step before it, then record its duration and save the results."""
        if self._is_cancelled():
            raise Cancelled
        self._report(what)
        before = time.monotonic()
        yield
        self._estimator.record(kind, name, case, time.monotonic() - before)
        self._record.keep_if_due()

    def _kinds_of_limits(self) -> list[tuple[str, str]]:
        return [kind for kind in self._kinds() if kind not in self._record.limits]

    def _kinds(self) -> list[tuple[str, str]]:
        requests = [case.request for case in self._plan.timed if self._plan.limits]
        return list(dict.fromkeys((request.device, request.dtype) for request in requests))
