"""Progress of a run and an estimate of its remaining time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from attnpanel.bench.measure.flop_count import flops

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.run.planning import Plan
    from attnpanel.bench.run.recording import Record

Kind = Literal["limits", "certify", "prepare", "sample"]
# The fixed cost of a step, expressed as floating-point operations.
STEP_FLOPS = 2e8
# Steps needed before the remaining time is estimated.
MIN_STEPS = 3
LIMITS = "the machine's limits"
# A sample is two calls, a certificate or a preparation dozens; used until a sample was timed.
SAMPLE_WEIGHT = 0.1


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Attributes
    ----------
    done, total : int
        Number of steps.
    what : str
        The current step, in words.
    remaining_s : float or None
        Estimated from the steps done so far; None until `MIN_STEPS` are done.
    """

    done: int
    total: int
    what: str
    remaining_s: float | None


@dataclass(frozen=True)
class Step:
    """One step of a run; its weight is its expected relative duration."""

    kind: Kind
    implementation: str
    case: str
    weight: float


class ProgressEstimator:
    """Tracks the remaining steps and estimates their duration.

    The expected time of a step is its weight times the mean time per weight of steps of its kind
    and implementation; without any, of steps of its kind; without any, of all steps.

    Parameters
    ----------
    steps : iterable of Step
    concurrency : int, optional
        Number of certificates made in parallel.
    """

    def __init__(self, steps: Iterable[Step], concurrency: int = 1) -> None:
        self._at_once = {"certify": concurrency}
        self._left = list(steps)
        self._total = len(self._left)
        self._seconds: dict[tuple[str, str], float] = defaultdict(float)
        self._weights: dict[tuple[str, str], float] = defaultdict(float)

    def record(self, kind: Kind, implementation: str, case: str, seconds: float) -> None:
        """Record that a step is done."""
        for step in self._left:
            if (step.kind, step.implementation, step.case) == (kind, implementation, case):
                self._left.remove(step)
                for key in ((kind, implementation), (kind, ""), ("", "")):
                    self._seconds[key] += seconds
                    self._weights[key] += step.weight
                return

    def drop(self, implementation: str, case: str) -> None:
        """Remove the remaining steps of a row."""
        row = implementation, case
        self._left = [step for step in self._left if (step.implementation, step.case) != row]

    def at(self, what: str) -> Progress:
        """Return the progress before the step `what`."""
        return Progress(self._total - len(self._left), self._total, what, self._remaining_s())

    def _remaining_s(self) -> float | None:
        if self._total - len(self._left) < MIN_STEPS or not self._weights:
            return None
        return sum(self._expected(step) / self._at_once.get(step.kind, 1) for step in self._left)

    def _expected(self, step: Step) -> float:
        keys = ((step.kind, step.implementation), (step.kind, ""), ("", ""))
        key = next(key for key in keys if self._weights.get(key))
        return step.weight * self._seconds[key] / self._weights[key]


def weight_of(case: Case) -> float:
    """Return the weight of a step on this case, relative to one without arithmetic."""
    return 1 + flops(case.request) / STEP_FLOPS


def remaining_steps(
    plan: Plan, record: Record, limits: Iterable[tuple[str, str]]
) -> Iterator[Step]:
    """Yield the steps that a record lacks, as far as known; `limits` are devices and dtypes."""
    for device, dtype in limits:
        yield Step("limits", LIMITS, f"{device} {dtype}", 1.0)
    for case in plan.cases:
        for name in plan.implementations:
            if (name, case.name) not in record.agreements:
                yield Step("certify", name, case.name, weight_of(case))
    for case in plan.timed:
        for name in plan.implementations:
            if not record.complete(name, case.name):
                yield Step("prepare", name, case.name, weight_of(case))
                for _ in range(plan.rounds):
                    yield Step("sample", name, case.name, SAMPLE_WEIGHT * weight_of(case))
