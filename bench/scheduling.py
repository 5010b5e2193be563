"""A run on more than one machine: parts of the plan on the workers of a Dask scheduler.

Each machine runs one worker, ``dask worker tcp://… --nthreads 1 --resources "timing=1"`` (and
``GPU=1`` where it has one), in an environment with the same packages. A part takes the whole of
the resource, so that timings never share a worker, and a worker that is lost has its part done
anew by another.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.bench_run import Agreement, Timing
from bench.environment import describe
from bench.machine import describe_machine, lasting
from bench.progress import Progress
from bench.recording import Record
from bench.running import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.bench_run import BenchRun
    from bench.environment import Environment
    from bench.planning import Plan

WORKERS_WITHIN_S = 30.0
HEARD_EVERY_S = 0.2
# What is under way when a run is stopped has this long to hand in what it has.
STOPPED_WITHIN_S = 20.0


def run_on_cluster(
    plan: Plan,
    scheduler: str,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    cancelled: threading.Event | None = None,
    output: Path | None = None,
    resume: bool = False,
) -> BenchRun:
    """Carry a plan out on the workers of a Dask scheduler.

    A part is all the certificates of one implementation, or one timed case with all
    implementations in turn. Nothing is lost with a worker, and no row comes twice.

    Parameters
    ----------
    plan, progress, cancelled, output, resume
        As in :func:`bench.running.run`; progress counts parts.
    scheduler : str
        Its address, ``tcp://…``.

    Raises
    ------
    ValueError
        If no worker offers the resource ``timing``, or the workers are not alike: a run holds
        the numbers of one kind of machine.
    OSError
        If the scheduler can't be reached, or as in :func:`bench.running.run`.
    """
    from distributed import Client

    with Client(scheduler, timeout=WORKERS_WITHIN_S, set_as_default=False) as client:
        environment, machine = _one_kind_of_machine(client)
        record = Record(plan, output, resume=resume, environment=environment, machine=machine)
        return _Parts(client, plan, record, progress, cancelled or threading.Event()).run()


def run_part(part: Plan, stop: str) -> BenchRun:
    """Carry a part out, on a worker, until it is done or the event of this name is set."""
    from distributed import Event, get_client

    # The client is looked up here: the thread below belongs to no task.
    event = Event(stop, client=get_client())
    cancelled, done = threading.Event(), threading.Event()

    def listen() -> None:
        while not done.wait(1.0):
            if event.is_set():
                cancelled.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        return run(part, cancelled=cancelled)
    finally:
        done.set()
        listener.join()


def parts_of(plan: Plan, record: Record) -> list[Plan]:
    """Return what is still to do, in parts that a worker does alone."""
    parts = []
    # Once for each device and dtype: the workers are alike.
    measured = set(record.limits)
    for name in plan.implementations:
        cases = tuple(one for one in plan.certified if (name, one.name) not in record.agreements)
        if cases:
            parts.append(replace(plan, certified=cases, timed=(), implementations=(name,)))
    for case in plan.timed:
        names = tuple(one for one in plan.implementations if not record.complete(one, case.name))
        if names:
            timed = replace(plan, certified=(), timed=(case,), implementations=names)
            kind = case.request.device, case.request.dtype
            parts.append(replace(timed, limits=plan.limits and kind not in measured))
            measured.add(kind)
    return parts


class _Parts:
    """The parts of one run on their way through a cluster."""

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
        self._carry_out(self._parts, self._suspects.append)
        # Dask blames all parts that a lost worker was given, so each is tried again by itself.
        while self._suspects:
            self._carry_out([self._suspects.pop()], self._give_up)
        return self._record.keep(finished=not self._cancelled.is_set())

    def _carry_out(self, parts: list[Plan], lost: Callable[[Plan], None]) -> None:
        """Have parts done until all are or the run is stopped; `lost` hears of those that can't."""
        if self._cancelled.is_set():
            return
        pending = {self._submit(part): part for part in parts}
        try:
            while pending and not self._cancelled.is_set():
                self._tell(len(pending))
                self._take_in(pending, HEARD_EVERY_S, lost)
            if pending:
                self._event.set()
                self._take_in(pending, STOPPED_WITHIN_S, lost, all_of_them=True)
        except BaseException:
            # Cancelling takes no part off a worker that is at it already.
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

    def _take_in(
        self,
        pending: dict[Any, Plan],
        within_s: float,
        lost: Callable[[Plan], None],
        *,
        all_of_them: bool = False,
    ) -> None:
        from distributed import KilledWorker, wait
        from distributed.client import FuturesCancelledError

        try:
            with self._client.as_current(), contextlib.suppress(TimeoutError):
                wait(
                    list(pending),
                    timeout=within_s,
                    return_when="ALL_COMPLETED" if all_of_them else "FIRST_COMPLETED",
                )
        except FuturesCancelledError:
            raise ConnectionError(
                "the scheduler was lost; what is done is kept: go on by the same "
                "command and --resume"
            ) from None
        for future in [one for one in pending if one.done()]:
            part = pending.pop(future)
            try:
                self._merge(future.result())
            except KilledWorker:
                lost(part)
            self._record.keep_if_due()

    def _merge(self, found: BenchRun) -> None:
        """Take in what a part found, unless it is there already."""
        record = self._record
        _check_alike([record.environment, found.environment])
        for one in found.agreements:
            record.agreements.setdefault((one.implementation, one.case), one)
        for timing in found.timings:
            row = timing.implementation, timing.case
            if not record.complete(*row):
                record.timings[row] = timing
        for limits in found.limits:
            record.limits.setdefault((limits.device, limits.dtype), limits)

    def _give_up(self, part: Plan) -> None:
        """Note a part that takes its workers with it."""
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

    def _tell(self, pending: int) -> None:
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


def _one_kind_of_machine(client: Any) -> tuple[Environment, dict[str, str]]:
    """Return what the workers that time are, if they are alike."""
    client.wait_for_workers(1, timeout=WORKERS_WITHIN_S)
    workers = client.scheduler_info(n_workers=-1)["workers"]
    able = [address for address, one in workers.items() if one["resources"].get("timing")]
    if not able:
        raise ValueError(
            "a worker must offer the resource timing: start it with --resources timing=1; "
            f"got {len(workers)} workers without"
        )
    environments = list(client.run(describe, workers=able).values())
    _check_alike(environments)
    machines: list[dict[str, str]] = list(client.run(describe_machine, workers=able).values())
    kinds = {str(lasting(machine)) for machine in machines}
    if len(kinds) > 1:
        raise ValueError(f"workers must be alike; got {' and '.join(sorted(kinds))}")
    return environments[0], machines[0]


def _check_alike(environments: list[Environment]) -> None:
    kinds = {
        (one.cpu_model, one.cores, one.python, one.commit, tuple(sorted(one.versions.items())))
        for one in environments
    }
    if len(kinds) > 1:
        raise ValueError(
            "workers must be alike, for a run holds the numbers of one kind of machine; got "
            + " and ".join(str(kind) for kind in sorted(kinds, key=str))
        )
