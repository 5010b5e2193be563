"""Run a plan on several machines: its parts on the workers of a Dask scheduler.

Each machine runs one worker, ``dask worker tcp://… --nthreads 1 --resources "timing=1"`` (and
``GPU=1`` if it has one), in an environment with the same packages. A part takes the whole resource,
so parts never share a worker. If a worker is lost, another one repeats its part.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnpanel.bench.measure.environment import describe
from attnpanel.bench.measure.machine import describe_machine, same_machine, stable_facts
from attnpanel.bench.run.execute import run
from attnpanel.bench.run.progress import Progress
from attnpanel.bench.run.recording import Record
from attnpanel.bench.run.records import Agreement, Timing
from attnpanel.bench.run.refusals import refuse_impossible_times

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from attnpanel.bench.measure.environment import Environment
    from attnpanel.bench.run.planning import Plan
    from attnpanel.bench.run.records import BenchRun

WORKER_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.2
# Time for running parts to return their results when a run is stopped.
STOP_TIMEOUT_S = 20.0


def run_on_cluster(
    plan: Plan,
    scheduler: str,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    cancelled: threading.Event | None = None,
    output: Path | None = None,
    resume: bool = False,
) -> BenchRun:
    """Run a plan on the workers of a Dask scheduler.

    A part is either all certificates of one implementation or one timed case with all
    implementations in turn. The loss of a worker neither loses nor duplicates a row.

    Parameters
    ----------
    plan, progress, cancelled, output, resume
        As in :func:`attnpanel.bench.run.execute.run`; progress counts parts.
    scheduler : str
        Address of the scheduler, ``tcp://…``.

    Raises
    ------
    ValueError
        If no worker offers the resource ``timing``, or the workers differ: the numbers of a run
        must come from one kind of machine.
    OSError
        If the scheduler can't be reached, or as in :func:`attnpanel.bench.run.execute.run`.
    """
    from distributed import Client

    with Client(scheduler, timeout=WORKER_TIMEOUT_S, set_as_default=False) as client:
        environment, machine = _describe_workers(client)
        record = Record(plan, output, resume=resume, environment=environment, machine=machine)
        return _ClusterRun(client, plan, record, progress, cancelled or threading.Event()).run()


def run_part(part: Plan, stop: str) -> BenchRun:
    """Run a part on a worker until it is done or the event of this name is set."""
    from distributed import Event, get_client

    # get_client() works in the task's thread only, not in the thread below.
    event = Event(stop, client=get_client())
    cancelled, done = threading.Event(), threading.Event()

    def watch_stop_event() -> None:
        while not done.wait(1.0):
            if event.is_set():
                cancelled.set()

    watcher = threading.Thread(target=watch_stop_event, daemon=True)
    watcher.start()
    try:
        return run(part, cancelled=cancelled)
    finally:
        done.set()
        watcher.join()


def parts_of(plan: Plan, record: Record) -> list[Plan]:
    """Return the remaining work as parts, each for one worker."""
    parts = []
    # Limits are measured once for each device and dtype, because the workers are alike.
    measured = set(record.limits)
    for name in plan.implementations:
        cases = tuple(case for case in plan.certified if (name, case.name) not in record.agreements)
        if cases:
            parts.append(replace(plan, certified=cases, timed=(), implementations=(name,)))
    for case in plan.timed:
        names = tuple(
            implementation
            for implementation in plan.implementations
            if not record.complete(implementation, case.name)
        )
        if names:
            timed = replace(plan, certified=(), timed=(case,), implementations=names)
            kind = case.request.device, case.request.dtype
            parts.append(replace(timed, limits=plan.limits and kind not in measured))
            measured.add(kind)
    return parts


class _ClusterRun:
    """A run on a cluster: submits its parts and collects their results."""

    def __init__(
        self,
        client: Any,
        plan: Plan,
        record: Record,
        progress: Callable[[Progress], None],
        cancelled: threading.Event,
    ) -> None:
        from distributed import Event

        self._client = client
        self._plan = plan
        self._record = record
        self._progress = progress
        self._cancelled = cancelled
        self._stop = f"stop {time.time_ns()}"
        self._event = Event(self._stop, client=client)
        self._parts = parts_of(plan, record)
        self._suspects: list[Plan] = []
        self._numbers = itertools.count()
        self._began = time.monotonic()

    def run(self) -> BenchRun:
        self._run_parts(self._parts, self._suspects.append)
        # Dask blames every part assigned to a lost worker, so each is retried alone.
        while self._suspects:
            self._run_parts([self._suspects.pop()], self._record_failure)
        refuse_impossible_times(self._record, self._plan)
        return self._record.keep(finished=not self._cancelled.is_set())

    def _run_parts(self, parts: list[Plan], lost: Callable[[Plan], None]) -> None:
        """Run parts until all are done or the run is cancelled; call `lost` for failed ones."""
        if self._cancelled.is_set():
            return
        pending = {self._submit(part): part for part in parts}
        try:
            while pending and not self._cancelled.is_set():
                self._report_progress(len(pending))
                self._collect(pending, POLL_INTERVAL_S, lost)
            if pending:
                self._event.set()
                self._collect(pending, STOP_TIMEOUT_S, lost, wait_for_all=True)
        except BaseException:
            # Cancelling a future does not stop a part that is running.
            with contextlib.suppress(Exception):
                self._event.set()
            raise
        finally:
            self._client.cancel(list(pending))
            self._record.keep(finished=False)

    def _submit(self, part: Plan) -> Any:
        resources = {"timing": 1}
        if any(case.request.device == "cuda" for case in part.cases):
            resources["GPU"] = 1
        return self._client.submit(
            run_part,
            part,
            self._stop,
            key=f"part {next(self._numbers)} {self._stop}",
            resources=resources,
        )

    def _collect(
        self,
        pending: dict[Any, Plan],
        within_s: float,
        lost: Callable[[Plan], None],
        *,
        wait_for_all: bool = False,
    ) -> None:
        from distributed import KilledWorker, wait
        from distributed.client import FuturesCancelledError

        try:
            with self._client.as_current(), contextlib.suppress(TimeoutError):
                wait(
                    list(pending),
                    timeout=within_s,
                    return_when="ALL_COMPLETED" if wait_for_all else "FIRST_COMPLETED",
                )
        except FuturesCancelledError:
            raise ConnectionError(
                "the scheduler was lost; the results so far are kept: continue with the same "
                "command and --resume"
            ) from None
        for future in [future for future in pending if future.done()]:
            part = pending.pop(future)
            try:
                self._merge(future.result())
            except KilledWorker:
                lost(part)
            self._record.keep_if_due()

    def _merge(self, found: BenchRun) -> None:
        """Add the results of a part to the record, unless already present."""
        record = self._record
        _check_alike([record.environment, found.environment])
        if not same_machine({**found.machine, "sources": ""}, {**record.machine, "sources": ""}):
            raise ValueError(
                "workers must be alike, for a run holds the numbers of one kind of machine; got "
                f"{stable_facts(record.machine)} and {stable_facts(found.machine)}"
            )
        for agreement in found.agreements:
            record.agreements.setdefault((agreement.implementation, agreement.case), agreement)
        for timing in found.timings:
            row = timing.implementation, timing.case
            if not record.complete(*row):
                record.timings[row] = timing
        record.machine.update(
            {name: words for name, words in found.machine.items() if name.startswith("limits of ")}
        )
        for limits in found.limits:
            record.limits.setdefault((limits.device, limits.dtype), limits)

    def _record_failure(self, part: Plan) -> None:
        """Record a part that killed its workers as crashed."""
        reason = "its part ended every worker that tried it"
        for name in part.implementations:
            for case in part.cases:
                row = name, case.name
                self._record.agreements.setdefault(
                    row, Agreement(*row, "error", "computed", (f"crashed: {reason}",), ())
                )
            for case in part.timed:
                row = name, case.name
                if not self._record.complete(*row):
                    self._record.timings[row] = Timing(*row, part.threads, "crashed", (reason,))

    def _report_progress(self, pending: int) -> None:
        left = pending + len(self._suspects)
        done = len(self._parts) - left
        taken_s = time.monotonic() - self._began
        self._progress(
            Progress(
                done=done,
                total=len(self._parts),
                what=f"{left} parts on the cluster",
                remaining_s=taken_s / done * left if done else None,
            )
        )


def _describe_workers(client: Any) -> tuple[Environment, dict[str, str]]:
    """Return environment and machine of the timing workers; raise if they differ."""
    client.wait_for_workers(1, timeout=WORKER_TIMEOUT_S)
    workers = client.scheduler_info(n_workers=-1)["workers"]
    timing_workers = [
        address for address, worker in workers.items() if worker["resources"].get("timing")
    ]
    if not timing_workers:
        raise ValueError(
            "a worker must offer the resource timing: start it with --resources timing=1; "
            f"got {len(workers)} workers without"
        )
    environments = list(client.run(describe, workers=timing_workers).values())
    _check_alike(environments)
    machines: list[dict[str, str]] = list(
        client.run(describe_machine, workers=timing_workers).values()
    )
    kinds = {str(stable_facts(machine)) for machine in machines}
    if len(kinds) > 1:
        raise ValueError(f"workers must be alike; got {' and '.join(sorted(kinds))}")
    return environments[0], machines[0]


def _check_alike(environments: list[Environment]) -> None:
    kinds = {
        (
            environment.cpu_model,
            environment.cores,
            environment.python,
            environment.commit,
            environment.dirty,
            tuple(sorted(environment.thread_variables.items())),
            tuple(sorted(environment.versions.items())),
        )
        for environment in environments
    }
    if len(kinds) > 1:
        raise ValueError(
            "workers must be alike, for a run holds the numbers of one kind of machine; got "
            + " and ".join(str(kind) for kind in sorted(kinds, key=str))
        )
