"""Loss, accuracy and weight on the answer against the step: the curves of several runs, overlaid.

HoloViews makes each picture once; while runs go on, their points are written into its sources.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import holoviews as hv
import panel as pn
from bokeh.core.properties import field
from bokeh.models import CustomJSTickFormatter, HoverTool, Range1d, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.models import ColumnDataSource
    from bokeh.plotting import figure

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
# Bokeh clears a canvas from its half-th pixel on: what the first layout painted would stay in the
# leftmost column. Only that column is cut; a tooltip may reach out on every other side.
CUT: Final = {"clip-path": "inset(-999px -999px -999px 1px)"}
# 0.001 rather than 10 to the −3; six digits, so that 0.30000000000000004 is 0.3 and 3.5 stays 3.5.
PLAIN: Final = "return String(Number(tick.toPrecision(6)))"


@dataclass(frozen=True)
class Curve:
    """One run's line in one picture.

    Attributes
    ----------
    name : str
    colour : str
    x, y : sequence of float
        Steps and values, not one of them nan.
    dashed : bool
        For a run without attention, so that colour is not all that tells it apart.
    strong : bool
        For the run that is followed.
    """

    name: str
    colour: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False
    strong: bool = False


@dataclass(frozen=True)
class Chart:
    """What one picture shows: its name in the document, its axis, and how a value is said."""

    name: str
    title: str
    aside: str
    logarithmic: bool
    digits: int


CHARTS: Final = (
    Chart("loss", "Loss", "held out, nats a token", logarithmic=True, digits=3),
    Chart("accuracy", "Accuracy", "held out, 0 to 1", logarithmic=False, digits=3),
    Chart("answer", "Weight on the answer", "best head; line: formed", logarithmic=False, digits=2),
)


class CurvePicture:
    """One picture of curves.

    Parameters
    ----------
    chart : Chart
    """

    def __init__(self, chart: Chart) -> None:
        if "bokeh" not in hv.Store.renderers:
            hv.extension("bokeh", logo=False)
        self.chart = chart
        self._sources: dict[str, ColumnDataSource] = {}
        stand_in = [(0.0, 1.0), (1.0, 2.0)]
        parts = {
            "lines": hv.Path([stand_in]),
            "dashed": hv.Path([stand_in]),
            "points": hv.Points(stand_in),
        }
        elements = [
            element.opts(logy=chart.logarithmic, default_tools=[], hooks=[self._part(part)])
            for part, element in parts.items()
        ]
        overlay = hv.Overlay(elements).opts(hooks=[self._furnish])
        self.figure: figure = hv.render(overlay, backend="bokeh")
        self.pane = pn.pane.Bokeh(self.figure, sizing_mode="stretch_width", margin=0)
        self.write((), 1)

    def write(self, curves: Sequence[Curve], steps: int) -> None:
        """Draw other curves, on an axis of so many steps."""
        for part, dashed in (("lines", False), ("dashed", True)):
            its = [curve for curve in curves if curve.dashed is dashed and len(curve.x)]
            self._sources[part].data = {
                "xs": [list(curve.x) for curve in its],
                "ys": [list(curve.y) for curve in its],
                "color": [curve.colour for curve in its],
                "width": [2.6 if curve.strong else 1.5 for curve in its],
            }
        points = [(x, y, curve) for curve in curves for x, y in zip(curve.x, curve.y, strict=True)]
        digits = self.chart.digits
        self._sources["points"].data = {
            "x": [x for x, _, _ in points],
            "y": [y for _, y, _ in points],
            "color": [curve.colour for _, _, curve in points],
            "name": [curve.name for _, _, curve in points],
            "told": [f"step {x:.0f}: {y:.{digits}f}" for x, y, _ in points],
        }
        self.figure.x_range.update(start=0, end=max(steps, 1))
        low, high = self._ends([y for _, y, _ in points])
        self.figure.y_range.update(start=low, end=high)

    def _ends(self, values: Sequence[float]) -> tuple[float, float]:
        if not self.chart.logarithmic:
            return -0.03, 1.03
        positive = [value for value in values if value > 0 and math.isfinite(value)] or [1.0]
        return min(positive) / 1.25, max(positive) * 1.25

    def _part(self, part: str) -> Any:
        def finish(plot: Any, _element: Any) -> None:
            source, glyph = plot.handles["cds"], plot.handles["glyph"]
            source.name = f"lab:{self.chart.name}:{part}"
            self._sources[part] = source
            renderer = plot.handles["glyph_renderer"]
            renderer.nonselection_glyph = None
            if part == "points":
                # Invisible: what the pointer finds; under it a dot appears.
                source.data = {name: [] for name in ("x", "y", "color", "name", "told")}
                colour = field("color")
                glyph.update(
                    size=7, fill_alpha=0, line_alpha=0, fill_color=colour, line_color=colour
                )
                dot = glyph.clone()
                dot.update(fill_alpha=1)
                renderer.hover_glyph = dot
                told = [("", "@name"), ("", "@told")]
                plot.state.add_tools(HoverTool(renderers=[renderer], tooltips=told, mode="mouse"))
            else:
                source.data = {name: [] for name in ("xs", "ys", "color", "width")}
                glyph.update(line_color=field("color"), line_width=field("width"))
                glyph.line_dash = "dashed" if part == "dashed" else "solid"

        return finish

    def _furnish(self, plot: Any, _element: Any) -> None:
        shown: figure = plot.state
        shown.name = f"lab:plot:{self.chart.name}"
        shown.output_backend = "canvas"
        shown.toolbar_location = None
        shown.toolbar.logo = None
        shown.outline_line_color = shown.border_fill_color = shown.background_fill_color = None
        shown.title = None
        shown.height = HEIGHT
        shown.styles = CUT
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
            axis_label="steps",
            axis_label_standoff=2,
            axis_label_text_font_size=FONT,
            axis_label_text_font_style="normal",
        )
        if self.chart.logarithmic:
            shown.yaxis[0].formatter = CustomJSTickFormatter(code=PLAIN)
        shown.xaxis[0].ticker.desired_num_ticks = 4
        shown.yaxis[0].ticker.desired_num_ticks = 4
        for grid in shown.grid:
            grid.update(grid_line_color=GRID, grid_line_alpha=0.18, minor_grid_line_color=None)
        if not shown.grid:
            shown.xgrid.visible = shown.ygrid.visible = True
        # The step that the film shows; the page moves it.
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
        if self.chart.name == "answer":
            # From here on the film says that a head has formed (FORMED in film.js).
            half = Span(dimension="width", location=0.5, line_color=GRID, line_alpha=0.6)
            shown.add_layout(half)
