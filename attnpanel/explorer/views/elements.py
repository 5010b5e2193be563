"""Convert a Drawing to a HoloViews element, and write a Drawing into an existing plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
from bokeh.core.properties import field, value
from bokeh.models import (
    AdaptiveTicker,
    BoxAnnotation,
    ColumnDataSource,
    CustomJSTickFormatter,
    FixedTicker,
    Grid,
    Quad,
    Segment,
    Text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.plotting import figure

    from attnpanel.explorer.views.drawing import Drawing, Outline, Span

MONOSPACE = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
FRAME_HEIGHT = 268
# Pixels that a matrix and a row of bars surely have in width; those of a tick label's letter, and
# those that one line of labels takes. The page, which knows the width, thins labels by it.
NARROW, WIDE, LETTER, LINE = 220, 640, 7, 13
# Tokens from one label to the next, and more labels than fit anywhere.
STEPS, MANY = tuple(digit * 10**power for power in range(6) for digit in (1, 2, 5)), 1000
TICK_FORMAT = "const i = Math.round(tick); return i === tick && i in labels ? labels[i] : ''"


def image_element(drawing: Drawing) -> hv.Image:
    """Return the drawing's one matrix as an image."""
    name, columns = next(iter(drawing.sources.items()))
    left, bottom = columns["x"][0], columns["y"][0]
    right, top = left + columns["dw"][0], bottom + columns["dh"][0]
    low, high = (drawing.colours.low, drawing.colours.high) if drawing.colours else (None, None)
    # An explicit range: HoloViews warns when it derives one and everything is masked.
    shown = hv.Dimension("value", range=(low, high))
    # hv.Image takes the first row as the topmost; the source must keep it at the smallest y.
    image = hv.Image(columns["image"][0][::-1], bounds=(left, bottom, right, top), vdims=[shown])
    return image.opts(
        default_tools=[],
        hooks=[_hook(name, drawing)],
    )


def rectangles_element(drawing: Drawing, name: str) -> hv.Rectangles:
    """Return one of the drawing's sources as filled rectangles."""
    columns = drawing.sources[name]
    sides = ["left", "bottom", "right", "top"]
    rectangles = hv.Rectangles(
        {side: columns[side] for side in [*sides, "color"]}, sides, ["color"]
    )
    return rectangles.opts(
        color="color",
        line_color=None,
        default_tools=[],
        hooks=[_hook(name, drawing)],
    )


def segments_element(drawing: Drawing, name: str) -> hv.Segments:
    """Return one of the drawing's sources as lines, as opaque as its column `alpha`."""
    columns = drawing.sources[name]
    sides = ["left", "bottom", "right", "top"]
    lines = hv.Segments({side: columns[side] for side in [*sides, "color"]}, sides, ["color"])
    return lines.opts(color="color", default_tools=[], hooks=[_hook(name, drawing)])


def labels_element(drawing: Drawing, name: str, **style: Any) -> hv.Labels:
    """Return one of the drawing's sources as texts."""
    columns = drawing.sources[name]
    labels = hv.Labels(
        {column: columns[column] for column in ("x", "y", "text", "color")},
        ["x", "y"],
        ["text", "color"],
    )
    return labels.opts(text_color="color", default_tools=[], hooks=[_hook(name, drawing)], **style)


def _hook(name: str, drawing: Drawing) -> Any:
    def finish(plot: Any, _element: Any) -> None:
        source: ColumnDataSource = plot.handles["cds"]
        source.name = name
        # All columns, including those that only tooltips or tests read.
        source.data = dict(drawing.sources[name])
        # HoloViews replaces a column of equal values by a constant, which new data would not
        # change, and takes a font name for a column name.
        glyph = plot.handles["glyph"]
        if isinstance(glyph, Text):
            lift = -5 if drawing.y[0] < drawing.y[1] else 0  # labels are above bars, not in them
            glyph.update(text_color=field("color"), text_font=value(MONOSPACE), y_offset=lift)
        elif isinstance(glyph, Quad):
            glyph.fill_color = field("color")
        elif isinstance(glyph, Segment):
            glyph.update(x0="left", y0="bottom", x1="right", y1="top", line_cap="round")
            glyph.update(line_color="color", line_width="width", line_alpha="alpha")
        _quieten(plot.state, drawing)
        furnish(plot.state, drawing, ranges=True)
        if "color_mapper" in plot.handles:
            colour(plot.handles["color_mapper"], drawing)

    return finish


