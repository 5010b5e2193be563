"""The cards of a run: agreement, speed and memory, error map, and environment."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.bench.page.components import Certificate, FamilyChoice, styles
from attnpanel.bench.plots.chart import chart_element
from attnpanel.bench.plots.families import families, missing
from attnpanel.bench.plots.format import bounded, ratio, size
from attnpanel.bench.plots.growth import (
    history_chart,
    left_out_of_history,
    memory_chart,
    roofline_chart,
    speed_chart,
)
from attnpanel.bench.plots.matrix import matrix_element, matrix_of, shape_only
from attnpanel.ui import Caption
from attnpanel.ui.fields import name_tag
from attnpanel.ui.figures import render
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnpanel.bench.plots.chart import Chart
    from attnpanel.bench.plots.families import Family
    from attnpanel.bench.plots.matrix import Matrix
    from attnpanel.bench.run.records import Agreement, BenchRun

TITLES = {
    "speed": ("Speed", "median time of a call against T · dashed: the least this machine allows"),
    "memory": ("Memory", "peak above the inputs against T"),
    "roofline": ("Roofline", "speed below the machine's roof · labels give the share reached"),
    "history": ("History", ""),
}
MAX_LINES = 14
LEGEND = (
    ("2.1", "passed: its largest error, in units of what rounding explains (up to 8)"),
    ("✕", "failed: more than rounding explains, or a rule broken"),
    ("≈", "graded: near attention, and does not claim more"),
    ("–", "can't run it"),
    ("◇", "shape, dtype and device only, without the device"),
    ("!", "an error"),
)


def run_cards(
    run: BenchRun, history: Sequence[BenchRun], error_card: Any, *, dark: bool
) -> list[Any]:
    """Return the cards of a run from top to bottom.

    Parameters
    ----------
    run : BenchRun
        Its names and reasons are untrusted: shown as text of bounded length.
    history : sequence of BenchRun
        Other runs, in any order.
    error_card : Panel object
        The card of the error map, placed among the others.
    dark : bool
        Whether the dark theme is active.
    """
    return [
        _agreement_card(run, dark=dark),
        _growth_card(run, history),
        error_card,
        _facts_card(run),
    ]


def box(*children: Any, css: str, **options: Any) -> Any:
    """Return a column with the page's stylesheets."""
    return pn.Column(
        *children,
        css_classes=css.split(),
        stylesheets=styles(),
        margin=0,
        **{"sizing_mode": "stretch_width", **options},
    )


def text_line(text: str, subtitle: str = "", *, css: str = "", **options: Any) -> Any:
    """Return a line of text, never interpreted as markup."""
    return Caption(
        text=text,
        subtitle=subtitle,
        sizing_mode="stretch_width",
        margin=0,
        css_classes=css.split(),
        stylesheets=styles(),
        **options,
    )


def _agreement_card(run: BenchRun, *, dark: bool) -> Any:
    matrix = matrix_of(run)
    title = text_line(t("Agreement"), _verdicts(run), heading=True)
    if not matrix.cells:
        return box(
            title, text_line(t("This run certified nothing."), tone="muted"), css="attn-card"
        )
    figure = render(matrix_element(matrix, dark=dark))
    figure.tags = [name_tag(f"{t('Agreement')}: {_verdicts(run)}")]
    left_out = (
        t(
            "{count} more certificates are in the file than one picture shows.",
            count=matrix.left_out,
        )
        if matrix.left_out
        else ""
    )
    certificate = Certificate(
        rows=[bounded(name, 60) for name in matrix.implementations],
        columns=[bounded(case.name, 160) for case in matrix.cases],
        cells=certificate_cells(matrix),
        at=_initial_cell(matrix),
        sizing_mode="stretch_width",
        margin=0,
        css_classes=["bench-certificate-card"],
    )
    return box(
        title,
        box(
            box(pn.pane.Bokeh(figure, margin=0), css="bench-wide"),
            box(
                pn.pane.HTML(
                    _legend(), stylesheets=styles(), margin=0, sizing_mode="stretch_width"
                ),
                certificate,
                css="bench-part bench-judged",
            ),
            css="bench-beside",
        ),
        text_line(left_out if matrix.left_out else "", tone="muted"),
        css="attn-card",
    )


def certificate_cells(matrix: Matrix) -> list[dict[str, Any]]:
    """Return the text lines of each certificate, of bounded number and length."""
    return [
        {"row": row, "column": column, "lines": certificate_lines(agreement)}
        for (row, column), agreement in matrix.cells.items()
    ]


def certificate_lines(agreement: Agreement) -> list[list[str]]:
    """Return the lines of one certificate, each with the verdict that styles it."""
    numbers = [
        t("largest error {count} units", count=ratio(agreement.max_ratio))
        + (f" ({agreement.worst})" if agreement.worst else ""),
        t("median {count} units", count=f"{agreement.median_ratio:.2g}")
        if agreement.median_ratio is not None
        else "",
        t("largest absolute error {error}", error=f"{agreement.max_abs_error:.2g}")
        if agreement.max_abs_error is not None
        else "",
        t("mean signed error {error}", error=f"{agreement.mean_signed_error:.1g}")
        if agreement.mean_signed_error is not None
        else "",
        t("{count} elements finite on one side only", count=agreement.nonfinite_mismatches)
        if agreement.nonfinite_mismatches
        else "",
    ]
    statistics = (
        " · ".join(part for part in numbers if part) if agreement.max_ratio is not None else ""
    )
    kinds = {
        "pass": t("Passed"),
        "fail": t("Failed"),
        "unsupported": t("Not supported"),
        "graded": t("Graded, not a pass"),
        "error": t("Error"),
    }
    verdict = kinds[agreement.verdict]
    bases = {
        "fake": t("shape, dtype and device propagated without the device"),
        "interpreted": t("computed by the kernel's interpreter, not compiled"),
    }
    if agreement.basis in bases:
        verdict += f" ({bases[agreement.basis]})"
    head = f"{verdict}: {statistics}" if statistics else verdict
    reasons = [[agreement.verdict, reason] for reason in agreement.reasons]
    # A reason is the detail of a check, with or without its name.
    told = [
        (check.verdict, check.detail, f"{check.name}: {check.detail or check.verdict}")
        for check in agreement.checks
        if check.verdict != "pass"
    ]
    checks = [
        [verdict, named]
        for verdict, detail, named in told
        if detail not in agreement.reasons and named not in agreement.reasons
    ]
    passed = ", ".join(check.name for check in agreement.checks if check.verdict == "pass")
    if passed:
        checks.append(["pass", f"{kinds['pass']}: {passed}"])
    lines = [[agreement.verdict, head], *reasons, *checks]
    return [[kind, bounded(text, 300)] for kind, text in lines[:MAX_LINES]]


