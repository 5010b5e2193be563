"""Speed and memory against T, the roofline, and the history of runs: a family's four charts."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from bench.datasheets import datasheet_in_words
from bench.plots.chart import Chart, Limit, Line
from bench.plots.families import MOST_POINTS, Curve, Family, curves, families, limits_of
from bench.plots.words import bounded, rate, seconds, size
from bench.roofline import growth_exponent, least_seconds
from bench.work import ITEM_BYTES, flops, minimal_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnpanel.kernels.request import Request
    from bench.bench_run import BenchRun, Limits
    from bench.cases import Case

Item = TypeVar("Item")
MOST_BYTES = 2**60


def speed_chart(run: BenchRun, family: Family) -> Chart:
    """Median time of a call against T; dashed, the least that the machine's limits allow."""
    found = curves(run, family)
    limits = limits_of(run, family)
    lower = []
    if limits is not None:
        least = [least_seconds(case.request, limits) for case in family.cases]
        name = f"limit of this machine  {seconds(least[-1])}"
        lower.append(Limit(name, _lengths(family.cases), least))
        lower += _floor(limits, family)
    return Chart(
        tuple(
            Line(
                curve.implementation,
                seconds(curve.median_s[-1]),
                _lengths(curve.cases),
                curve.median_s,
                [
                    f"T {case.request.query_len}: {seconds(middle)} "
                    f"(quartiles {seconds(low)} to {seconds(high)}){_growth(curve)}"
                    for case, middle, low, high in zip(
                        curve.cases, curve.median_s, curve.low_s, curve.high_s, strict=True
                    )
                ],
            )
            for curve in found
        ),
        tuple(lower),
        _length_ticks(family),
        seconds,
        "T, tokens",
    )


def memory_chart(run: BenchRun, family: Family) -> Chart:
    """Peak memory above the inputs against T; dashed, the output alone and one T × S matrix."""
    lines = []
    for curve in curves(run, family):
        known = [
            (case, peak)
            for case, peak in zip(curve.cases, curve.peak_bytes, strict=True)
            if peak is not None and 0 < peak < MOST_BYTES
        ]
        if known:
            cases = [case for case, _ in known]
            peaks = [float(peak) for _, peak in known]
            told = [
                f"T {case.request.query_len}: {size(peak)} above the inputs"
                for case, peak in zip(cases, peaks, strict=True)
            ]
            lines.append(Line(curve.implementation, size(peaks[-1]), _lengths(cases), peaks, told))
    if not lines:
        empty = "No memory was measured for these calls."
        return Chart((), (), _length_ticks(family), size, "T, tokens", empty)
    lengths = _lengths(family.cases)
    output = [float(_output_bytes(case.request)) for case in family.cases]
    scores = [float(_score_bytes(case.request)) for case in family.cases]
    return Chart(
        tuple(lines),
        (
            Limit(f"output alone  {size(output[-1])}", lengths, output),
            Limit(f"one T × S matrix a head  {size(scores[-1])}", lengths, scores),
        ),
        _length_ticks(family),
        size,
        "T, tokens",
    )


def _floor(limits: Limits, family: Family) -> list[Limit]:
    """The least that a known GPU's maker states."""
    sheet = datasheet_in_words(limits.datasheet)
    if sheet is None:
        return []
    least = [sheet.least_seconds(case.request) for case in family.cases]
    known = [one for one in least if one is not None]
    if len(known) < len(least):
        return []
    return [Limit(f"{sheet.title} datasheet  {seconds(known[-1])}", _lengths(family.cases), known)]


def roofline_chart(run: BenchRun, family: Family) -> Chart:
    """Operations a second against operations a byte, below the machine's roof."""
    limits = limits_of(run, family)
    if limits is None:
        empty = "This run measured no limits for these calls: no matrix product, no copy."
        return Chart((), (), (), rate, "", empty)
    gemm, copy = max(limits.gemm_flops_per_s), max(limits.copy_bytes_per_s)
    lines = []
    for curve in curves(run, family):
        x = [_intensity(case.request) for case in curve.cases]
        y = [
            flops(case.request) / middle
            for case, middle in zip(curve.cases, curve.median_s, strict=True)
        ]
        roofs = [min(gemm, intensity * copy) for intensity in x]
        told = [
            f"T {case.request.query_len}: {rate(speed)}, {speed / roof:.0%} of the roof"
            for case, speed, roof in zip(curve.cases, y, roofs, strict=True)
        ]
        lines.append(Line(curve.implementation, f"{y[-1] / roofs[-1]:.0%}", x, y, told))
    shown = sorted({x for line in lines for x in line.x})
    knee = gemm / copy
    # The slope is part of the picture even where every call lies to the right of it.
    along = sorted({min(shown[0], knee / 3), knee, max(shown[-1], knee)})
    roof = Limit(
        f"matrix product  {rate(gemm)}",
        along,
        [min(gemm, x * copy) for x in along],
    )
    return Chart(
        tuple(lines),
        (roof,),
        tuple((x, f"{x:.3g}") for x in sorted({knee, shown[0], shown[-1]})),
        rate,
        "operations a byte of input and output (rising with T)",
    )


