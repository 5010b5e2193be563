"""Refuse times that are not those of the work: beyond the machine's limit, or of another clock."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.measure.flop_count import flops, minimal_bytes
from attnpanel.bench.measure.roofline import share_of_limit
from attnpanel.bench.run.records import Timing

if TYPE_CHECKING:
    from attnpanel.bench.run.planning import Plan
    from attnpanel.bench.run.recording import Record
    from attnpanel.bench.run.records import Limits
    from attnpanel.bench.run.visits import Visit

# Beyond the errors that the samples of limit and row show.
MIN_TOLERANCE: Final = 0.05
# What receiving a request and sending an answer take, which is not in the duration of a visit.
ANSWER_S, ANSWER_SHARE = 3e-3, 0.25


@dataclass
class ClockComparison:
    """Compare a process's clock with its CPU time, which the parent reads from the kernel.

    A thread can't use more CPU time than passes; waiting for a core makes the difference larger.
    """

    hidden_s: list[float] = field(default_factory=list)
    sampled_s: list[float] = field(default_factory=list)

    def add(self, visit: Visit, cpu_s: float) -> None:
        """Add one visit and the CPU time of the process's main thread meanwhile."""
        self.hidden_s.append(cpu_s - visit.elapsed_s)
        self.sampled_s.append(sum(visit.wall_s))

    def disagreement(self) -> str:
        """Return why the clock can't be trusted; empty if nothing speaks against it."""
        if not self.hidden_s:
            return ""
        hidden, sampled = statistics.median(self.hidden_s), statistics.median(self.sampled_s)
        if hidden <= ANSWER_S + ANSWER_SHARE * sampled:
            return ""
        return (
            "the clock of a process must show at least the CPU time that the kernel counts; half "
            f"of the visits took {hidden * 1e3:.3g} ms more CPU time than time"
        )


def refuse_impossible_times(record: Record, plan: Plan) -> None:
    """Refuse the rows of a record whose time is below the machine's limit."""
    for case in plan.timed:
        limits = record.limits.get((case.request.device, case.request.dtype))
        if limits is None:
            continue
        for name in plan.implementations:
            timing = record.timings.get((name, case.name))
            if timing is None or not timing.wall_s:
                continue
            share = share_of_limit(case.request, limits, timing)
            tolerance = tolerance_of(limits, timing)
            if share > 1 + tolerance:
                median = statistics.median(timing.own_s)
                reason = (
                    f"a time must be within {1 + tolerance:.0%} of the machine's limit; got "
                    f"{share:.0%}: {median * 1e3:.3g} ms, in which this machine can neither do "
                    f"{flops(case.request):.3g} operations nor move "
                    f"{minimal_bytes(case.request):.3g} bytes"
                )
                record.timings[name, case.name] = Timing(
                    name, case.name, timing.threads, "refused", (reason,)
                )


def tolerance_of(limits: Limits, timing: Timing) -> float:
    """Return the measuring error of a share of the limit.

    The error of the median of the samples, from their quartiles, and that of the fastest product:
    by how much it is faster than the third fastest.
    """
    own = np.array(timing.own_s) / np.array(timing.yardstick_s or 1.0)
    rates = np.array(limits.gemm_flops_per_s) * np.array(limits.gemm_yardstick_s or 1.0)
    low, median, high = np.quantile(own, [0.25, 0.5, 0.75])
    fastest = np.sort(rates)[-3:]
    error = (high - low) / (2 * median * math.sqrt(len(own))) + fastest[-1] / fastest[0] - 1
    return MIN_TOLERANCE + float(error)