def _initial_cell(matrix: Matrix) -> list[int]:
    """Return the cell selected at first: the worst failure, otherwise the largest error."""

    def weight(place: tuple[int, int]) -> tuple[int, float]:
        agreement = matrix.cells[place]
        order = {"fail": 3, "error": 2, "pass": 1, "graded": 0, "unsupported": 0}
        return order[agreement.verdict], agreement.max_ratio or 0.0

    row, column = max(matrix.cells, key=weight)
    return [row, column]


def _verdicts(run: BenchRun) -> str:
    named = {
        "pass": t("{count} passed"),
        "fail": t("{count} failed"),
        "unsupported": t("{count} not supported"),
        "graded": t("{count} graded"),
        "error": t("{count} with an error"),
    }
    without = t("{count} shape only")
    found = [
        without
        if shape_only(agreement) and agreement.verdict != "fail"
        else named[agreement.verdict]
        for agreement in run.agreements
    ]
    counts = {name: found.count(name) for name in (*named.values(), without)}
    parts = [name.format(count=count) for name, count in counts.items() if count]
    return " · ".join([t("implementation × case, against the float64 reference"), *parts])


def _legend() -> str:
    """Return the legend as HTML; it must not contain text of a result file."""
    marks = "".join(f"<li><b>{mark}</b>{escape(t(meaning))}</li>" for mark, meaning in LEGEND)
    return f"<ul class='bench-legend'>{marks}</ul>"


def _growth_card(run: BenchRun, history: Sequence[BenchRun]) -> Any:
    found = families(run)
    if not found:
        return box(
            text_line(t("Speed and memory"), heading=True),
            text_line(
                t(
                    "Nothing was timed: this run made certificates only, or no implementation "
                    "that was to be timed passed."
                ),
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
                "charts": {name: _chart_state(name, chart, runs) for name, chart in charts.items()},
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
        text_line(_caption(run, found[0]), tone="muted", css="bench-caption"),
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
    figure = render(chart_element(chart, name))
    title = t(TITLES[name][0])
    figure.tags = [name_tag(title)]
    figure.visible = not chart.empty
    subtitle = chart.empty or _subtitle(name, runs)
    return box(
        text_line(title, subtitle, heading=True, css=f"bench-title-{name}"),
        pn.pane.Bokeh(figure, sizing_mode="stretch_width", margin=0),
        css="bench-part",
    )


def _chart_state(name: str, chart: Chart, runs: Sequence[BenchRun]) -> dict[str, Any]:
    return {
        **chart.columns,
        "x_title": chart.x_title,
        "empty": chart.empty,
        "subtitle": _subtitle(name, runs),
    }


def _subtitle(name: str, runs: Sequence[BenchRun]) -> str:
    if name != "history":
        return t(TITLES[name][1])
    alone = len(runs) == 1
    note = t("this run alone: others appear beside it") if alone else t("earlier runs beside it")
    return " · ".join(part for part in (note, left_out_of_history(runs)) if part)


def _caption(run: BenchRun, family: Family) -> str:
    """Return which implementations are missing from the charts, and why."""
    absent = missing(run, family)
    return t("Not in these plots: {names}.", names="; ".join(absent)) if absent else ""


def _facts_card(run: BenchRun) -> Any:
    """Return the card of the environment in which the run was made."""
    environment = run.environment
    versions = ", ".join(f"{name} {number}" for name, number in environment.versions.items())
    memory = size(environment.memory_bytes) if environment.memory_bytes else ""
    commit = t("commit {name}", name=environment.commit or t("unknown"))
    made = [
        t("Preset {name}", name=run.preset),
        environment.date_utc,
        f"{commit} {t('with changes')}" if environment.dirty else commit,
        "" if run.finished else t("interrupted: `--resume` continues it"),
    ]
    machine = [
        environment.cpu_model,
        t("{count} cores", count=environment.cores),
        t("{size} of memory", size=memory) if memory else "",
        environment.os,
    ]
    lines = [
        " · ".join(filter(None, made)),
        " · ".join(filter(None, machine)),
        f"{environment.python} · {versions}",
        t("Other processes kept the cores busy when this run began: its times are unreliable.")
        if environment.noisy
        else "",
        *(f"{name}: {value}" for name, value in run.machine.items() if value),
        *(
            f"{t('Limits')}, {limits.device} {limits.dtype}: {limits.datasheet}"
            for limits in run.limits
            if limits.datasheet is not None
        ),
    ]
    return box(
        text_line(t("Where it was measured"), heading=True),
        box(
            *(text_line(bounded(line, 400), tone="muted") for line in lines[:20] if line),
            css="bench-facts",
        ),
        css="attn-card",
    )
