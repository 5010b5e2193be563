"""The agreement matrix: implementation × case, with verdict and error in each cell."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10, sin
from typing import TYPE_CHECKING, Any, Final

import holoviews as hv
from bokeh.core.properties import field
from bokeh.models import BoxAnnotation, CustomJS, CustomJSTickFormatter, FixedTicker, Text

from attnpanel.attention.mask_table import find_mask
from attnpanel.bench.certify.cases import DIRECTIONS
from attnpanel.bench.certify.error_units import PASSING_UNITS
from attnpanel.bench.certify.grade import describe_grade
from attnpanel.bench.plots.chart import CLIP_FIRST_COLUMN
from attnpanel.bench.plots.format import bounded, ratio
from attnpanel.ui.figures import load_backend
from attnpanel.ui.theme import DARK, LIGHT, ramp
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.plotting import figure

    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.run.records import Agreement, BenchRun
    from attnpanel.ui.theme import Theme

MAX_ROWS, MAX_COLUMNS = 40, 120
# White text on it has a contrast of 5.7; no other element of the page has this colour.
FAILED: Final = "#b83b0a"
ROW = 25  # pixels
# Column width in pixels: wide enough for ratios with few cases, one digit with many.
WIDEST, NARROWEST, WIDTH = 34, 16, 1150
MAX_LETTERS = 26
# Width of a label's letter in a wide font, and margin of the plot, in pixels.
LETTER, MARGIN = 6.8, 14
SLANT = 1.1
TAP = """
document.dispatchEvent(new CustomEvent("bench:cell", {
  detail: {column: Math.round(cb_obj.x), row: Math.round(cb_obj.y)},
}))
"""
WORDS = "const i = Math.round(tick); return i === tick && i in words ? words[i] : ''"
SHORT = {
    "float64": "f64",
    "float32": "",
    "float16": "f16",
    "bfloat16": "bf16",
    "bottom_right": "↘",
    "top_left": "",
    "key_padding": "key pad",
    "padding": "pad",
    "none": "",
}


@dataclass(frozen=True)
class Matrix:
    """The content of the matrix.

    Attributes
    ----------
    implementations : tuple of str
        Rows, from the top.
    cases : tuple of Case
        Columns, the cases with a certificate.
    labels : tuple of str
        Column labels: how a case differs from the others.
    cells : dict of (row, column) to Agreement
    left_out : int
        Number of certificates beyond the limits of the plot.
    """

    implementations: tuple[str, ...]
    cases: tuple[Case, ...]
    labels: tuple[str, ...]
    cells: dict[tuple[int, int], Agreement]
    left_out: int


def matrix_of(run: BenchRun) -> Matrix:
    """Arrange the certificates of a run by row and column."""
    named = {agreement.case for agreement in run.agreements}
    cases = tuple(case for case in run.cases if case.name in named)[:MAX_COLUMNS]
    known = {agreement.implementation for agreement in run.agreements}
    names = tuple(name for name in run.implementations if name in known)[:MAX_ROWS]
    column = {case.name: place for place, case in enumerate(cases)}
    row = {name: place for place, name in enumerate(names)}
    cells = {
        (row[agreement.implementation], column[agreement.case]): agreement
        for agreement in run.agreements
        if agreement.implementation in row and agreement.case in column
    }
    left_out = sum(
        agreement.implementation not in row or agreement.case not in column
        for agreement in run.agreements
    )
    return Matrix(names, cases, _labels(cases), cells, left_out)


def matrix_columns(matrix: Matrix) -> dict[str, list[Any]]:
    """Return the cells as data columns; ``@light`` and ``@dark`` hold a theme's colours."""
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            *("x", "y", "left", "bottom", "right", "top", "text", "implementation", "case"),
            *("hover", "fill@light", "fill@dark", "color@light", "color@dark"),
        )
    }
    narrow = _column_width(matrix) < WIDEST - 8
    for (row, column), agreement in matrix.cells.items():
        columns["x"].append(float(column))
        columns["y"].append(float(row))
        columns["left"].append(column - 0.47)
        columns["right"].append(column + 0.47)
        columns["bottom"].append(row - 0.46)
        columns["top"].append(row + 0.46)
        columns["text"].append(cell_text(agreement, narrow=narrow))
        columns["implementation"].append(bounded(agreement.implementation, 60))
        columns["case"].append(bounded(agreement.case, 160))
        columns["hover"].append(_hover_text(agreement))
        for name, theme in (("light", LIGHT), ("dark", DARK)):
            fill, ink = _colours(agreement, theme)
            columns[f"fill@{name}"].append(fill)
            columns[f"color@{name}"].append(ink)
    return columns


