"""Compare two runs row by row: FASTER, SLOWER, SAME or AMBIGUOUS."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from attnpanel.bench.measure.machine import stable_facts
from attnpanel.bench.product.tables import escape_cell, markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from attnpanel.bench.run.records import BenchRun, Timing

Comparison = Literal["FASTER", "SLOWER", "SAME", "AMBIGUOUS"]
# A change must exceed both: 5 % of 10 µs is clock noise, 30 µs of one second is irrelevant.
MIN_RATIO = 1.05
# CUDA events resolve 0.5 µs; in a browser a sample lasts 20 steps of the clock, so 5 % are a step.
MIN_DIFFERENCE_S = {"cpu": 30e-6, "cuda": 2e-6, "browser": 30e-6}
# With a coarser resolution a row is AMBIGUOUS.
MAX_RESOLUTION = 0.25
# Share of the rounds trimmed at either end, as Yuen recommends.
TRIMMED = 0.2
# Standard deviation of log(time) between processes that run the same program. Their rounds do not
# show it: it depends on the layout of arrays and code in memory. With this value, 288 rows of
# unchanged code in three pairs of runs follow Student's t (docs/bench.md). Where a row has several
# processes, it counts as much as an estimate from so many of them.
PROCESS_SPREAD = 0.012
PRIOR_PROCESSES = 2
# Peak memory moves by pages and by what an allocator keeps: a larger change has a cause.
MEMORY_SHARE, MEMORY_BYTES = 0.10, 2**20
# Page faults per call at which a process is in another mode of the allocator than another.
FAULTS_RATIO, FAULTS = 2.0, 200
# Two-sided 99 % quantiles of Student's t by degrees of freedom; the last is used for more.
STUDENT_99 = (
    *(63.66, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169),
    *(3.106, 3.055, 3.012, 2.977, 2.947, 2.921, 2.898, 2.878, 2.861, 2.845),
    *(2.831, 2.819, 2.807, 2.797, 2.787, 2.779, 2.771, 2.763, 2.756, 2.750),
)


@dataclass(frozen=True)
class Change:
    """The comparison of one row of two runs.

    Attributes
    ----------
    implementation, case : str
    verdict : {"FASTER", "SLOWER", "SAME", "AMBIGUOUS"}
    before_s, after_s : float
        Medians without the time spent runnable but not scheduled.
    ratio : float
        Time after over time before, relative to the reference workload.
    resolution : float
        The smallest significant relative change: 0.12 is 12 %.
    """

    implementation: str
    case: str
    verdict: Comparison
    before_s: float
    after_s: float
    ratio: float
    resolution: float


def compare(before: BenchRun, after: BenchRun) -> tuple[list[Change], list[str]]:
    """Compare the rows that both runs timed; also return notes on what was not compared."""
    rows = {_row(timing): timing for timing in before.timings}
    others = {_row(timing): timing for timing in after.timings}
    pairs = [
        (rows[row], others[row])
        for row in rows
        if row in others and rows[row].status == others[row].status == "timed"
    ]
    drift = memory_drift(*zip(*pairs, strict=True)) if pairs else 0.0
    changes = [change(first, second, drift=drift) for first, second in pairs]
    notes = []
    if abs(drift) > math.log(MIN_RATIO):
        notes.append(
            f"relative to its cores, the machine's memory took {math.exp(drift):.2f} times as long "
            "after as before: rows that differ by no more than that count as the same"
        )
    for row in {**rows, **others}:
        was, now = (found[row].status if row in found else "absent" for found in (rows, others))
        if was != now:
            notes.append(f"{row[0]}: {row[1]} (threads {row[2]}): {was} before, {now} after")
    return changes, _machines(before, after) + notes + fault_notes(before, after)


def memory_drift(before: Sequence[Timing], after: Sequence[Timing]) -> float:
    """Return the log-ratio (after / before) of copy time relative to compute time.

    From the reference workload of all samples; 0 if a run has none.
    """
    paces = [
        [
            copying / computing
            for row in rows
            # Old files may lack either.
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

    Samples exclude the time spent runnable but not scheduled and are divided by the reference
    workload's time. The means of two runs differ by chance, because rounds and processes vary. The
    resolution is the 99 % bound on this difference, with the spread between the processes of both
    runs, plus `drift`, the change of memory speed relative to the cores (:func:`memory_drift`), and
    at least 5 %. A row is FASTER or SLOWER if it changed by more than the resolution and by more
    than the `MIN_DIFFERENCE_S` of its clock, otherwise the SAME. It is AMBIGUOUS if the resolution
    is above 25 %, for example if a run has only one round.

    References
    ----------
    Yuen, "The two-sample trimmed t for unequal population variances", Biometrika 61, 1974.
    """
    relative = bool(before.yardstick_s and after.yardstick_s)
    means = [_mean_of_processes(timing, relative=relative) for timing in (before, after)]
    ratio = math.exp(means[1].mean - means[0].mean)
    uncertainty = _chance_difference(*means) + abs(drift)
    resolution = max(MIN_RATIO - 1, math.expm1(min(uncertainty, 700.0)))
    before_s, after_s = (float(np.median(timing.own_s)) for timing in (before, after))
    least = max(MIN_DIFFERENCE_S[timing.clock] for timing in (before, after))
    verdict: Comparison = "SAME"
    if resolution > MAX_RESOLUTION:
        verdict = "AMBIGUOUS"
    elif max(ratio, 1 / ratio) > 1 + resolution and abs(ratio - 1) * before_s >= least:
        verdict = "SLOWER" if ratio > 1 else "FASTER"
    return Change(before.implementation, before.case, verdict, before_s, after_s, ratio, resolution)


