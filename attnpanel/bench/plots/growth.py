"""The four charts of a family: time and memory against T, roofline, history of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attnpanel.bench.measure.datasheets import datasheet_in_words
from attnpanel.bench.measure.flop_count import ITEM_BYTES, flops, minimal_bytes
from attnpanel.bench.measure.roofline import growth_exponent, least_seconds
from attnpanel.bench.plots.chart import Chart, Limit, Line
from attnpanel.bench.plots.families import MAX_POINTS, Curve, Family, curves, families, limits_of
from attnpanel.bench.plots.format import bounded, rate, seconds, size
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.run.records import BenchRun, Limits
    from attnpanel.kernels.request import Request

Item = TypeVar("Item")
MAX_BYTES = 2**60


def speed_chart(run: BenchRun, family: Family) -> Chart:
    """Return the chart of median time against T; dashed, the minimum by the limits."""
    found = curves(run, family)
    limits = limits_of(run, family)
    lower = []
    if limits is not None:
        least = [least_seconds(case.request, limits) for case in family.cases]
        name = f"{t('limit of this machine')}  {seconds(least[-1])}"
        lower.append(Limit(name, _lengths(family.cases), least))
        lower += _datasheet_limit(limits, family)
    return Chart(
        tuple(
            Line(
                curve.implementation,
                seconds(curve.median_s[-1]),
                _lengths(curve.cases),
                curve.median_s,
                [
                    t(
                        "T {length}: {time} (quartiles {low} to {high})",
                        length=case.request.query_len,
                        time=seconds(middle),
                        low=seconds(low),
                        high=seconds(high),
                    )
                    + _growth(curve)
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
        t("T, tokens"),
    )


def memory_chart(run: BenchRun, family: Family) -> Chart:
    """Return the chart of peak memory against T; dashed, the output and one T × S matrix."""
    lines = []
    for curve in curves(run, family):
        known = [
            (case, peak)
            for case, peak in zip(curve.cases, curve.peak_bytes, strict=True)
            if peak is not None and 0 < peak < MAX_BYTES
        ]
        if known:
            cases = [case for case, _ in known]
            peaks = [float(peak) for _, peak in known]
            hover = [
                t(
                    "T {length}: {size} above the inputs",
                    length=case.request.query_len,
                    size=size(peak),
                )
                for case, peak in zip(cases, peaks, strict=True)
            ]
            lines.append(Line(curve.implementation, size(peaks[-1]), _lengths(cases), peaks, hover))
    if not lines:
        empty = t("No memory was measured for these calls.")
        return Chart((), (), _length_ticks(family), size, t("T, tokens"), empty)
    lengths = _lengths(family.cases)
    output = [float(_output_bytes(case.request)) for case in family.cases]
    scores = [float(_score_bytes(case.request)) for case in family.cases]
    return Chart(
        tuple(lines),
        (
            Limit(f"{t('output alone')}  {size(output[-1])}", lengths, output),
            Limit(f"{t('one T × S matrix a head')}  {size(scores[-1])}", lengths, scores),
        ),
        _length_ticks(family),
        size,
        t("T, tokens"),
    )


def _datasheet_limit(limits: Limits, family: Family) -> list[Limit]:
    """Return the minimal time by the datasheet of a known GPU, as a dashed line."""
    sheet = datasheet_in_words(limits.datasheet)
    if sheet is None:
        return []
    least = [sheet.least_seconds(case.request) for case in family.cases]
    known = [value for value in least if value is not None]
    if len(known) < len(least):
        return []
    name = t("{device} datasheet", device=sheet.title)
    return [Limit(f"{name}  {seconds(known[-1])}", _lengths(family.cases), known)]


def roofline_chart(run: BenchRun, family: Family) -> Chart:
    """Return the roofline chart: operations per second against operations per byte."""
    limits = limits_of(run, family)
    if limits is None:
        empty = t("This run measured no limits for these calls: no matrix product, no copy.")
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
        hover = [
            t(
                "T {length}: {speed}, {share} of the roof",
                length=case.request.query_len,
                speed=rate(speed),
                share=f"{speed / roof:.0%}",
            )
            for case, speed, roof in zip(curve.cases, y, roofs, strict=True)
        ]
        lines.append(Line(curve.implementation, f"{y[-1] / roofs[-1]:.0%}", x, y, hover))
    intensities = sorted({x for line in lines for x in line.x})
    knee = gemm / copy
    # Show part of the slope even if all calls lie to the right of it.
    along = sorted({min(intensities[0], knee / 3), knee, max(intensities[-1], knee)})
    roof = Limit(
        f"{t('matrix product')}  {rate(gemm)}",
        along,
        [min(gemm, x * copy) for x in along],
    )
    return Chart(
        tuple(lines),
        (roof,),
        tuple((x, f"{x:.3g}") for x in sorted({knee, intensities[0], intensities[-1]})),
        rate,
        t("operations a byte (rising with T)"),
    )


def history_chart(runs: Sequence[BenchRun], family: Family) -> Chart:
    """Return the chart of the longest call's median time in each run on the same machine.

    Parameters
    ----------
    runs : sequence of BenchRun
        The current run first, the others in any order.
    family : Family
    """
    machine = _machine(runs[0])
    same = sorted(
        (run for run in runs if _machine(run) == machine),
        key=lambda run: run.environment.date_utc,
    )[-MAX_POINTS:]
    length, found = _longest(same, family)
    points: dict[str, list[tuple[int, float, str]]] = {}
    for place, run in enumerate(same, start=1):
        for curve in found[place - 1]:
            for case, middle in zip(curve.cases, curve.median_s, strict=True):
                if case.request.query_len == length:
                    hover = f"{_date(run)}, {_commit(run)}: {seconds(middle)}"
                    points.setdefault(curve.implementation, []).append((place, middle, hover))
    lines = tuple(
        Line(
            name,
            seconds(found[-1][1]),
            [_log_position(place) for place, _, _ in found],
            [middle for _, middle, _ in found],
            [hover for _, _, hover in found],
        )
        for name, found in points.items()
    )
    dates = [(_log_position(place), _date(run)) for place, run in enumerate(same, start=1)]
    return Chart(
        lines,
        (),
        tuple(_thinned(dates, 6)),
        seconds,
        t("runs on this machine, at T {length}", length=length),
    )


def left_out_of_history(runs: Sequence[BenchRun]) -> str:
    """Return a note on the runs that the history omits; empty if there are none."""
    others = sum(_machine(run) != _machine(runs[0]) for run in runs)
    if not others:
        return ""
    if others == 1:
        return t("1 run of another machine left out: times don't compare.")
    return t("{count} runs of other machines left out: times don't compare.", count=others)


def _longest(runs: Sequence[BenchRun], family: Family) -> tuple[int, list[tuple[Curve, ...]]]:
    """Return the largest T that most runs timed, and each run's curves of the family."""
    found = []
    counts: dict[int, int] = {}
    for run in runs:
        same = next(
            (candidate for candidate in families(run) if candidate.name == family.name), None
        )
        found.append(curves(run, same) if same is not None else ())
        for length in {c.request.query_len for curve in found[-1] for c in curve.cases}:
            counts[length] = counts.get(length, 0) + 1
    most = max(counts.values(), default=0)
    return max((length for length, count in counts.items() if count == most), default=0), found


