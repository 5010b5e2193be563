"""How a case is prepared and visited, and the samples of visits in a row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from attnpanel.bench.measure.clocks import Sample
    from attnpanel.bench.run.fresh_inputs import Variation
    from attnpanel.bench.run.records import Timing
    from attnpanel.bench.run.timed_results import ResultObserver

COLUMNS = ("wall_s", "cpu_s", "waited_s", "page_faults", "yardstick_s", "copy_yardstick_s")


class Taken(NamedTuple):
    """A sample, its reference workload, the work around it, and its results to be judged."""

    sample: Sample
    pace: tuple[float, float] | None
    outside_s: float
    observed: list[tuple[ResultObserver[Any], list[Variation]]]


@dataclass(frozen=True)
class PrepareOptions:
    """How a case is prepared.

    Attributes
    ----------
    cuda_graphs : bool
        Whether calls are captured once, outside the clock, and replayed.
    check : bool
        Whether to check that calls compute; once for a row is enough.
    """

    cuda_graphs: bool = False
    check: bool = True


@dataclass(frozen=True)
class Prepared:
    """The result of warming a case up.

    Attributes
    ----------
    clock : {"cpu", "cuda"}
    compile_s : float or None
        Duration of the first call if the implementation compiles.
    warmup_s : tuple of float
    calls_per_sample : int
    """

    clock: Literal["cpu", "cuda"]
    compile_s: float | None
    warmup_s: tuple[float, ...]
    calls_per_sample: int


@dataclass(frozen=True)
class Visit:
    """The samples of one visit; fields as in :class:`attnpanel.bench.run.records.Timing`.

    `elapsed_s` is the duration of the whole visit by the clock of the samples.
    """

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    waited_s: tuple[float, ...]
    page_faults: tuple[float, ...]
    yardstick_s: tuple[float, ...]
    copy_yardstick_s: tuple[float, ...]
    prepare_s: float
    judged: int
    elapsed_s: float = 0.0


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