@dataclass(frozen=True)
class Regression:
    """A row, or a certificate, that got worse other than in time.

    Attributes
    ----------
    implementation, case : str
    kind : {"certificate", "status", "memory"}
    words : str
        What it was and what it is.
    """

    implementation: str
    case: str
    kind: Literal["certificate", "status", "memory"]
    words: str


def regressions(before: BenchRun, after: BenchRun) -> list[Regression]:
    """Return the certificates that were lost, rows without a time, and memory that grew."""
    found = []
    passed = {
        (one.implementation, one.case): one.verdict
        for one in before.agreements
        if one.verdict in ("pass", "graded")
    }
    lost = {}
    for one in after.agreements:
        row = one.implementation, one.case
        # One that is graded and then passes got better.
        if row in passed and one.verdict not in (passed[row], "pass"):
            lost[row] = f"certificate {one.verdict}: {'; '.join(one.reasons)}"
            found.append(Regression(*row, "certificate", f"{passed[row]} before; {lost[row]}"))
    known = {_row(timing): timing for timing in before.timings}
    for now in after.timings:
        was = known.get(_row(now))
        row = now.implementation, now.case
        if was is None or was.status != "timed":
            continue
        if now.status != "timed":
            if row not in lost:
                words = "; ".join((now.status, *now.reasons))
                found.append(Regression(*row, "status", f"timed before; {words}"))
            continue
        if was.peak_bytes is not None and now.peak_bytes is not None:
            grown = now.peak_bytes - was.peak_bytes
            if grown > max(MEMORY_BYTES, MEMORY_SHARE * was.peak_bytes):
                sizes = f"{was.peak_bytes / 1e6:.1f} MB before, {now.peak_bytes / 1e6:.1f} MB after"
                found.append(Regression(*row, "memory", sizes))
    return found


def fault_notes(before: BenchRun, after: BenchRun) -> list[str]:
    """Return the rows whose page faults per call differ: the time may be the allocator's."""
    known = {_row(timing): timing for timing in before.timings if timing.page_faults}
    notes = []
    for now in after.timings:
        was = known.get(_row(now))
        if was is None or not now.page_faults:
            continue
        first, second = (float(np.median(timing.page_faults)) for timing in (was, now))
        if abs(second - first) > FAULTS and max(first, second) > FAULTS_RATIO * min(first, second):
            notes.append(
                f"{now.implementation}: {now.case}: {first:.0f} page faults a call before, "
                f"{second:.0f} after"
            )
    return notes


def compare_table(before: BenchRun, after: BenchRun) -> str:
    """Return the comparison of two runs as Markdown."""
    changes, notes = compare(before, after)
    rows = [
        [
            change.verdict,
            escape_cell(change.implementation),
            change.case,
            f"{change.before_s * 1e3:.3f}",
            f"{change.after_s * 1e3:.3f}",
            f"{change.ratio:.3f}",
            _percent(change.resolution),
        ]
        for change in sorted(
            changes, key=lambda change: (change.verdict == "SAME", -abs(change.ratio - 1))
        )
    ]
    head = ["verdict", "implementation", "case", "before ms", "after ms", "ratio", "within"]
    counts = ", ".join(
        f"{sum(change.verdict == verdict for change in changes)} {verdict}"
        for verdict in ("FASTER", "SLOWER", "SAME", "AMBIGUOUS")
    )
    if changes:
        usual = statistics.median(change.ratio for change in changes)
        counts += f"; the median ratio of all rows is {usual:.3f}"
    parts = [markdown(head, rows)] if rows else []
    worse = [
        f"- WORSE {escape_cell(one.implementation)}: {one.case}: {one.kind}: "
        f"{escape_cell(one.words)}"
        for one in regressions(before, after)
    ]
    parts += ["\n".join(worse)] * bool(worse)
    return "\n\n".join(
        [*parts, counts, *(["\n".join(f"- {escape_cell(note)}" for note in notes)] * bool(notes))]
    )


