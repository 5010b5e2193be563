"""From a Drawing to a HoloViews element, and from a Drawing into a plot that is already there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
from bokeh.core.properties import field, value
from bokeh.models import (
    AdaptiveTicker,
    BoxAnnotation,
    ColumnDataSource,
    CustomJSTickFormatter,
    Grid,
    Quad,
    Text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.plotting import figure

    from attnpanel.views.drawing import Drawing, Outline

MONOSPACE = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
FRAME_HEIGHT = 268
# Pixels that a matrix and a row of bars surely have in width, and those of a tick label's letter.
NARROW, WIDE, LETTER = 220, 640, 7
TICK_FORMAT = "const i = Math.round(tick); return i === tick && i in labels ? labels[i] : ''"


def image_element(drawing: Drawing) -> hv.Image:
    """Return the drawing's one matrix as an image."""
    name, columns = next(iter(drawing.sources.items()))
    left, bottom = columns["x"][0], columns["y"][0]
    right, top = left + columns["dw"][0], bottom + columns["dh"][0]
    low, high = (drawing.colours.low, drawing.colours.high) if drawing.colours else (None, None)
    # A range of its own: HoloViews' search for one warns where everything is masked.
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
        # All columns, those that only hovering or a test reads included.
        source.data = dict(drawing.sources[name])
        # HoloViews writes a column of equal values as one fixed value, which data can't change,
        # and takes a font's text for the name of a column.
        glyph = plot.handles["glyph"]
        if isinstance(glyph, Text):
            lift = -2 if drawing.y[0] < drawing.y[1] else 0  # labels stand on bars, not in them
            glyph.update(text_color=field("color"), text_font=value(MONOSPACE), y_offset=lift)
        elif isinstance(glyph, Quad):
            glyph.fill_color = field("color")
        _quieten(plot.state, drawing)
        furnish(plot.state, drawing, ranges=True)
        if "color_mapper" in plot.handles:
            colour(plot.handles["color_mapper"], drawing)

    return finish


def _quieten(plot: figure, drawing: Drawing) -> None:
    """Take away what a reader doesn't need, once per plot."""
    plot.output_backend = "canvas"  # WebGL gains nothing for a few images, and warns on stalls
    plot.toolbar_location = None
    plot.toolbar.logo = None
    plot.outline_line_color = None
    # The card shows through, so that a plot needs no colour of its own.
    plot.border_fill_color = plot.background_fill_color = None
    plot.min_border = 2
    plot.min_border_left = plot.min_border_right = 4
    if drawing.height is None:
        # The same frame whatever the labels below it need, so that linked rows stay level.
        plot.frame_height = FRAME_HEIGHT
    plot.title = None
    plot.sizing_mode = "stretch_width"
    plot.center = [part for part in plot.center if not isinstance(part, Grid)]
    for axis, given in ((plot.xaxis[0], drawing.x_labels), (plot.yaxis[0], drawing.y_labels)):
        axis.visible = given is not None
        axis.axis_label = None
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
        axis.major_label_text_font = MONOSPACE
        axis.major_label_text_font_size = "11px"
        axis.major_label_standoff = 2
        axis.major_tick_in = axis.major_tick_out = 0
        if given is not None:
            axis.formatter = CustomJSTickFormatter(args={"labels": []}, code=TICK_FORMAT)
    plot.xaxis[0].major_label_orientation = 1.1
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


def _hatch(plot: figure) -> None:
    """A masked cell is nan, drawn as nothing: the ground shows, and it is never the colour of 0."""
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
    """Write everything of a drawing but its data into the plot that shows it.

    Parameters
    ----------
    plot : bokeh figure
        As made by the view's element.
    drawing : Drawing
    ranges : bool
        Also show the whole range again; False leaves a zoomed plot where it is.
    """
    if ranges:
        for axis, (start, end) in ((plot.x_range, drawing.x), (plot.y_range, drawing.y)):
            # The bounds first: a range is cut to the bounds it has when it is set.
            axis.bounds = (min(start, end), max(start, end))
            axis.update(start=start, end=end, reset_start=start, reset_end=end)
    for axis, labels, span in (
        (plot.xaxis[0], drawing.x_labels, drawing.x),
        (plot.yaxis[0], drawing.y_labels, drawing.y),
    ):
        if labels is None:
            continue
        if axis.formatter.args.get("labels") != list(labels):
            axis.formatter.args = {"labels": list(labels)}
            if labels is drawing.x_labels:
                axis.major_label_orientation = 0.0 if _fit_level(labels, drawing) else 1.1
            axis.ticker = _ticker(abs(span[1] - span[0]))
    if drawing.outline is not None:
        move_outline(plot, drawing.outline)
    _recolour(plot, drawing)
    if drawing.height is not None:
        plot.height = drawing.height


def _boxes(plot: figure, name: str) -> list[BoxAnnotation]:
    # figure.select would walk every model of the plot: 45 ms, where this costs nothing.
    return [box for box in plot.center if box.name == name]


def _recolour(plot: figure, drawing: Drawing) -> None:
    """Give the plot's annotations the page's colours."""
    look = drawing.look
    for box in _boxes(plot, "attn:outline"):
        box.line_color = look.accent
    for box in _boxes(plot, "attn:masked"):
        box.update(fill_color=look.masked, hatch_color=look.hatch, visible=bool(drawing.masked))


def move_outline(plot: figure, outline: Outline) -> None:
    """Put the outline around another row or tile; the y axis runs downwards."""
    left, right, first, last = outline
    for box in _boxes(plot, "attn:outline"):
        box.update(top=last, bottom=first)
        # None is the picture's edge, where a box starts out. Bokeh makes a new model of every
        # None it is given, and then walks the whole document: 50 ms each.
        if left is not None:
            box.update(left=left, right=right)


def colour(mapper: Any, drawing: Drawing) -> None:
    """Set a colour mapper's scale; the mapper itself stays, since replacing it repaints nothing."""
    if drawing.colours is not None:
        mapper.update(low=drawing.colours.low, high=drawing.colours.high)
        palette = list(drawing.colours.palette)
        if mapper.palette != palette:  # Bokeh takes 20 ms to check 256 colours
            mapper.update(palette=palette, nan_color="rgba(0, 0, 0, 0)")


def _fit_level(labels: Sequence[str], drawing: Drawing) -> bool:
    """Whether all labels fit side by side below the picture, upright."""
    room = NARROW if drawing.height is None else WIDE
    return len(labels) * (max(map(len, labels)) * LETTER + 8) <= room


def _ticker(length: float) -> Any:
    """Every position where all labels fit, else an even thinning that grows denser on zoom."""
    # One kind of ticker whatever the length: the page changes its numbers, not the model.
    return AdaptiveTicker(
        desired_num_ticks=24 if length <= 24 else 14,
        min_interval=1,
        mantissas=[1, 2, 5],
        num_minor_ticks=0,
    )