def history_chart(runs: Sequence[BenchRun], family: Family) -> Chart:
    """Median time of the family's longest call in each run on the shown run's machine.

    Parameters
    ----------
    runs : sequence of BenchRun
        The shown one first; the others in any order.
    family : Family
    """
    machine = _machine(runs[0])
    same = sorted(
        (run for run in runs if _machine(run) == machine),
        key=lambda run: run.environment.date_utc,
    )[-MOST_POINTS:]
    length, found = _longest(same, family)
    points: dict[str, list[tuple[int, float, str]]] = {}
    for place, run in enumerate(same, start=1):
        for curve in found[place - 1]:
            for case, middle in zip(curve.cases, curve.median_s, strict=True):
                if case.request.query_len == length:
                    told = f"{_date(run)}, {_commit(run)}: {seconds(middle)}"
                    points.setdefault(curve.implementation, []).append((place, middle, told))
    lines = tuple(
        Line(
            name,
            seconds(found[-1][1]),
            [_even(place) for place, _, _ in found],
            [middle for _, middle, _ in found],
            [told for _, _, told in found],
        )
        for name, found in points.items()
    )
    dates = [(_even(place), _date(run)) for place, run in enumerate(same, start=1)]
    return Chart(
        lines,
        (),
        tuple(_thinned(dates, 6)),
        seconds,
        f"runs on this machine, at T {length}",
    )


def left_out_of_history(runs: Sequence[BenchRun]) -> str:
    """Say which runs the history leaves out, empty where it leaves out none."""
    others = sum(_machine(run) != _machine(runs[0]) for run in runs)
    if not others:
        return ""
    return f"{others} run{'s' * (others > 1)} of other machines left out: times don't compare."


def _longest(runs: Sequence[BenchRun], family: Family) -> tuple[int, list[tuple[Curve, ...]]]:
    """The largest T that most runs timed of the family, and each run's curves of it."""
    found = []
    counts: dict[int, int] = {}
    for run in runs:
        same = next((one for one in families(run) if one.name == family.name), None)
        found.append(curves(run, same) if same is not None else ())
        for length in {c.request.query_len for curve in found[-1] for c in curve.cases}:
            counts[length] = counts.get(length, 0) + 1
    most = max(counts.values(), default=0)
    return max((length for length, count in counts.items() if count == most), default=0), found


def _growth(curve: Curve) -> str:
    """Say how the time grows, where there are lengths enough to tell."""
    lengths = [case.request.query_len for case in curve.cases]
    exponent = growth_exponent(lengths, curve.median_s)
    return "" if exponent is None else f", grows as T to the {exponent:.2f}"


def _even(place: int) -> float:
    """Positions that lie at equal distances on a logarithmic axis."""
    return float(10 ** (place / 10))


def _machine(run: BenchRun) -> tuple[str, int]:
    return run.environment.cpu_model, run.environment.cores


def _date(run: BenchRun) -> str:
    return bounded(run.environment.date_utc[5:16].replace("T", " "), 11)


def _commit(run: BenchRun) -> str:
    return f"commit {bounded(run.environment.commit or 'unknown', 7)}"


def _lengths(cases: Sequence[Case]) -> list[float]:
    return [float(case.request.query_len) for case in cases]


def _length_ticks(family: Family) -> tuple[tuple[float, str], ...]:
    return tuple((x, f"{x:.0f}") for x in _thinned(_lengths(family.cases)))


def _thinned(values: Sequence[Item], most: int = 7) -> list[Item]:
    """At most so many of the values, the last one among them."""
    step = -(-len(values) // most) or 1
    return list(values[::-1][::step][::-1])


def _intensity(request: Request) -> float:
    return flops(request) / minimal_bytes(request)


def _output_bytes(request: Request) -> int:
    rows = request.batch * request.heads * request.query_len
    return rows * request.value_dim * ITEM_BYTES[request.dtype]


def _score_bytes(request: Request) -> int:
    rows = request.batch * request.heads * request.query_len
    return rows * request.key_len * ITEM_BYTES[request.dtype]
