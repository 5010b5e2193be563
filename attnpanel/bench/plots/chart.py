"""Charts of lines on logarithmic axes: plain data and their HoloViews element.

Each line is labelled at the right edge next to its end, so no legend is needed. Colours are
readable on light and dark cards, and each framework has its own marker.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any

import holoviews as hv
from bokeh.core.properties import field as column
from bokeh.models import (
    CustomJSTickFormatter,
    FixedTicker,
    HoverTool,
    LogAxis,
    MultiLine,
    NoOverlap,
    Scatter,
)

from attnpanel.bench.plots.format import bounded
from attnpanel.ui.figures import load_backend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bokeh.plotting import figure

Span = tuple[float, float]
# Contrast of at least 3 against both cards (#ffffff and #181c25).
MARKS: dict[str, tuple[str, str]] = {
    "numpy": ("circle", "#3f78d8"),
    "torch": ("square", "#d4621f"),
    "javascript": ("triangle", "#12907c"),
    "onnxruntime": ("diamond", "#a35fc9"),
    "jax": ("inverted_triangle", "#8a6d1d"),
}
OTHER = ("hex", "#7d8899")
LIMIT = "#7d8899"
GRID = "#98a2b3"
FRAME_HEIGHT = 300
NAME_HEIGHT = 13  # pixels between two labels
FONT = "10.5px"
WORDS = "const at = places.indexOf(tick); return at < 0 ? '' : words[at]"
# Bokeh clears a canvas from half a pixel on, so paint of the first layout remains in the leftmost
# column. Clip only that column: tooltips may extend beyond the other sides.
CLIP_FIRST_COLUMN = {"clip-path": "inset(-999px -999px -999px 2px)"}


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes
    ----------
    name : str
        Name of the implementation; untrusted text from a file.
    at_end : str
        Value at the end of the line, shown after the name.
    x, y : sequence of float
        Positive.
    hover : sequence of str
        Hover text of each point.
    """

    name: str
    at_end: str
    x: Sequence[float]
    y: Sequence[float]
    hover: Sequence[str]


@dataclass(frozen=True)
class Limit:
    """A dashed line: a limit, or a guide to read the others."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Chart:
    """A chart as data.

    Attributes
    ----------
    lines : tuple of Line
    limits : tuple of Limit
    x_ticks : tuple of (float, str)
        Position and label of the ticks of the x axis.
    format_y : callable
        Formats a value of the y axis.
    x_title : str
    empty : str
        Message of the card if there is nothing to draw.
    """

    lines: tuple[Line, ...]
    limits: tuple[Limit, ...]
    x_ticks: tuple[tuple[float, str], ...]
    format_y: Callable[[float], str]
    x_title: str
    empty: str = ""
    columns: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", _columns(self))


def mark(implementation: str) -> tuple[str, str]:
    """Return marker and colour of an implementation's framework."""
    return MARKS.get(implementation.partition("-")[0], OTHER)


def chart_element(chart: Chart, name: str) -> Any:
    """Return a chart as a HoloViews overlay with data sources named `bench:<name>:<part>`."""
    load_backend()
    placeholder = [(1.0, 1.0), (2.0, 2.0)]
    parts = {
        "limits": hv.Path([placeholder]),
        "lines": hv.Path([placeholder]),
        "leaders": hv.Segments([(1.0, 1.0, 2.0, 2.0)]),
        "points": hv.Points(placeholder),
    }
    # The hook sets the data: HoloViews would replace a column of equal colours by one value.
    elements = [
        element.opts(logx=True, logy=True, default_tools=[], hooks=[_part_hook(name, part, chart)])
        for part, element in parts.items()
    ]
    return hv.Overlay(elements).opts(hooks=[_layout_hook(name, chart)])


def _part_hook(name: str, part: str, chart: Chart) -> Any:
    def finish(plot: Any, _element: Any) -> None:
        source, glyph = plot.handles["cds"], plot.handles["glyph"]
        source.name = f"bench:{name}:{part}"
        source.data = chart.columns["sources"][part]
        if isinstance(glyph, Scatter):
            colour = column("color")
            glyph.update(marker=column("marker"), size=7, fill_color=colour, line_color=colour)
            plot.handles["glyph_renderer"].nonselection_glyph = None
            hover = [("", "@name"), ("", "@hover")]
            plot.state.add_tools(
                HoverTool(
                    renderers=[plot.handles["glyph_renderer"]],
                    tooltips=hover,
                    point_policy="snap_to_data",
                )
            )
        elif part == "limits":
            glyph.update(line_color=LIMIT, line_dash=[5, 4], line_width=1.6)
        elif isinstance(glyph, MultiLine):
            glyph.update(line_color=column("color"), line_width=1.8)
        else:
            glyph.update(line_color=column("color"), line_width=1, line_alpha=0.45)

    return finish


def _layout_hook(name: str, chart: Chart) -> Any:
    def finish(plot: Any, _element: Any) -> None:
        apply_layout(plot.state, name, chart)

    return finish