def _growth(curve: Curve) -> str:
    """Format the exponent of the time in T; empty if there are too few lengths."""
    lengths = [case.request.query_len for case in curve.cases]
    exponent = growth_exponent(lengths, curve.median_s)
    if exponent is None:
        return ""
    return ", " + t("grows as T to the {exponent}", exponent=f"{exponent:.2f}")


def _log_position(place: int) -> float:
    """Return a position that is equidistant to its neighbours on a logarithmic axis."""
    return float(10 ** (place / 10))


def _machine(run: BenchRun) -> tuple[str, int]:
    return run.environment.cpu_model, run.environment.cores


def _date(run: BenchRun) -> str:
    return bounded(run.environment.date_utc[5:16].replace("T", " "), 11)


def _commit(run: BenchRun) -> str:
    return t("commit {name}", name=bounded(run.environment.commit or t("unknown"), 7))


def _lengths(cases: Sequence[Case]) -> list[float]:
    return [float(case.request.query_len) for case in cases]


def _length_ticks(family: Family) -> tuple[tuple[float, str], ...]:
    return tuple((x, f"{x:.0f}") for x in _thinned(_lengths(family.cases)))


def _thinned(values: Sequence[Item], max_count: int = 7) -> list[Item]:
    """Return at most `max_count` of the values, including the last."""
    step = -(-len(values) // max_count) or 1
    return list(values[::-1][::step][::-1])


def _intensity(request: Request) -> float:
    return flops(request) / minimal_bytes(request)


def _output_bytes(request: Request) -> int:
    rows = request.batch * request.heads * request.query_len
    return rows * request.value_dim * ITEM_BYTES[request.dtype]


def _score_bytes(request: Request) -> int:
    rows = request.batch * request.heads * request.query_len
    return rows * request.key_len * ITEM_BYTES[request.dtype]
