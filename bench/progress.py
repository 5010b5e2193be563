"""How far a run is, and how much longer it will take."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.work import flops

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.cases import Case

Kind = Literal["limits", "certify", "prepare", "sample"]
# What a step takes beside its arithmetic, in the arithmetic that takes as long.
STEP_FLOPS = 2e8
# Fewer say nothing about the others.
LEAST_STEPS = 3


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes
    ----------
    done, total : int
        Steps.
    what : str
        The step that is taken now, in words.
    remaining_s : float or None
        What the steps still to take will need, judged by those taken so far; None before
        there are enough to judge by.
    """

    done: int
    total: int
    what: str
    remaining_s: float | None


@dataclass(frozen=True)
class Step:
    """One thing a run does that takes time."""

    kind: Kind
    implementation: str
    case: str
    weight: float


class Pace:
    """The steps still to take, and how fast those taken went.

    A step is expected to take what steps of its kind took for its implementation, per unit of
    arithmetic; where that one has none yet, what they took for all; and before any step of the
    kind was taken, what all steps took.

    Parameters
    ----------
    steps : iterable of Step
    at_once : int, optional
        How many certificates are made at once.
    """

    def __init__(self, steps: Iterable[Step], at_once: int = 1) -> None:
        self._at_once = {"certify": at_once}
        self._left = list(steps)
        self._total = len(self._left)
        self._seconds: dict[tuple[str, str], float] = defaultdict(float)
        self._weights: dict[tuple[str, str], float] = defaultdict(float)

    def took(self, kind: Kind, implementation: str, case: str, seconds: float) -> None:
        """Note a step as taken."""
        for step in self._left:
            if (step.kind, step.implementation, step.case) == (kind, implementation, case):
                self._left.remove(step)
                for key in ((kind, implementation), (kind, ""), ("", "")):
                    self._seconds[key] += seconds
                    self._weights[key] += step.weight
                return

    def drop(self, implementation: str, case: str) -> None:
        """Note that nothing more is done for a row."""
        row = implementation, case
        self._left = [step for step in self._left if (step.implementation, step.case) != row]

    def at(self, what: str) -> Progress:
        """Return where the run is, about to do `what`."""
        return Progress(self._total - len(self._left), self._total, what, self._remaining_s())

    def _remaining_s(self) -> float | None:
        if self._total - len(self._left) < LEAST_STEPS or not self._weights:
            return None
        return sum(self._expected(step) / self._at_once.get(step.kind, 1) for step in self._left)

    def _expected(self, step: Step) -> float:
        keys = ((step.kind, step.implementation), (step.kind, ""), ("", ""))
        key = next(key for key in keys if self._weights.get(key))
        return step.weight * self._seconds[key] / self._weights[key]


def weight_of(case: Case) -> float:
    """Return how much a step on this case weighs, against one without arithmetic."""
    return 1 + flops(case.request) / STEP_FLOPS
