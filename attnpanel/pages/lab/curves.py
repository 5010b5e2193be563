"""Charts of loss, accuracy and weight on the answer against the step, for several runs.

HoloViews renders each plot once in a process; points are written into a copy's data sources.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

import holoviews as hv
from bokeh.core.properties import field
from bokeh.models import CustomJSTickFormatter, HoverTool, Range1d, Span

from attnpanel.ui.fields import name_tag
from attnpanel.ui.figures import FigurePane, load_backend, render, template
from attnpanel.ui.layout import CLIP
from attnpanel.ui.words import current_language, t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.models import ColumnDataSource
    from bokeh.plotting import figure

    from attnpanel.ui.model_copies import Template

# Contrast of at least 3 against both cards (#ffffff and #181c25).
COLOURS: Final = (
    "#3f78d8",
    "#d4621f",
    "#12907c",
    "#a35fc9",
    "#8a6d1d",
    "#c2417a",
    "#5b8c1a",
    "#7d8899",
)
GRID: Final = "#98a2b3"
HEIGHT: Final = 206
FONT: Final = "10.5px"
# 0.001 instead of 10 to the −3; six digits, so that 0.30000000000000004 is 0.3 and 3.5 stays 3.5.
DECIMAL: Final = "return String(Number(tick.toPrecision(6)))"


@dataclass(frozen=True)
class Curve:
    """One run's line in one chart.

    Attributes
    ----------
    name : str
    colour : str
    x, y : sequence of float
        Steps and values, none of them nan.
    dashed : bool
        True for a run without attention, which colour alone would not tell apart.
    strong : bool
        True for the followed run.
    """

    name: str
    colour: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False
    strong: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart: its name in the document, its texts, its y axis and the digits of a value."""

    name: str
    title: str
    subtitle: str
    logarithmic: bool
    digits: int


CHARTS: Final = (
    Chart("loss", "Loss", "held out, nats a token", logarithmic=True, digits=3),
    Chart("accuracy", "Accuracy", "held out, 0 to 1", logarithmic=False, digits=3),
    Chart("answer", "Weight on the answer", "best head; line: formed", logarithmic=False, digits=2),
)


class CurvePlot:
    """A plot of one chart's curves.

    Parameters
    ----------
    chart : Chart
    """

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.figure: figure = _template(chart, current_language()).copy()
        self._sources: dict[str, ColumnDataSource] = {
            renderer.data_source.name.rpartition(":")[2]: renderer.data_source
            for renderer in self.figure.renderers
        }
        self.figure.tags = [
            name_tag(
                t("{title}, of each run by step", title=f"{t(chart.title)}, {t(chart.subtitle)}")
            )
        ]
        self.pane = FigurePane(self.figure)
        self.write((), 1)

    def write(self, curves: Sequence[Curve], steps: int) -> None:
        """Replace the curves and set the length of the x axis in steps."""
        for part, dashed in (("lines", False), ("dashed", True)):
            selected = [curve for curve in curves if curve.dashed is dashed and len(curve.x)]
            self._sources[part].data = {
                "xs": [list(curve.x) for curve in selected],
                "ys": [list(curve.y) for curve in selected],
                "color": [curve.colour for curve in selected],
                "width": [2.6 if curve.strong else 1.5 for curve in selected],
            }
        points = [(x, y, curve) for curve in curves for x, y in zip(curve.x, curve.y, strict=True)]
        digits = self.chart.digits
        self._sources["points"].data = {
            "x": [x for x, _, _ in points],
            "y": [y for _, y, _ in points],
            "color": [curve.colour for _, _, curve in points],
            "name": [curve.name for _, _, curve in points],
            "text": [f"{t('step {step}', step=f'{x:.0f}')}: {y:.{digits}f}" for x, y, _ in points],
        }
        self.figure.x_range.update(start=0, end=max(steps, 1))
        low, high = self._y_limits([y for _, y, _ in points])
        self.figure.y_range.update(start=low, end=high)

    def _y_limits(self, values: Sequence[float]) -> tuple[float, float]:
        if not self.chart.logarithmic:
            return -0.03, 1.03
        positive = [value for value in values if value > 0 and math.isfinite(value)] or [1.0]
        return min(positive) / 1.25, max(positive) * 1.25