def _row(timing: Timing) -> tuple[str, str, int]:
    return timing.implementation, timing.case, timing.threads


def _machines(before: BenchRun, after: BenchRun) -> list[str]:
    notes = []
    for what in ("cpu_model", "cores", "python", "versions", "thread_variables", "commit"):
        was, now = (getattr(run.environment, what) for run in (before, after))
        if was != now:
            notes.append(f"{what} differs: {was} before, {now} after")
    first, second = stable_facts(before.machine), stable_facts(after.machine)
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
class _Mean:
    """Mean over processes of their rounds' trimmed means.

    Attributes
    ----------
    mean : float
    variance : float
        Its variance because rounds differ.
    freedom : int
        Degrees of freedom of `variance`.
    processes : int
    between : float
        Sum of the squared differences of the processes' means from `mean`.
    """

    mean: float
    variance: float
    freedom: int
    processes: int
    between: float


def _mean_of_processes(timing: Timing, *, relative: bool) -> _Mean:
    numbers, logarithms = _rounds(timing, relative=relative)
    groups = [logarithms[numbers == number] for number in np.unique(numbers)]
    means = np.array([_trimmed_mean(group) for group in groups])
    residuals = np.concatenate(
        [group - mean for group, mean in zip(groups, means, strict=True)],
    )
    count, ends = len(residuals), int(TRIMMED * len(residuals))
    kept = count - 2 * ends
    freedom = kept - len(groups)
    variance = math.inf
    if freedom > 0:
        ordered = np.sort(residuals)
        middle = ordered[ends : ends + kept]
        spread = count * float(np.clip(ordered, middle[0], middle[-1]).var())
        # Yuen: the variance of the trimmed mean of one group of `count` rounds.
        variance = spread / (kept * freedom)
        # That of the mean of several groups' means.
        variance *= count * sum(1 / len(group) for group in groups) / len(groups) ** 2
    middle_of_all = float(means.mean())
    return _Mean(
        middle_of_all,
        variance,
        freedom,
        len(groups),
        float(((means - middle_of_all) ** 2).sum()),
    )


def _rounds(timing: Timing, *, relative: bool) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """Return process and log(median sample) of each round, relative to the workload if asked."""
    seconds = np.array(timing.own_s)
    if relative:
        seconds = seconds / np.array(timing.yardstick_s)
    rounds = np.array(timing.rounds)
    processes = np.array(timing.processes or (0,) * len(rounds))
    numbers = np.unique(rounds)
    medians = [float(np.median(seconds[rounds == number])) for number in numbers]
    owners = np.array([processes[rounds == number][0] for number in numbers])
    return owners, np.log(medians)


def _trimmed_mean(rounds: NDArray[np.float64]) -> float:
    ends = int(TRIMMED * len(rounds))
    return float(np.sort(rounds)[ends : len(rounds) - ends].mean())


def _chance_difference(first: _Mean, second: _Mean) -> float:
    """Return the 99 % bound on the difference of two such means by chance alone.

    The spread between processes is that of all processes of the row, with `PROCESS_SPREAD` as the
    estimate of `PRIOR_PROCESSES` others; alone, a known constant, if each run has one process.
    """
    seen = first.processes + second.processes - 2
    pooled = PRIOR_PROCESSES * PROCESS_SPREAD**2 + first.between + second.between
    spread = pooled / (PRIOR_PROCESSES + seen)
    between = spread * (1 / first.processes + 1 / second.processes)
    total = first.variance + second.variance + between
    if math.isinf(total):
        return total
    estimated = sum(mean.variance**2 / mean.freedom for mean in (first, second))
    if seen:
        estimated += between**2 / (PRIOR_PROCESSES + seen)
    freedom = total**2 / estimated if estimated > 0 else math.inf
    index = int(min(freedom, len(STUDENT_99))) - 1
    return STUDENT_99[max(index, 0)] * math.sqrt(total)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share < 10 else "over 1000%"