def cell_text(agreement: Agreement, *, narrow: bool) -> str:
    """Return the text of a cell; a verdict is never shown by colour alone."""
    known = agreement.max_ratio
    if agreement.verdict in ("pass", "unsupported") and shape_only(agreement):
        return "◇"
    if agreement.verdict == "unsupported":
        return "–"
    if agreement.verdict == "graded":
        return "≈"
    if agreement.verdict == "error":
        return "!" if narrow else "err"
    if agreement.verdict == "fail":
        return "✕" if narrow or known is None or known <= PASSING_UNITS else f"✕{ratio(known)}"
    if known is None:
        return "✓"
    return f"{known:.0f}" if narrow else ratio(known)


def shape_only(agreement: Agreement) -> bool:
    """Whether only shape, dtype and device passed, without the device."""
    checks = agreement.checks
    return agreement.basis == "fake" and bool(checks) and all(c.verdict == "pass" for c in checks)


def _column_width(matrix: Matrix) -> int:
    return min(WIDEST, max(NARROWEST, WIDTH // max(1, len(matrix.cases))))


def matrix_element(matrix: Matrix, *, dark: bool) -> Any:
    """Return the matrix as a HoloViews overlay of filled cells and their texts."""
    load_backend()
    columns = matrix_columns(matrix)
    theme = "dark" if dark else "light"
    for name in ("fill", "color"):
        columns[name] = columns[f"{name}@{theme}"]
    cells = hv.Rectangles([(0, 0, 1, 1)]).opts(
        default_tools=[], tools=["hover"], hooks=[_cells_hook(columns)]
    )
    texts = hv.Labels([(0.0, 0.0, "", "")], ["x", "y"], ["text", "color"])
    texts = texts.opts(text_color="color", default_tools=[], hooks=[_texts_hook(columns)])
    return (cells * texts).opts(hooks=[_layout_hook(matrix)])


def _cells_hook(columns: dict[str, list[Any]]) -> Any:
    def finish(plot: Any, _element: Any) -> None:
        source = plot.handles["cds"]
        source.name = "bench:matrix:cells"
        source.data = columns
        plot.handles["glyph"].update(fill_color=field("fill"), line_color=None)
        hover = plot.handles["hover"]
        hover.tooltips = [("", "@implementation"), ("", "@case"), ("", "@hover")]

    return finish


def _texts_hook(columns: dict[str, list[Any]]) -> Any:
    def finish(plot: Any, _element: Any) -> None:
        source, glyph = plot.handles["cds"], plot.handles["glyph"]
        source.name = "bench:matrix:texts"
        source.data = {
            name: columns[name] for name in ("x", "y", "text", "color", "color@light", "color@dark")
        }
        if isinstance(glyph, Text):
            glyph.update(text_color=field("color"), text_font_size="10.5px")
        # HoloViews' selection glyphs refer to columns that this source lacks; nothing is selected.
        plot.handles["glyph_renderer"].update(
            selection_glyph=None, nonselection_glyph=None, muted_glyph=None
        )

    return finish


def _layout_hook(matrix: Matrix) -> Any:
    def finish(plot: Any, _element: Any) -> None:
        _apply_layout(plot.state, matrix)

    return finish


def _apply_layout(plot: figure, matrix: Matrix) -> None:
    plot.name = "bench:plot:matrix"
    plot.output_backend = "canvas"
    plot.toolbar_location = None
    plot.title = None
    plot.outline_line_color = None
    plot.border_fill_color = plot.background_fill_color = None
    plot.min_border = 2
    plot.styles = CLIP_FIRST_COLUMN
    rows, columns = len(matrix.implementations), len(matrix.cases)
    width, height = _column_width(matrix) * columns, ROW * rows
    plot.frame_width, plot.frame_height = width, height
    # A fixed size: on a phone the card scrolls instead of shrinking the plot.
    names = [bounded(name, MAX_LETTERS) for name in matrix.implementations]
    beside, below = (LETTER * max(map(len, words), default=0) for words in (names, matrix.labels))
    plot.sizing_mode = "fixed"
    plot.width = round(width + beside + MARGIN)
    plot.height = round(height + below * sin(SLANT) + MARGIN)
    plot.x_range.update(start=-0.5, end=columns - 0.5)
    plot.y_range.update(start=rows - 0.5, end=-0.5)
    for axis, words in ((plot.xaxis[0], list(matrix.labels)), (plot.yaxis[0], names)):
        axis.axis_label = None
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
        axis.major_tick_in = axis.major_tick_out = 0
        axis.major_label_standoff = 4
        axis.major_label_text_font_size = "11px"
        axis.ticker = FixedTicker(ticks=list(range(len(words))), minor_ticks=[])
        axis.formatter = CustomJSTickFormatter(args={"words": words}, code=WORDS)
    plot.xaxis[0].major_label_orientation = SLANT
    for grid in plot.grid:
        grid.visible = False
    plot.add_layout(
        BoxAnnotation(
            name="bench:cell", fill_color=None, line_color="#5c7cfa", line_width=2.5, visible=False,
            level="overlay",
        )
    )  # fmt: skip
    for event in ("tap", "pressup"):  # to Bokeh a slow tap is a press
        plot.js_on_event(event, CustomJS(code=TAP))


def _colours(agreement: Agreement, theme: Theme) -> tuple[str, str]:
    """Return fill and text colour of a cell."""
    if agreement.verdict == "fail":
        return FAILED, "#ffffff"
    if agreement.verdict == "error":
        return theme.ink, theme.card
    if agreement.verdict in ("unsupported", "graded"):
        return theme.masked, theme.muted if agreement.verdict == "unsupported" else theme.ink
    if agreement.max_ratio is None:
        return theme.soft, theme.ink
    # Only the lighter third of the ramp, so that text on it stays readable.
    share = log10(1 + 9 * min(max(agreement.max_ratio / PASSING_UNITS, 0.0), 1.0))
    return ramp(theme.sequential)[round(8 + share * 72)], theme.ink


def _hover_text(agreement: Agreement) -> str:
    if agreement.verdict == "pass" and agreement.max_ratio is not None:
        known, most = ratio(agreement.max_ratio), f"{PASSING_UNITS:g}"
        return t("passed: at most {count} of {most} units", count=known, most=most)
    if agreement.verdict == "graded":
        return bounded(f"{t('graded')}: {describe_grade(agreement)}", 200)
    why = agreement.reasons[0] if agreement.reasons else ""
    fake = agreement.basis == "fake"
    kind = t("shape, dtype and device only") if fake else _verdict(agreement.verdict)
    return bounded(f"{kind}: {why}" if why else kind, 200)


def _verdict(verdict: str) -> str:
    words = {
        "pass": t("passed"),
        "fail": t("failed"),
        "unsupported": t("not supported"),
        "error": t("error"),
    }
    return words.get(verdict, verdict)


def _labels(cases: Sequence[Case]) -> tuple[str, ...]:
    """Return short labels of how each case differs; with its number if not unique."""
    shapes = [_shape(case) for case in cases]
    usual = max(set(shapes), key=shapes.count, default="")
    labels = []
    for case, shape in zip(cases, shapes, strict=True):
        request = case.request
        parts = [
            SHORT.get(request.mask, request.mask),
            SHORT.get(request.align, request.align) if find_mask(request.mask).aligned else "",
            "bias" if request.bias else "",
            SHORT[request.dtype],
            case.kind if case.kind != "randn" else "",
            f"τ {request.temperature:g}" if request.temperature != 1 else "",
            f"scale {request.scale:g}" if request.scale is not None else "",
            request.device if request.device != "cpu" else "",
            "" if request.direction == "forward" else DIRECTIONS[request.direction],
            shape if shape != usual else "",
        ]
        labels.append(bounded(" ".join(part for part in parts if part) or "plain", 34))
    return tuple(
        label if labels.count(label) == 1 else bounded(f"{label} #{place}", 38)
        for place, label in enumerate(labels)
    )


def _shape(case: Case) -> str:
    request = case.request
    parts = [
        f"B{request.batch}" if request.batch != 1 else "",
        f"H{request.heads}/{request.kv_heads}" if request.heads != request.kv_heads else "",
        f"T{request.query_len}",
        f"S{request.key_len}" if request.key_len != request.query_len else "",
        f"D{request.head_dim}",
        f"Dv{request.value_dim}" if request.value_dim != request.head_dim else "",
    ]
    return " ".join(part for part in parts if part)
