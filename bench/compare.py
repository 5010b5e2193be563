"""Did it become faster? Two runs, row by row: FASTER, SLOWER, SAME or AMBIGUOUS."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.machine import lasting
from bench.tables import markdown, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.bench_run import BenchRun, Timing

Comparison = Literal["FASTER", "SLOWER", "SAME", "AMBIGUOUS"]
# Both must be exceeded: 5 % of 10 µs is the clock's, 30 µs of a second is nothing.
LEAST_RATIO = 1.05
LEAST_DIFFERENCE_S = 30e-6
# Rounds that can't tell this much apart say nothing.
WORST_RESOLUTION = 0.25
# Of the rounds at either end, as Yuen advises.
TRIMMED = 0.2
# How far two processes of the same program lie apart beyond what their rounds tell (where arrays
# and code happen to lie in memory), as the standard deviation of a logarithm: with it, 288 rows of
# the same code, of three pairs of runs, spread as Student's t says (docs/bench.md).
PROCESS_SPREAD = 0.012
# Student's t that 99 % stay within, both ways, by degrees of freedom; 30 serves for more.
STUDENT_99 = (
    *(63.66, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169),
    *(3.106, 3.055, 3.012, 2.977, 2.947, 2.921, 2.898, 2.878, 2.861, 2.845),
    *(2.831, 2.819, 2.807, 2.797, 2.787, 2.779, 2.771, 2.763, 2.756, 2.750),
)


@dataclass(frozen=True)
class Change:
    """One row of two runs, compared.

    Attributes
    ----------
    implementation, case : str
    verdict : {"FASTER", "SLOWER", "SAME", "AMBIGUOUS"}
    before_s, after_s : float
        Medians, without what was waited for a core.
    ratio : float
        How many times as long it takes after as before, against the yardsticks beside the samples.
    resolution : float
        The least change that these rounds tell from none: 0.12 is 12 %.
    """

    implementation: str
    case: str
    verdict: Comparison
    before_s: float
    after_s: float
    ratio: float
    resolution: float


def compare(before: BenchRun, after: BenchRun) -> tuple[list[Change], list[str]]:
    """Return the rows that both runs timed, compared, and what could not be, in words."""
    rows = {_row(one): one for one in before.timings}
    others = {_row(one): one for one in after.timings}
    pairs = [
        (rows[row], others[row])
        for row in rows
        if row in others and rows[row].status == others[row].status == "timed"
    ]
    drift = memory_drift(*zip(*pairs, strict=True)) if pairs else 0.0
    changes = [change(first, second, drift=drift) for first, second in pairs]
    notes = []
    if abs(drift) > math.log(LEAST_RATIO):
        notes.append(
            f"beside its cores, the machine's memory took {math.exp(drift):.2f} times as long "
            "after as before: a row may differ by as much, and is the same within that"
        )
    for row in {**rows, **others}:
        was, now = (found[row].status if row in found else "absent" for found in (rows, others))
        if was != now:
            notes.append(f"{row[0]}: {row[1]} (threads {row[2]}): {was} before, {now} after")
    return changes, _machines(before, after) + notes


def memory_drift(before: Sequence[Timing], after: Sequence[Timing]) -> float:
    """Return how much longer copying took after than before, as a logarithm, against computing.

    Of the yardsticks beside all samples; 0 where a run has none.
    """
    paces = [
        [
            copying / computing
            for row in rows
            # A file may lack either.
            for copying, computing in zip(row.copy_yardstick_s, row.yardstick_s, strict=False)
        ]
        for rows in (before, after)
    ]
    if not all(paces):
        return 0.0
    was, now = map(statistics.median, paces)
    return math.log(now / was)


def change(before: Timing, after: Timing, *, drift: float = 0.0) -> Change:
    """Compare one row.

    A sample counts without the time that it waited for a core, and in units of the yardsticks
    beside it. The rounds of the two runs differ among themselves, and two processes of the same
    program do, so the means differ by chance: the resolution is what 99 of 100 such differences
    stay below, and by how much the machine's memory became slower or faster than its cores on top
    of it (`drift`, see :func:`memory_drift`); 5 % at least. A row changed when it moved by more
    than that, and by 30 µs; else it is the same. It is ambiguous where the resolution is above
    25 %, as it is where a run has one round only.

    References
    ----------
    Yuen, "The two-sample trimmed t for unequal population variances", Biometrika 61, 1974.
    """
    beside = bool(before.yardstick_s and after.yardstick_s)
    first, second = (_trimmed(_rounds(one, beside=beside)) for one in (before, after))
    ratio = math.exp(second.mean - first.mean)
    unsure = _chance(first, second) + abs(drift)
    resolution = max(LEAST_RATIO - 1, math.expm1(min(unsure, 700.0)))
    before_s, after_s = (float(np.median(one.own_s)) for one in (before, after))
    verdict: Comparison = "SAME"
    if resolution > WORST_RESOLUTION:
        verdict = "AMBIGUOUS"
    elif max(ratio, 1 / ratio) > 1 + resolution and abs(ratio - 1) * before_s >= LEAST_DIFFERENCE_S:
        verdict = "SLOWER" if ratio > 1 else "FASTER"
    return Change(before.implementation, before.case, verdict, before_s, after_s, ratio, resolution)


def compare_table(before: BenchRun, after: BenchRun) -> str:
    """Return a comparison as Markdown."""
    changes, notes = compare(before, after)
    rows = [
        [
            one.verdict,
            plain(one.implementation),
            one.case,
            f"{one.before_s * 1e3:.3f}",
            f"{one.after_s * 1e3:.3f}",
            f"{one.ratio:.3f}",
            _percent(one.resolution),
        ]
        for one in sorted(changes, key=lambda one: (one.verdict == "SAME", -abs(one.ratio - 1)))
    ]
    head = ["verdict", "implementation", "case", "before ms", "after ms", "ratio", "within"]
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


@dataclass(frozen=True)
class _Trimmed:
    """The middle rounds: their mean, the variance of that, and how many they are."""

    mean: float
    variance: float
    count: int


def _rounds(timing: Timing, *, beside: bool) -> NDArray[np.float64]:
    """Return the logarithm of each round's median sample, in yardsticks where there are some."""
    seconds = np.array(timing.own_s)
    if beside:
        seconds = seconds / np.array(timing.yardstick_s)
    rounds = np.array(timing.rounds)
    medians = [float(np.median(seconds[rounds == one])) for one in np.unique(rounds)]
    logarithms: NDArray[np.float64] = np.log(medians)
    return logarithms


