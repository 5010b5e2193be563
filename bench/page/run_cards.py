"""What a run says, as cards: how far to trust it, who agrees, how fast, how near the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import panel as pn

from attnpanel.browser import Words
from bench.page.components import Certificate, FamilyChoice, styles
from bench.plots.chart import chart_element
from bench.plots.families import families, missing
from bench.plots.growth import (
    history_chart,
    left_out_of_history,
    memory_chart,
    roofline_chart,
    speed_chart,
)
from bench.plots.matrix import matrix_element, matrix_of, shape_only
from bench.plots.words import bounded, ratio, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.bench_run import Agreement, BenchRun
    from bench.plots.chart import Chart
    from bench.plots.families import Family
    from bench.plots.matrix import Matrix

TITLES = {
    "speed": ("Speed", "median time of a call against T · dashed: the least this machine allows"),
    "memory": ("Memory", "peak above the inputs against T"),
    "roofline": ("Roofline", "speed below the machine's roof · names tell the share reached"),
    "history": ("History", ""),
}
MOST_LINES = 14
LEGEND = (
    ("2.1", "passed: its largest error, in units of what rounding explains (up to 8)"),
    ("✕", "failed: more than rounding explains, or a rule broken"),
    ("–", "can't run it"),
    ("◇", "shape, dtype and device only, without the device"),
    ("!", "an error"),
)


def run_cards(
    run: BenchRun, history: Sequence[BenchRun], error_card: Any, *, dark: bool
) -> list[Any]:
    """Return the cards of a run, top to bottom.

    Parameters
    ----------
    run : BenchRun
        Its names and reasons are shown as text, cut to a bounded length.
    history : sequence of BenchRun
        Other runs, in any order.
    error_card : Panel object
        The error map's, which stands among them.
    dark : bool
        Whether the page is dark now.
    """
    return [
        _agreement_card(run, dark=dark),
        _growth_card(run, history),
        error_card,
        _facts_card(run),
    ]


def box(*children: Any, css: str, **options: Any) -> Any:
    """Return a column that wears the page's styles."""
    return pn.Column(
        *children,
        css_classes=css.split(),
        stylesheets=styles(),
        margin=0,
        **{"sizing_mode": "stretch_width", **options},
    )


def words(text: str, aside: str = "", *, css: str = "", **options: Any) -> Any:
    """Return a line of plain text."""
    return Words(
        text=text,
        aside=aside,
        sizing_mode="stretch_width",
        margin=0,
        css_classes=css.split(),
        stylesheets=styles(),
        **options,
    )


def _agreement_card(run: BenchRun, *, dark: bool) -> Any:
    matrix = matrix_of(run)
    title = words("Agreement", _verdicts(run), heading=True)
    if not matrix.cells:
        return box(title, words("This run certified nothing.", tone="muted"), css="attn-card")
    figure = hv.render(matrix_element(matrix, dark=dark), backend="bokeh")
    left_out = (
        f"{matrix.left_out} more certificates are in the file than one picture shows."
        if matrix.left_out
        else ""
    )
    return box(
        title,
        box(pn.pane.Bokeh(figure, margin=0), css="bench-wide"),
        pn.pane.HTML(_legend(), stylesheets=styles(), margin=0, sizing_mode="stretch_width"),
        Certificate(
            rows=[bounded(name, 60) for name in matrix.implementations],
            columns=[bounded(case.name, 160) for case in matrix.cases],
            cells=certificate_cells(matrix),
            at=_first_to_tell(matrix),
            sizing_mode="stretch_width",
            margin=0,
            css_classes=["bench-certificate-card"],
        ),
        words(left_out, tone="muted"),
        css="attn-card",
    )


def certificate_cells(matrix: Matrix) -> list[dict[str, Any]]:
    """Return what the page tells of each certificate, in bounded lines."""
    return [
        {"row": row, "column": column, "lines": _lines(agreement)}
        for (row, column), agreement in matrix.cells.items()
    ]


def _lines(agreement: Agreement) -> list[list[str]]:
    numbers = [
        f"largest error {ratio(agreement.max_ratio)} units"
        + (f" at {agreement.worst}" if agreement.worst else ""),
        f"median {agreement.median_ratio:.2g} units" if agreement.median_ratio is not None else "",
        f"largest absolute error {agreement.max_abs_error:.2g}"
        if agreement.max_abs_error is not None
        else "",
        f"mean signed error {agreement.mean_signed_error:.1g}"
        if agreement.mean_signed_error is not None
        else "",
        f"{agreement.nonfinite_mismatches} elements finite on one side only"
        if agreement.nonfinite_mismatches
        else "",
    ]
    told = " · ".join(part for part in numbers if part) if agreement.max_ratio is not None else ""
    kinds = {
        "pass": "Passed",
        "fail": "Failed",
        "unsupported": "Not supported",
        "error": "Error",
    }
    verdict = kinds[agreement.verdict]
    if agreement.basis == "fake":
        verdict += " (shape, dtype and device propagated without the device)"
    head = f"{verdict}: {told}" if told else verdict
    reasons = [[agreement.verdict, reason] for reason in agreement.reasons]
    checks = [
        [check.verdict, f"{check.name}: {check.detail or check.verdict}"]
        for check in agreement.checks
        if check.verdict != "pass" and check.detail not in agreement.reasons
    ]
    passed = ", ".join(check.name for check in agreement.checks if check.verdict == "pass")
    if passed:
        checks.append(["pass", f"Passed: {passed}"])
    lines = [[agreement.verdict, head], *reasons, *checks]
    return [[kind, bounded(text, 300)] for kind, text in lines[:MOST_LINES]]


