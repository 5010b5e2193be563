"""Plans of small cases with fake kernels, and what their tests need to know of a run."""

from __future__ import annotations

from dataclasses import replace

import psutil

from attnpanel.bench.certify.cases import Case
from attnpanel.bench.run.planning import Plan
from attnpanel.bench.run.records import BenchRun, Timing
from attnpanel.kernels.request import Request

CASE = Case(Request(2, 3, 3, 5, 7, 11, 13))
CAUSAL = Case(Request(2, 3, 3, 5, 7, 11, 13, mask="causal"))
KERNELS = "tests.unit.bench.run.fake_kernels:"


def plan(*names: str, **changes) -> Plan:
    """Return a plan for these fake kernels that runs as short as possible."""
    default = Plan(
        preset="made",
        certified=(),
        timed=(CASE,),
        implementations=tuple(KERNELS + name for name in names),
        rounds=3,
        samples_per_round=2,
        row_budget_s=5.0,
        time_limit_s=20,
        limits=False,  # each measurement loads PyTorch, which takes seconds
    )
    return replace(default, **changes)


def timing(found: BenchRun, name: str, case: Case = CASE) -> Timing:
    """Return the timing of a fake kernel on a case."""
    (row,) = (
        row
        for row in found.timings
        if (row.implementation, row.case) == (KERNELS + name, case.name)
    )
    return row


def worker_processes() -> list[psutil.Process]:
    """Return the running child processes of this process that run a worker."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "attnpanel.bench.run.worker" in " ".join(process.cmdline())
    ]