def _trimmed(rounds: NDArray[np.float64]) -> _Trimmed:
    """Return the trimmed mean; its variance is that of the rounds with their ends drawn in."""
    ends = int(TRIMMED * len(rounds))
    count = len(rounds) - 2 * ends
    ordered = np.sort(rounds)
    middle = ordered[ends : ends + count]
    if count < 2:
        return _Trimmed(float(middle.mean()), math.inf, count)
    drawn_in = np.clip(ordered, middle[0], middle[-1])
    spread = (len(rounds) - 1) * float(drawn_in.var(ddof=1))
    return _Trimmed(float(middle.mean()), spread / (count * (count - 1)), count)


def _chance(first: _Trimmed, second: _Trimmed) -> float:
    """Return how far 99 of 100 differences of such means are from 0 by chance alone."""
    between = 2 * PROCESS_SPREAD**2  # known, so without bound in freedom
    total = first.variance + second.variance + between
    if math.isinf(total):
        return total
    drawn = sum(one.variance**2 / (one.count - 1) for one in (first, second))
    freedom = total**2 / drawn if drawn > 0 else math.inf
    index = int(min(freedom, len(STUDENT_99))) - 1
    return STUDENT_99[max(index, 0)] * math.sqrt(total)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share < 10 else "over 1000%"
