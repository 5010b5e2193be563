"""The record of a run in progress: saved to a file and resumed from it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from attnpanel.bench.measure.environment import describe, load
from attnpanel.bench.measure.machine import (
    describe_machine,
    same_machine,
    sources_digest,
    stable_facts,
)
from attnpanel.bench.run.planning import MIN_ROUNDS
from attnpanel.bench.run.records import RUN_SCHEMA, BenchRun
from attnpanel.bench.run.serialization import read, write

if TYPE_CHECKING:
    from pathlib import Path

    from attnpanel.bench.measure.environment import Environment
    from attnpanel.bench.run.planning import Plan
    from attnpanel.bench.run.records import Agreement, GradientAgreement, Limits, Timing

# Limit of the time spent on writing: a file of thousands of rows takes a while.
WRITING_SHARE = 0.05
SAME_ENVIRONMENT = (
    "cpu_model",
    "cores",
    "python",
    "versions",
    "commit",
    "dirty",
    "thread_variables",
)


class Record:
    """The results so far, by implementation and case.

    Parameters
    ----------
    plan : Plan
    output : path or None
        File to save to; None saves nothing.
    resume : bool
        Whether to continue the file at `output`, if it exists.
    environment, machine : optional
        Facts about the machine that measures, if it is not this one.

    Raises
    ------
    FileExistsError
        If there is a file at `output` and `resume` is False.
    ValueError
        If the file is damaged, or of another plan or machine.
    OSError
        If it can't be read or written; raised before anything is measured.
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
        self.gradients: dict[tuple[str, str], GradientAgreement] = {}
        self.timings: dict[tuple[str, str], Timing] = {}
        self.limits: dict[tuple[str, str], Limits] = {}
        self.environment = environment or describe()
        self.machine = machine or describe_machine()
        modules = [name.rpartition(":")[0] for name in plan.implementations if ":" in name]
        if modules and machine is None:
            self.machine["sources"] = sources_digest(sorted(set(modules)))
        if plan.cuda_graphs:
            self.machine["cuda graphs"] = "calls on a CUDA device are captured once and replayed"
        if output is not None and output.exists():
            if not resume:
                raise FileExistsError(
                    f"{output} exists: choose another name, or continue it with --resume"
                )
            self._resume(read(output, BenchRun), output)
        self.keep(finished=False)

    def run(self, *, finished: bool) -> BenchRun:
        """Return the results so far, with rows in the order of the plan."""
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
            timings=tuple(
                timing for timing in timings if timing is not None and _has_content(timing)
            ),
            limits=tuple(self.limits.values()),
            machine=self.machine,
            finished=finished,
            gradients=tuple(self.gradients.values()),
        )

    def keep(self, *, finished: bool) -> BenchRun:
        """Save the results so far and return them."""
        run = self.run(finished=finished)
        if self._output is not None:
            before = time.monotonic()
            try:
                write(run, self._output)
            except OSError as error:
                raise OSError(
                    f"{self._output} can't be written ({error.strerror or error}); its previous "
                    "content is kept: free some space and continue with the same command"
                    " and --resume"
                ) from error
            self._written_at = time.monotonic()
            self._writing_s = self._written_at - before
        return run

    def keep_if_due(self) -> None:
        """Save after a step, unless writing would exceed `WRITING_SHARE` of the time."""
        if time.monotonic() - self._written_at >= self._writing_s / WRITING_SHARE:
            self.keep(finished=False)

    def enough(self, implementation: str, case: str) -> bool:
        """Whether a row needs no more rounds."""
        timing = self.timings.get((implementation, case))
        if timing is None:
            return False
        rounds = len(set(timing.rounds))
        spent = sum(timing.wall_s) * timing.calls_per_sample
        return (
            timing.status != "timed"
            or rounds >= self._plan.rounds
            or (rounds >= MIN_ROUNDS and spent >= self._plan.row_budget_s)
        )

    def complete(self, implementation: str, case: str) -> bool:
        """Whether a timed row is complete, memory included."""
        timing = self.timings.get((implementation, case))
        return timing is not None and (
            self._finished
            or timing.status != "timed"
            or (self.enough(implementation, case) and timing.peak_bytes is not None)
        )

    def _resume(self, run: BenchRun, output: Path) -> None:
        plan = self._plan
        self._check_same_plan(run, output)
        self.environment, self.machine = run.environment, run.machine
        self._finished = run.finished
        self.agreements = {
            (agreement.implementation, agreement.case): agreement for agreement in run.agreements
        }
        self.gradients = {(one.implementation, one.case): one for one in run.gradients}
        self.timings = {
            (timing.implementation, timing.case): timing
            for timing in run.timings
            # Samples of old schemas lack columns: an unfinished run repeats them.
            if run.finished or not timing.wall_s or _has_all_columns(timing)
        }
        self.limits = {(limits.device, limits.dtype): limits for limits in run.limits}
        threads = {timing.threads for timing in run.timings} | {
            limits.threads for limits in run.limits
        }
        threads -= {plan.threads}
        if threads:
            raise ValueError(
                f"{output} was started with threads {sorted(threads)}; got {plan.threads}"
            )

    def _check_same_plan(self, run: BenchRun, output: Path) -> None:
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
                for name in SAME_ENVIRONMENT
            },
        }
        if not same_machine(run.machine, self.machine):
            pairs["machine"] = (stable_facts(run.machine), stable_facts(self.machine))
        for what, (there, now) in pairs.items():
            if there != now:
                raise ValueError(
                    f"{output} can only be resumed with the same plan and machine: its {what} is "
                    f"{_short(there)}; got {_short(now)}"
                )


def _has_content(timing: Timing) -> bool:
    """Whether a row has a result; a row that is only warmed up has none."""
    return timing.status != "timed" or bool(timing.wall_s)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _has_all_columns(timing: Timing) -> bool:
    """Whether samples have all columns of this schema; on a device there is no workload time."""
    return bool(timing.waited_s) and len(timing.yardstick_s) == len(timing.copy_yardstick_s)