def _first_to_tell(matrix: Matrix) -> list[int]:
    """The certificate that is told first: what failed worst, else the largest ratio."""

    def weight(place: tuple[int, int]) -> tuple[int, float]:
        agreement = matrix.cells[place]
        order = {"fail": 3, "error": 2, "pass": 1, "unsupported": 0}
        return order[agreement.verdict], agreement.max_ratio or 0.0

    row, column = max(matrix.cells, key=weight)
    return [row, column]


def _verdicts(run: BenchRun) -> str:
    named = {
        "pass": "passed",
        "fail": "failed",
        "unsupported": "not supported",
        "error": "with an error",
    }
    found = [
        "shape only" if shape_only(one) and one.verdict != "fail" else named[one.verdict]
        for one in run.agreements
    ]
    counts = {name: found.count(name) for name in (*named.values(), "shape only")}
    said = [f"{count} {name}" for name, count in counts.items() if count]
    return " · ".join(["implementation × case, against the float64 reference", *said])


def _legend() -> str:
    """Our own words only: nothing of a result file comes into this markup."""
    marks = "".join(f"<li><b>{mark}</b>{meaning}</li>" for mark, meaning in LEGEND)
    return f"<ul class='bench-legend'>{marks}</ul>"


def _growth_card(run: BenchRun, history: Sequence[BenchRun]) -> Any:
    found = families(run)
    if not found:
        return box(
            words("Speed and memory", heading=True),
            words(
                "Nothing was timed: this run made certificates only, or no implementation that "
                "was to be timed passed.",
                tone="muted",
            ),
            css="attn-card",
        )
    runs = [run, *history]
    all_charts = [_charts(runs, family) for family in found]
    parts = {name: _part(name, chart, runs) for name, chart in all_charts[0].items()}
    choice = FamilyChoice(
        families=[
            {
                "name": f"{family.name}",
                "charts": {name: _sent(name, chart, runs) for name, chart in charts.items()},
                "caption": _caption(run, family),
            }
            for family, charts in zip(found, all_charts, strict=True)
        ],
        margin=0,
        css_classes=["bench-families"],
    )
    return box(
        box(choice, css="bench-choices"),
        box(parts["speed"], parts["memory"], parts["roofline"], parts["history"], css="bench-pair"),
        words(_caption(run, found[0]), tone="muted", css="bench-caption"),
        css="attn-card",
    )


def _charts(runs: Sequence[BenchRun], family: Family) -> dict[str, Chart]:
    return {
        "speed": speed_chart(runs[0], family),
        "memory": memory_chart(runs[0], family),
        "roofline": roofline_chart(runs[0], family),
        "history": history_chart(runs, family),
    }


def _part(name: str, chart: Chart, runs: Sequence[BenchRun]) -> Any:
    figure = hv.render(chart_element(chart, name), backend="bokeh")
    figure.visible = not chart.empty
    aside = chart.empty or _aside(name, runs)
    return box(
        words(TITLES[name][0], aside, heading=True, css=f"bench-title-{name}"),
        pn.pane.Bokeh(figure, sizing_mode="stretch_width", margin=0),
        css="bench-part",
    )


def _sent(name: str, chart: Chart, runs: Sequence[BenchRun]) -> dict[str, Any]:
    return {
        **chart.columns,
        "x_title": chart.x_title,
        "empty": chart.empty,
        "aside": _aside(name, runs),
    }


def _aside(name: str, runs: Sequence[BenchRun]) -> str:
    if name != "history":
        return TITLES[name][1]
    said = "this run alone: others appear beside it" if len(runs) == 1 else "earlier runs beside it"
    return " · ".join(part for part in (said, left_out_of_history(runs)) if part)


def _caption(run: BenchRun, family: Family) -> str:
    """Who is not in the charts, and why."""
    absent = missing(run, family)
    return f"Not timed: {'; '.join(absent)}." if absent else ""


def _facts_card(run: BenchRun) -> Any:
    """Where the numbers come from: what they need beside them to be believed."""
    place = run.environment
    versions = ", ".join(f"{name} {number}" for name, number in place.versions.items())
    memory = f" · {size(place.memory_bytes)} of memory" if place.memory_bytes else ""
    changed = " with changes" if place.dirty else ""
    state = "" if run.finished else " · interrupted: `--resume` goes on"
    commit = f"commit {place.commit or 'unknown'}{changed}"
    lines = [
        f"Preset {run.preset} · {place.date_utc} · {commit}{state}",
        f"{place.cpu_model} · {place.cores} cores{memory} · {place.os}",
        f"{place.python} · {versions}",
        "Others kept the cores busy when this run began: its times are not to be trusted."
        if place.noisy
        else "",
        *(f"{name}: {value}" for name, value in run.machine.items()),
        *(
            f"Limits, {one.device} {one.dtype}: {one.datasheet}"
            for one in run.limits
            if one.datasheet is not None
        ),
    ]
    return box(
        words("Where it was measured", heading=True),
        box(
            *(words(bounded(line, 400), tone="muted") for line in lines[:20] if line),
            css="bench-facts",
        ),
        css="attn-card",
    )
