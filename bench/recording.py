"""The record of a run while it is made: kept in its file, and taken up again from there."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.bench_run import RUN_SCHEMA, BenchRun
from bench.environment import describe, load
from bench.machine import describe_machine
from bench.planning import LEAST_ROUNDS
from bench.results import read, write

if TYPE_CHECKING:
    from pathlib import Path

    from bench.bench_run import Agreement, Limits, Timing
    from bench.environment import Environment
    from bench.planning import Plan

# Writing may take this part of a run at most: a file of thousands of rows takes its time.
WRITING_SHARE = 0.05


class Record:
    """What was found so far, by implementation and case.

    Parameters
    ----------
    plan : Plan
    output : path or None
        Where it is kept; None keeps it nowhere.
    resume : bool
        Whether to go on from the file at `output`, where there is one.
    environment, machine : optional
        Where it is measured, if not in this process.

    Raises
    ------
    FileExistsError
        If there is a file at `output` and `resume` is False.
    ValueError
        If the file is damaged, or of another plan or machine.
    OSError
        If it can't be read or written: told before anything is measured.
    """

    def __init__(
        self,
        plan: Plan,
        output: Path | None,
        *,
        resume: bool,
        environment: Environment | None = None,
        machine: dict[str, str] | None = None,
    ) -> None:
        self._plan = plan
        self._output = output
        self._written_at = self._writing_s = 0.0
        self._finished = False
        self.agreements: dict[tuple[str, str], Agreement] = {}
        self.timings: dict[tuple[str, str], Timing] = {}
        self.limits: dict[tuple[str, str], Limits] = {}
        self.environment = environment or describe()
        self.machine = machine or describe_machine()
        if plan.cuda_graphs:
            self.machine["cuda graphs"] = "calls on a CUDA device are captured once and replayed"
        if output is not None and output.exists():
            if not resume:
                raise FileExistsError(
                    f"{output} exists: choose another name, or go on with it by --resume"
                )
            self._take_up(read(output, BenchRun), output)
        self.keep(finished=False)

    def run(self, *, finished: bool) -> BenchRun:
        """Return what was found so far, rows in the order of the plan."""
        plan = self._plan
        rows = [(name, case.name) for case in plan.cases for name in plan.implementations]
        timings = [self.timings.get(row) for row in rows]
        return BenchRun(
            schema=RUN_SCHEMA,
            preset=plan.preset,
            environment=replace(self.environment, load_after=load() if finished else None),
            cases=plan.cases,
            implementations=plan.implementations,
            agreements=tuple(self.agreements[row] for row in rows if row in self.agreements),
            timings=tuple(timing for timing in timings if timing is not None and _told(timing)),
            limits=tuple(self.limits.values()),
            machine=self.machine,
            finished=finished,
        )

    def keep(self, *, finished: bool) -> BenchRun:
        """Write what was found so far, and return it."""
        run = self.run(finished=finished)
        if self._output is not None:
            before = time.monotonic()
            try:
                write(run, self._output)
            except OSError as error:
                raise OSError(
                    f"{self._output} can't be written ({error.strerror or error}); what it held "
                    "before is still there: make room for it and go on by the same command"
                    " and --resume"
                ) from error
            self._written_at = time.monotonic()
            self._writing_s = self._written_at - before
        return run

    def keep_if_due(self) -> None:
        """Write after a step, unless writing would take more than its share of the time."""
        if time.monotonic() - self._written_at >= self._writing_s / WRITING_SHARE:
            self.keep(finished=False)

    def enough(self, implementation: str, case: str) -> bool:
        """Whether a row needs no further round."""
        timing = self.timings.get((implementation, case))
        if timing is None:
            return False
        rounds = len(set(timing.rounds))
        spent = sum(timing.wall_s) * timing.calls_per_sample
        return (
            timing.status != "timed"
            or rounds >= self._plan.rounds
            or (rounds >= LEAST_ROUNDS and spent >= self._plan.row_budget_s)
        )

    def complete(self, implementation: str, case: str) -> bool:
        """Whether nothing at all is left to do for a row that is timed."""
        timing = self.timings.get((implementation, case))
        return timing is not None and (
            self._finished
            or timing.status != "timed"
            or (self.enough(implementation, case) and timing.peak_bytes is not None)
        )

    def _take_up(self, run: BenchRun, output: Path) -> None:
        plan = self._plan
        self._expect_the_same(run, output)
        self.environment, self.machine = run.environment, run.machine
        self._finished = run.finished
        self.agreements = {(one.implementation, one.case): one for one in run.agreements}
        self.timings = {
            (one.implementation, one.case): one
            for one in run.timings
            # Samples of an old file lack what stands beside: an unfinished run takes them anew.
            if run.finished or not one.wall_s or _whole(one)
        }
        self.limits = {(one.device, one.dtype): one for one in run.limits}
        threads = {one.threads for one in run.timings} | {one.threads for one in run.limits}
        threads -= {plan.threads}
        if threads:
            raise ValueError(
                f"{output} was begun with threads {sorted(threads)}; got {plan.threads}"
            )

    def _expect_the_same(self, run: BenchRun, output: Path) -> None:
        here, plan = self.environment, self._plan
        pairs = {
            "preset": (run.preset, plan.preset),
            "implementations": (run.implementations, plan.implementations),
            "cases": (
                tuple(case.name for case in run.cases),
                tuple(case.name for case in plan.cases),
            ),
            "CUDA graphs": ("cuda graphs" in run.machine, plan.cuda_graphs),
            **{
                name: (getattr(run.environment, name), getattr(here, name))
                for name in ("cpu_model", "cores", "python", "versions", "commit")
            },
        }
        for what, (there, now) in pairs.items():
            if there != now:
                raise ValueError(
                    f"{output} can only be resumed as it was begun: its {what} is "
                    f"{_short(there)}; got {_short(now)}"
                )


def _told(timing: Timing) -> bool:
    """Whether a row says anything yet: one that is only warm does not."""
    return timing.status != "timed" or bool(timing.wall_s)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _whole(timing: Timing) -> bool:
    """Whether samples have beside them what this schema keeps; on a device that is no yardstick."""
    return bool(timing.waited_s) and len(timing.yardstick_s) == len(timing.copy_yardstick_s)