def _quieten(plot: figure, drawing: Drawing) -> None:
    """Remove decorations that a reader does not need, once per plot."""
    plot.output_backend = "canvas"  # WebGL is no faster for a few images, and warns on stalls
    plot.toolbar_location = None
    plot.toolbar.logo = None
    plot.outline_line_color = None
    # Transparent, so that the card's colour is the background.
    plot.border_fill_color = plot.background_fill_color = None
    plot.min_border = 2
    plot.min_border_left = plot.min_border_right = 4
    if drawing.height is None:
        # The same frame height for any labels, so that linked rows are level.
        plot.frame_height = FRAME_HEIGHT
    plot.title = None
    plot.sizing_mode = "stretch_width"
    plot.center = [
        part for part in plot.center if not isinstance(part, Grid) or part.name == "attn:gridlines"
    ]
    for axis, labels, ticks in (
        (plot.xaxis[0], drawing.x_labels, drawing.x_ticks),
        (plot.yaxis[0], drawing.y_labels, drawing.y_ticks),
    ):
        axis.visible = labels is not None or ticks is not None
        axis.axis_label = None
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
        axis.major_label_text_font = MONOSPACE
        axis.major_label_text_font_size = "11px"
        axis.major_label_standoff = 2
        axis.major_tick_in = axis.major_tick_out = 0
        if labels is not None:
            axis.formatter = CustomJSTickFormatter(args={"labels": []}, code=TICK_FORMAT)
        elif ticks is not None:
            axis.major_label_text_font_size = "10px"
            if not isinstance(axis.ticker, FixedTicker):  # once, of several parts of one plot
                axis.ticker = FixedTicker(ticks=[])
                lines = Grid(
                    name="attn:gridlines",
                    dimension=int(ticks is drawing.y_ticks),
                    ticker=axis.ticker,
                )
                plot.center = [lines, *plot.center]
    plot.xaxis[0].major_label_orientation = 0.0 if drawing.x_labels is None else 1.1
    if (
        drawing.outline is not None
        and drawing.masked is not None
        and not _boxes(plot, "attn:masked")
    ):
        _hatch(plot)
    if drawing.outline is not None and not _boxes(plot, "attn:outline"):
        plot.add_layout(
            BoxAnnotation(
                name="attn:outline", fill_color=None, line_width=2, line_alpha=1, level="overlay"
            )
        )


def add_ring(plot: figure) -> None:
    """Add the ring around the shown pair, which the page moves, with a border against its cell."""
    for width in (5, 2):
        plot.add_layout(
            BoxAnnotation(
                name="attn:ring",
                fill_color=None,
                line_width=width,
                line_alpha=1,
                level="overlay",
                visible=False,
            )
        )


def _hatch(plot: figure) -> None:
    """Add the hatched background that shows through masked (NaN) cells."""
    # The plot's own background can't be hatched: Bokeh 3.9 fails on it with a pattern.
    ground = BoxAnnotation(
        name="attn:masked",
        level="image",
        line_color=None,
        fill_alpha=1,
        hatch_pattern="right_diagonal_line",
        hatch_alpha=1,
        hatch_scale=8,
        hatch_weight=1,
    )
    plot.add_layout(ground)


