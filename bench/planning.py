"""What a run shall measure: its cases, its implementations and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.cases import Case

# Fewer rounds say too little about the spread between them: with five, two of them trimmed, what a
# comparison can tell is 2.5 times as coarse as with eight.
LEAST_ROUNDS = 8


@dataclass(frozen=True)
class Plan:
    """What one run measures.

    Attributes
    ----------
    preset : str
        Its name, for the record.
    certified : tuple of Case
        Certified, not timed.
    timed : tuple of Case
        Certified and then timed; their names differ from those of `certified`.
    implementations : tuple of str
        Names from the table of kernels, or ``module:NAME`` of an Implementation elsewhere.
    threads : int
        What every implementation, and the measured limits, may use.
    rounds, samples_per_round : int
        A round visits every implementation in turn.
    row_budget_s : float
        A row gets no further round once its samples took this long and it has eight rounds.
    time_limit_s : float
        The most seconds one certificate, one preparation or one visit may take.
    memory_limit_bytes : int or None
        The most memory one implementation's process may hold; None is four fifths of what is
        available when it starts.
    limits : bool
        Whether the machine's limits are measured beside what is timed.
    cuda_graphs : bool
        Whether calls on a CUDA device are captured once and replayed.
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

    def __post_init__(self) -> None:
        least = {
            "threads": self.threads,
            "rounds": self.rounds,
            "samples_per_round": self.samples_per_round,
        }
        if any(number < 1 for number in least.values()):
            raise ValueError(f"threads, rounds and samples_per_round must be >= 1; got {least}")
        if not (self.row_budget_s > 0 and self.time_limit_s > 0):
            raise ValueError(
                "row_budget_s and time_limit_s must be positive; "
                f"got {self.row_budget_s} and {self.time_limit_s}"
            )
        for what, names in (
            ("implementations", list(self.implementations)),
            ("cases", [case.name for case in self.cases]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if not names or twice:
                raise ValueError(f"{what} must be at least one, each once; got twice: {twice}")

    @property
    def cases(self) -> tuple[Case, ...]:
        """Every case there is: those that are only certified, then the timed ones."""
        return self.certified + self.timed