@lru_cache(maxsize=4 * len(CHARTS))
def _template(chart: Chart, _language: str) -> Template:
    """Return an empty plot in the current language, to be copied."""
    load_backend()
    stand_in = [(0.0, 1.0), (1.0, 2.0)]
    parts = {
        "lines": hv.Path([stand_in]),
        "dashed": hv.Path([stand_in]),
        "points": hv.Points(stand_in),
    }
    elements = [
        element.opts(logy=chart.logarithmic, default_tools=[], hooks=[_part(chart, part)])
        for part, element in parts.items()
    ]
    overlay = hv.Overlay(elements).opts(hooks=[partial(_furnish, chart)])
    return template(render(overlay))


def _part(chart: Chart, part: str) -> Any:
    def finish(plot: Any, _element: Any) -> None:
        source, glyph = plot.handles["cds"], plot.handles["glyph"]
        source.name = f"lab:{chart.name}:{part}"
        renderer = plot.handles["glyph_renderer"]
        renderer.nonselection_glyph = None
        if part == "points":
            # Invisible points that the pointer can hit; a dot appears under it.
            source.data = {name: [] for name in ("x", "y", "color", "name", "text")}
            colour = field("color")
            glyph.update(size=7, fill_alpha=0, line_alpha=0, fill_color=colour, line_color=colour)
            dot = glyph.clone()
            dot.update(fill_alpha=1)
            renderer.hover_glyph = dot
            rows = [("", "@name"), ("", "@text")]
            plot.state.add_tools(HoverTool(renderers=[renderer], tooltips=rows, mode="mouse"))
        else:
            source.data = {name: [] for name in ("xs", "ys", "color", "width")}
            glyph.update(line_color=field("color"), line_width=field("width"))
            glyph.line_dash = "dashed" if part == "dashed" else "solid"

    return finish


def _furnish(chart: Chart, plot: Any, _element: Any) -> None:
    shown: figure = plot.state
    shown.name = f"lab:plot:{chart.name}"
    shown.output_backend = "canvas"
    shown.toolbar_location = None
    shown.toolbar.logo = None
    shown.outline_line_color = shown.border_fill_color = shown.background_fill_color = None
    shown.title = None
    shown.height = HEIGHT
    shown.styles = CLIP
    shown.sizing_mode = "stretch_width"
    shown.min_border = 4
    shown.x_range = Range1d(0, 1)
    shown.y_range = Range1d(0.5, 1)
    for axis in (*shown.xaxis, *shown.yaxis):
        axis.axis_label = None
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
        axis.major_label_text_font_size = FONT
        axis.major_label_standoff = 4
    shown.xaxis[0].update(
        axis_label=t("steps"),
        axis_label_standoff=2,
        axis_label_text_font_size=FONT,
        axis_label_text_font_style="normal",
    )
    if chart.logarithmic:
        shown.yaxis[0].formatter = CustomJSTickFormatter(code=DECIMAL)
    shown.xaxis[0].ticker.desired_num_ticks = 4
    shown.yaxis[0].ticker.desired_num_ticks = 4
    for grid in shown.grid:
        grid.update(grid_line_color=GRID, grid_line_alpha=0.18, minor_grid_line_color=None)
    if not shown.grid:
        shown.xgrid.visible = shown.ygrid.visible = True
    # The step that the replay shows; moved by the page.
    shown.add_layout(
        Span(
            name="lab:step",
            dimension="height",
            location=0,
            visible=False,
            line_color=GRID,
            line_dash="dotted",
            line_width=1.5,
        )
    )
    if chart.name == "answer":
        # The replay reports a head as formed from here on (FORMED in training_replay.js).
        half = Span(dimension="width", location=0.5, line_color=GRID, line_alpha=0.6)
        shown.add_layout(half)
