"""The plan of a run: cases, implementations and limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnpanel.bench.measure.environment import available_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnpanel.bench.certify.cases import Case

# Fewer rounds estimate their spread too poorly: with five, of which two are trimmed, the resolution
# of a comparison is 2.5 times as coarse as with eight.
MIN_ROUNDS = 8
# More parallel certificates gain little: they share the memory bandwidth.
MAX_CONCURRENT = 4


@dataclass(frozen=True)
class Plan:
    """The cases and implementations of a run, and its limits.

    Attributes
    ----------
    preset : str
        Name of the preset, kept in the result.
    certified : tuple of Case
        Certified only.
    timed : tuple of Case
        Certified and then timed; disjoint from `certified`.
    implementations : tuple of str
        Names in `IMPLEMENTATIONS`, or ``module:NAME`` of another Implementation.
    threads : int
        Threads of every implementation and of the measured limits.
    rounds, samples_per_round : int
        A round visits every implementation in turn.
    row_budget_s : float
        A row with at least `MIN_ROUNDS` rounds gets no more once its samples took this long.
    time_limit_s : float
        Limit of one certificate, one preparation or one visit.
    memory_limit_bytes : int or None
        Memory limit of one implementation's process; None is four fifths of the memory available
        when it starts.
    limits : bool
        Whether the limits of the machine are measured too.
    cuda_graphs : bool
        Whether calls on a CUDA device are captured once and replayed.
    gradients : bool
        Whether gradients are certified, too, in the dtypes of the plan. They are timed where
        `timed` has their directions.
    processes : int
        Processes that share the rounds of a row, one after the other: two processes of one program
        may differ by more than their rounds do. What compiles has one.
    run_limit_s : float or None
        Limit of the whole run: the timed cases are certified and timed in their order, on a device
        one after the other, and what is not reached says so.
    """

    preset: str
    certified: tuple[Case, ...]
    timed: tuple[Case, ...]
    implementations: tuple[str, ...]
    threads: int = 1
    rounds: int = 14
    samples_per_round: int = 1
    row_budget_s: float = 5.0
    time_limit_s: float = 120.0
    memory_limit_bytes: int | None = None
    limits: bool = True
    cuda_graphs: bool = False
    processes: int = 1
    gradients: bool = False
    run_limit_s: float | None = None

    def __post_init__(self) -> None:
        least = {
            "threads": self.threads,
            "rounds": self.rounds,
            "samples_per_round": self.samples_per_round,
            "processes": self.processes,
        }
        if any(number < 1 for number in least.values()):
            raise ValueError(
                f"threads, rounds, samples_per_round and processes must be >= 1; got {least}"
            )
        seconds = {
            "row_budget_s": self.row_budget_s,
            "time_limit_s": self.time_limit_s,
            "run_limit_s": math.inf if self.run_limit_s is None else self.run_limit_s,
        }
        if not all(value > 0 for value in seconds.values()):
            raise ValueError(f"{', '.join(seconds)} must be positive; got {seconds}")
        for what, names in (
            ("implementations", list(self.implementations)),
            ("cases", [case.name for case in self.cases]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if not names or twice:
                raise ValueError(f"{what} must be at least one, each once; got twice: {twice}")

    def process_of(self, number: int) -> int:
        """Return the number of the process that takes a round.

        All processes have their turn within `MIN_ROUNDS`, after which a row may end; the last takes
        the rounds after them.
        """
        return min(number * self.processes // min(self.rounds, MIN_ROUNDS), self.processes - 1)

    @property
    def cases(self) -> tuple[Case, ...]:
        """All cases: those only certified, then those timed."""
        return self.certified + self.timed


def group_cases(cases: Sequence[Case]) -> list[Sequence[Case]]:
    """Return the groups of cases that share their rounds."""
    if all(case.request.device == "cpu" for case in cases):
        return [cases]
    return [(case,) for case in cases]


def concurrency(plan: Plan) -> int:
    """Return the number of parallel certificates; on a device, one."""
    if any(case.request.device != "cpu" for case in plan.cases):
        return 1
    return max(1, min(available_cores() // plan.threads, MAX_CONCURRENT))
