"""Add the samples of visits to a row."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnpanel.bench.run.records import Timing
    from attnpanel.bench.run.warm_case import Visit

COLUMNS = ("wall_s", "cpu_s", "waited_s", "page_faults", "yardstick_s", "copy_yardstick_s")


def number_of_next_round(timing: Timing) -> int:
    """Return the number of the next round of a row."""
    return max(timing.rounds, default=-1) + 1


def with_visit(timing: Timing, visit: Visit, process: int) -> Timing:
    """Return a row with the samples of one more round, taken by this process.

    Raises
    ------
    ValueError
        If a sample is not a positive time.
    """
    count = len(visit.wall_s)
    return replace(
        timing,
        **{name: getattr(timing, name) + getattr(visit, name) for name in COLUMNS},
        rounds=timing.rounds + (number_of_next_round(timing),) * count,
        processes=timing.processes + (process,) * count,
        prepare_s=visit.prepare_s,
        judged=timing.judged + visit.judged,
    )