def furnish(plot: figure, drawing: Drawing, *, ranges: bool) -> None:
    """Write everything of a drawing except its data into an existing plot.

    Parameters
    ----------
    plot : bokeh figure
        As rendered from the view's element.
    drawing : Drawing
    ranges : bool
        Whether to reset the ranges; False keeps the zoom.
    """
    if ranges:
        for axis, (start, end) in ((plot.x_range, drawing.x), (plot.y_range, drawing.y)):
            # Bounds first: Bokeh clips a new range to the current bounds.
            axis.bounds = (min(start, end), max(start, end))
            axis.update(start=start, end=end, reset_start=start, reset_end=end)
    _label_axes(plot, drawing)
    if drawing.outline is not None:
        move_outline(plot, drawing.outline)
    _recolour(plot, drawing)
    if drawing.height is not None:
        plot.height = drawing.height


def _label_axes(plot: figure, drawing: Drawing) -> None:
    """Write the labels of tokens and those of numbers."""
    across = NARROW if drawing.height is None else WIDE
    for axis, labels, span, pixels in (
        (plot.xaxis[0], drawing.x_labels, drawing.x, across),
        (plot.yaxis[0], drawing.y_labels, drawing.y, FRAME_HEIGHT),
    ):
        if labels is None or axis.formatter.args.get("labels") == list(labels):
            continue
        axis.formatter.args = {"labels": list(labels)}
        axis.ticker = _ticker(span, pixels)
        if labels is drawing.x_labels:
            axis.major_label_orientation = 0.0 if _fit_level(labels, drawing) else 1.1
    for axis, ticks in ((plot.xaxis[0], drawing.x_ticks), (plot.yaxis[0], drawing.y_ticks)):
        if ticks is not None:
            axis.ticker.ticks = [position for position, _ in ticks]
            axis.major_label_overrides = dict(ticks)


def _boxes(plot: figure, name: str) -> list[BoxAnnotation]:
    # figure.select walks every model of the plot, which takes 45 ms.
    return [box for box in plot.center if box.name == name]


def _recolour(plot: figure, drawing: Drawing) -> None:
    """Set the colours of the plot's annotations."""
    theme = drawing.theme
    for box in _boxes(plot, "attn:outline"):
        box.line_color = theme.accent
    for box in _boxes(plot, "attn:masked"):
        box.update(fill_color=theme.masked, hatch_color=theme.hatch, visible=bool(drawing.masked))


def move_outline(plot: figure, outline: Outline) -> None:
    """Move the outline to another row or tile; the y axis runs downwards."""
    left, right, first, last = outline
    for box in _boxes(plot, "attn:outline"):
        box.update(top=last, bottom=first)
        # None, the plot's edge, is the initial value. Setting it again would make Bokeh create a
        # model and walk the whole document: 50 ms each.
        if left is not None:
            box.update(left=left, right=right)


def colour(mapper: Any, drawing: Drawing) -> None:
    """Set a colour mapper's scale in place; replacing the mapper would not repaint."""
    if drawing.colours is not None:
        mapper.update(low=drawing.colours.low, high=drawing.colours.high)
        palette = list(drawing.colours.palette)
        if mapper.palette != palette:  # Bokeh takes 20 ms to check 256 colours
            mapper.update(palette=palette, nan_color="rgba(0, 0, 0, 0)")


def _fit_level(labels: Sequence[str], drawing: Drawing) -> bool:
    """Whether all labels fit side by side below the plot, upright."""
    room = NARROW if drawing.height is None else WIDE
    return len(labels) * (max(map(len, labels)) * LETTER + 8) <= room


def _ticker(span: Span, pixels: int) -> Any:
    """Every position where all labels fit into so many pixels, else an even thinning."""
    least = LINE * abs(span[1] - span[0]) / pixels
    # One kind of ticker whatever the length: the page changes its numbers, not the model. Asked for
    # more ticks than there are, it takes the least interval allowed.
    return AdaptiveTicker(
        desired_num_ticks=MANY,
        min_interval=next(step for step in STEPS if step >= least),
        mantissas=[1, 2, 5],
        num_minor_ticks=0,
    )