def apply_layout(plot: figure, name: str, chart: Chart) -> None:
    """Set ranges, ticks and line labels, and remove the rest of Bokeh's decoration."""
    plot.name = f"bench:plot:{name}"
    plot.output_backend = "canvas"
    plot.toolbar_location = None
    plot.toolbar.logo = None
    plot.title = None
    plot.outline_line_color = None
    plot.border_fill_color = plot.background_fill_color = None
    plot.min_border = 4
    plot.styles = CLIP_FIRST_COLUMN
    plot.sizing_mode = "stretch_width"
    columns = chart.columns
    plot.frame_height = columns["height"]
    plot.x_range.update(start=columns["x"][0], end=columns["x"][1])
    plot.y_range.update(start=columns["y"][0], end=columns["y"][1])
    plot.xaxis[0].update(
        axis_label=chart.x_title,
        axis_label_text_font_size="11px",
        axis_label_text_font_style="normal",
        axis_label_standoff=4,
        major_label_policy=NoOverlap(),
    )
    plot.yaxis[0].axis_label = None
    if len(plot.yaxis) == 1:
        plot.add_layout(LogAxis(), "right")
    for axis, key in zip((*plot.xaxis, *plot.yaxis), ("x_ticks", "y_ticks", "names"), strict=True):
        ticks, words = columns[key]
        _hide_axis_lines(axis)
        axis.ticker = FixedTicker(ticks=ticks, minor_ticks=[])
        axis.formatter = CustomJSTickFormatter(args={"places": ticks, "words": words}, code=WORDS)
    for grid in plot.grid:
        grid.update(grid_line_color=GRID, grid_line_alpha=0.18, minor_grid_line_color=None)
    if len(plot.grid) < 2:
        plot.xgrid.visible = plot.ygrid.visible = True


def _hide_axis_lines(axis: Any) -> None:
    axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
    axis.major_tick_in = axis.major_tick_out = 0
    axis.major_label_standoff = 5
    axis.major_label_text_font_size = FONT


def _columns(chart: Chart) -> dict[str, Any]:
    """Return all data of a chart that the page replaces when another family is chosen."""
    drawn: tuple[Line | Limit, ...] = (*chart.lines, *chart.limits)
    all_y = [y for curve in drawn for y in curve.y] or [1.0]
    all_x = [x for curve in drawn for x in curve.x] or [1.0]
    height = max(FRAME_HEIGHT, NAME_HEIGHT * len(drawn) + 16)
    low, high = min(all_y), max(all_y)
    margin = (high / low) ** 0.04 * 1.12
    y = (low / margin, high * margin)
    first, last = min(all_x), max(all_x)
    # Room at the right for the leaders from the last points to their labels.
    width = max(last / first, 1.5)
    x = (first / width**0.05, last * width**0.14)
    ends = [(line.y[-1], line.x[-1], _end_name(line), mark(line.name)[1]) for line in chart.lines]
    ends += [(limit.y[-1], limit.x[-1], limit.name, LIMIT) for limit in chart.limits if limit.y]
    ends.sort(key=lambda end: end[0])
    at = spread([end[0] for end in ends], y, height)
    ticks = log_ticks(*y)
    return {
        "sources": {
            "lines": {
                "xs": [list(line.x) for line in chart.lines],
                "ys": [list(line.y) for line in chart.lines],
                "color": [mark(line.name)[1] for line in chart.lines],
            },
            "points": _points(chart.lines),
            "limits": {
                "xs": [list(limit.x) for limit in chart.limits],
                "ys": [list(limit.y) for limit in chart.limits],
            },
            "leaders": {
                "x0": [end[1] for end in ends],
                "y0": [end[0] for end in ends],
                "x1": [x[1]] * len(ends),
                "y1": at,
                "color": [end[3] for end in ends],
            },
        },
        "x": list(x),
        "y": list(y),
        "height": height,
        "x_ticks": [[tick for tick, _ in chart.x_ticks], [words for _, words in chart.x_ticks]],
        "y_ticks": [ticks, [chart.format_y(tick).replace(".0 ", " ") for tick in ticks]],
        "names": [at, [end[2] for end in ends]],
    }


def _points(lines: Sequence[Line]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        name: [] for name in ("x", "y", "color", "marker", "name", "hover")
    }
    for line in lines:
        marker, colour = mark(line.name)
        columns["x"] += line.x
        columns["y"] += line.y
        columns["color"] += [colour] * len(line.x)
        columns["marker"] += [marker] * len(line.x)
        columns["name"] += [bounded(line.name, 60)] * len(line.x)
        columns["hover"] += line.hover
    return columns


def _end_name(line: Line) -> str:
    return f"{bounded(line.name, 26)}  {line.at_end}"


def spread(values: Sequence[float], span: Span, height: float) -> list[float]:
    """Spread ascending positions on a logarithmic axis so that labels do not overlap.

    Parameters
    ----------
    values : sequence of float
        Ascending.
    span : (float, float)
        Ends of the axis.
    height : float
        Length of the axis in pixels.

    Returns
    -------
    list of float
        Positions at least `NAME_HEIGHT` pixels apart, each near its value.
    """
    low, high = map(log10, span)
    scale = height / (high - low)
    # Blocks of touching labels: [index of the first, count, sum of their preferred block starts].
    blocks: list[list[float]] = []
    for index, value in enumerate(values):
        wanted = (log10(value) - low) * scale
        blocks.append([index, 1, wanted])
        while len(blocks) > 1 and _start(blocks[-1], height) < _end(blocks[-2], height):
            _, count, total = blocks.pop()
            before = blocks[-1]
            before[2] += total - before[1] * count * NAME_HEIGHT
            before[1] += count
    at = [
        _start(block, height) + (0.5 + place) * NAME_HEIGHT
        for block in blocks
        for place in range(int(block[1]))
    ]
    return [float(10 ** (low + pixel / scale)) for pixel in at]


def _start(block: Sequence[float], height: float) -> float:
    """Return the start of a block, its labels centred on their values, within the axis."""
    _, count, total = block
    first = total / count - NAME_HEIGHT / 2
    return min(max(first, 0.0), height - count * NAME_HEIGHT)


def _end(block: Sequence[float], height: float) -> float:
    return _start(block, height) + block[1] * NAME_HEIGHT


def log_ticks(low: float, high: float) -> list[float]:
    """Return tick values between two numbers: powers of ten, or finer if there are few."""
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 4:
            break
    return ticks
