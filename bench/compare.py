"""Did it become faster? Two runs, row by row: FASTER, SLOWER, SAME or AMBIGUOUS."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.machine import lasting
from bench.tables import markdown, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.bench_run import BenchRun, Timing

Comparison = Literal["FASTER", "SLOWER", "SAME", "AMBIGUOUS"]
# Both must be exceeded: 5 % of 10 µs is the clock's, 30 µs of a second is nothing.
LEAST_RATIO = 1.05
LEAST_DIFFERENCE_S = 30e-6
BUSY_RATIO = 2.0
# A sample whose process got less of a core than this was waiting for others.
LEAST_CPU_SHARE = 0.9
RESAMPLES = 1000
CONFIDENCE = 0.98


@dataclass(frozen=True)
class Change:
    """One row of two runs, compared.

    Attributes
    ----------
    implementation, case : str
    verdict : {"FASTER", "SLOWER", "SAME", "AMBIGUOUS"}
    before_s, after_s : float
        Medians.
    ratio : float
        `after_s` over `before_s`.
    low, high : float
        98 % interval of the ratio, from the rounds.
    noisy : bool
        Whether most samples of either waited for a core.
    """

    implementation: str
    case: str
    verdict: Comparison
    before_s: float
    after_s: float
    ratio: float
    low: float
    high: float
    noisy: bool


def compare(before: BenchRun, after: BenchRun) -> tuple[list[Change], list[str]]:
    """Return the rows that both runs timed, compared, and what could not be, in words."""
    rows = {_row(one): one for one in before.timings}
    others = {_row(one): one for one in after.timings}
    changes = [
        change(rows[row], others[row], busy=before.environment.noisy or after.environment.noisy)
        for row in rows
        if row in others and rows[row].status == others[row].status == "timed"
    ]
    notes = []
    for row in {**rows, **others}:
        was, now = (found[row].status if row in found else "absent" for found in (rows, others))
        if was != now:
            notes.append(f"{row[0]}: {row[1]} (threads {row[2]}): {was} before, {now} after")
    return changes, _machines(before, after) + notes


def change(before: Timing, after: Timing, *, busy: bool = False) -> Change:
    """Compare one row.

    A row changed when its median and its faster quarter both moved the same way by at least 5 %
    and 30 µs, and the interval of the ratio of medians leaves 1 out. It is the same when the
    median did not move by that much. All else is ambiguous, and so is a row that mostly waited
    for a core. On a busy machine nothing below a factor of 2 is called a change: the same run
    made twice with four times more work than cores differed by 5 to 30 % in rows that had theirs.
    """
    (first, first_rounds, first_noisy), (second, second_rounds, second_noisy) = (
        _undisturbed(one) for one in (before, after)
    )
    low, high = _interval(first, first_rounds, second, second_rounds)
    medians = float(np.median(first)), float(np.median(second))
    moved = _moved(*medians)
    quarters = _moved(float(np.quantile(first, 0.25)), float(np.quantile(second, 0.25)))
    verdict: Comparison = "AMBIGUOUS"
    if moved == 0:
        verdict = "SAME"
    elif (
        moved == quarters
        and not low <= 1 <= high
        and not (first_noisy or second_noisy)
        and not (busy and max(medians) < BUSY_RATIO * min(medians))
    ):
        verdict = "SLOWER" if moved > 0 else "FASTER"
    return Change(
        before.implementation,
        before.case,
        verdict,
        *medians,
        ratio=medians[1] / medians[0],
        low=low,
        high=high,
        noisy=first_noisy or second_noisy,
    )


def compare_table(before: BenchRun, after: BenchRun) -> str:
    """Return a comparison as Markdown."""
    changes, notes = compare(before, after)
    rows = [
        [
            one.verdict + (" (noisy)" if one.noisy else ""),
            plain(one.implementation),
            one.case,
            f"{one.before_s * 1e3:.3f}",
            f"{one.after_s * 1e3:.3f}",
            f"{one.ratio:.3f}",
            f"{one.low:.3f}–{one.high:.3f}",
        ]
        for one in sorted(changes, key=lambda one: (one.verdict == "SAME", -abs(one.ratio - 1)))
    ]
    head = ["verdict", "implementation", "case", "before ms", "after ms", "ratio", "98 %"]
    counts = ", ".join(
        f"{sum(one.verdict == verdict for one in changes)} {verdict}"
        for verdict in ("FASTER", "SLOWER", "SAME", "AMBIGUOUS")
    )
    if changes:
        usual = statistics.median(one.ratio for one in changes)
        counts += f"; the median ratio of all rows is {usual:.3f}"
    parts = [markdown(head, rows)] if rows else []
    return "\n\n".join(
        [*parts, counts, *(["\n".join(f"- {plain(note)}" for note in notes)] * bool(notes))]
    )


def _row(timing: Timing) -> tuple[str, str, int]:
    return timing.implementation, timing.case, timing.threads


def _machines(before: BenchRun, after: BenchRun) -> list[str]:
    notes = []
    for what in ("cpu_model", "cores", "python", "versions", "thread_variables", "commit"):
        was, now = (getattr(run.environment, what) for run in (before, after))
        if was != now:
            notes.append(f"{what} differs: {was} before, {now} after")
    first, second = lasting(before.machine), lasting(after.machine)
    for what in {**first, **second}:
        was, now = (machine.get(what, "none") for machine in (first, second))
        if was != now:
            notes.append(f"{what} differs: {was} before, {now} after")
    return [
        *notes,
        *(
            f"the run {when} was made on a busy machine"
            for when, run in (("before", before), ("after", after))
            if run.environment.noisy
        ),
    ]


def _undisturbed(timing: Timing) -> tuple[NDArray[np.float64], NDArray[np.int_], bool]:
    """Return the samples that had their cores, their rounds, and whether they are the fewer."""
    wall, cpu = np.array(timing.wall_s), np.array(timing.cpu_s)
    rounds = np.array(timing.rounds)
    had = cpu >= LEAST_CPU_SHARE * wall
    if timing.clock == "cuda" or had.all():
        return wall, rounds, False
    if had.sum() * 2 < len(wall):
        return wall, rounds, True
    return wall[had], rounds[had], False


def _moved(before_s: float, after_s: float) -> int:
    """Return 1 or -1 where a time became longer or shorter by enough to count, else 0."""
    more, less = max(before_s, after_s), min(before_s, after_s)
    if more < LEAST_RATIO * less or more - less < LEAST_DIFFERENCE_S:
        return 0
    return 1 if after_s > before_s else -1


def _interval(
    first: NDArray[np.float64],
    first_rounds: NDArray[np.int_],
    second: NDArray[np.float64],
    second_rounds: NDArray[np.int_],
) -> tuple[float, float]:
    """Return the bootstrap interval of the ratio of medians.

    Rounds are drawn, not samples: those of one round share whatever happened meanwhile.
    """
    generator = np.random.default_rng(0)
    ratios = _drawn_medians(second, second_rounds, generator) / _drawn_medians(
        first, first_rounds, generator
    )
    low, high = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _drawn_medians(
    samples: NDArray[np.float64], rounds: NDArray[np.int_], generator: np.random.Generator
) -> NDArray[np.float64]:
    medians = np.array([np.median(samples[rounds == one]) for one in np.unique(rounds)])
    drawn = generator.integers(len(medians), size=(RESAMPLES, len(medians)))
    return np.asarray(np.median(medians[drawn], axis=1))
