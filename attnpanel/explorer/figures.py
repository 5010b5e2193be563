"""The explorer's Bokeh figures, created once; the page updates their data sources."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import (
    CrosshairTool,
    CustomAction,
    CustomJS,
    CustomJSHover,
    HoverTool,
    Span,
)

from attnpanel.explorer.page_limits import fits
from attnpanel.explorer.views import VIEWS, View
from attnpanel.explorer.views.elements import add_ring, furnish
from attnpanel.explorer.views.live import one_cell
from attnpanel.ui.components import bundle
from attnpanel.ui.fields import name_tag
from attnpanel.ui.figures import render, template
from attnpanel.ui.model_copies import EXPLORER_ID, Template
from attnpanel.ui.words import current_language, t, words_for_module

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.models import ColumnDataSource
    from bokeh.plotting import figure

    from attnpanel.explorer.state import ExplorerState

POINTER_EVENT = """
document.dispatchEvent(new CustomEvent("attn:" + explorer_id, {
  detail: {view, kind, x: cb_obj.x ?? null, y: cb_obj.y ?? null},
}))
"""
# Our pointer events and Bokeh's. A tap of more than 300 ms is a press to Bokeh, whether the finger
# or the page was slow.
POINTED = (("tap", "tap"), ("tap", "pressup"), ("move", "mousemove"), ("leave", "mouseleave"))
# Text of a heatmap's tooltip, read from the data sources without a round trip to Python.
HOVER = """
const {x, y} = special_vars
const labels = {query: queries.args.labels, key: keys.args.labels}
if (format === "query") return `${Math.round(y)} · ${labels.query[Math.round(y)] ?? ""}`
if (format === "key") return `${Math.round(x)} · ${labels.key[Math.round(x)] ?? ""}`
const source = format === "score" ? scores : weights
const {image, exact, x: x0, y: y0, dw, dh} = source.data
const cells = (exact ?? image)[0]
const [rows, columns] = cells.shape
const row = Math.floor((y - y0[0]) / dh[0] * rows)
const column = Math.floor((x - x0[0]) / dw[0] * columns)
const cell = cells[row * columns + column]
if (cell === undefined) return ""
if (Number.isNaN(cell)) return words.masked
const pooled = Math.round(dw[0]) > columns || Math.round(dh[0]) > rows ? ` ${words.pooled}` : ""
return cell.toFixed(format === "score" ? 2 : 4) + pooled
"""
# What a row or a column can be in words that a figure shows.
AXES = ("query", "key", "channel", "layer", "head", "weight", "nats")
BUTTON = 31  # pixels of the toolbar's width, its part of the lines between groups included
# The toolbar is drawn smaller, so that it stands beside the title of the narrowest plot.
SMALLER = 0.78
# A button that says what it saves; grey enough for both looks.
ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><text x="12" y="16" \
font-family="sans-serif" font-size="10" font-weight="bold" text-anchor="middle" \
fill="#7d8899">{}</text></svg>"""


def explorer_figures(state: ExplorerState, explorer_id: str) -> dict[str, figure]:
    """Return the explorer's figures by the name of their view.

    Axes, labels and heights fit the state, so that the layout does not shift when the page draws.
    What is drawn is left to the page: the matrices would be 2.6 MB at T = 512.

    Parameters
    ----------
    state : ExplorerState
    explorer_id : str
        Names the pointer events of this explorer on the page.
    """
    figures: dict[str, figure] = _template(VIEWS, current_language()).copy(explorer_id)
    # A layer too large for the page is computed on request, not here.
    if fits(state.call):
        for view in VIEWS:
            furnish(figures[view.name], (view.empty or view.draw)(state), ranges=True)
    return figures


@lru_cache(maxsize=4)
def _template(views: tuple[View, ...], _language: str) -> Template:
    """Return the figures of one cell in the current language, to be copied."""
    cell = one_cell()
    figures = {view.name: _figure(view, cell) for view in views}
    sources = {
        renderer.data_source.name: renderer.data_source
        for plot in figures.values()
        for renderer in plot.renderers
    }
    _link(figures, sources)
    for source in sources.values():
        if "image" in source.data:
            place = {name: source.data[name] for name in ("x", "y", "dw", "dh")}
            source.data = {"image": [np.full((1, 1), np.nan, dtype=np.float32)], **place}
    return template(figures)


def _figure(view: View, state: ExplorerState) -> figure:
    draw = view.empty or view.draw
    plot = render(view.element_of(draw(state)))
    plot.name = f"attn:plot:{view.name}"
    plot.tags = [name_tag(t(view.title))]  # until the page says what is in it
    plot.toolbar.tools = []
    if view.shows_pair:
        add_ring(plot)
    for kind, event in POINTED:
        if kind != "tap" and not view.follows_pointer:
            continue
        arguments = {"explorer_id": EXPLORER_ID, "view": view.name, "kind": kind}
        plot.js_on_event(event, CustomJS(args=arguments, code=POINTER_EVENT))
    return plot


def _link(figures: dict[str, figure], sources: dict[str, ColumnDataSource]) -> None:
    """Link ranges and crosshairs of heatmaps that share an axis; add tooltips and toolbars."""
    line = {"line_width": 1, "line_dash": [3, 3], "line_alpha": 0.6, "line_color": "#98a2b3"}
    spans = {"x": Span(dimension="height", **line), "y": Span(dimension="width", **line)}
    ranges: dict[str, Any] = {}
    saving = saving_callback()
    for view in VIEWS:
        plot = figures[view.name]
        if view.heatmap:
            for side, what in (("x", view.x), ("y", view.y)):
                if what in ("query", "key"):
                    axis = f"{side}_range"
                    setattr(plot, axis, ranges.setdefault(f"{side} {what}", getattr(plot, axis)))
            lines = [spans[side] for side in ("y", "x") if getattr(view, side) in ("query", "key")]
            if lines:
                overlay = lines[0] if len(lines) == 1 else tuple(lines)
                plot.add_tools(CrosshairTool(overlay=overlay))
        if view.marks == "pairs":
            plot.add_tools(_pair_tooltip(figures, sources))
        elif view.tooltip:
            rows = [(t(label), field) for label, field in view.tooltip]
            drawn = [r for r in plot.renderers if r.data_source.name == f"attn:{view.name}"]
            plot.add_tools(HoverTool(tooltips=rows, mode=view.hover, renderers=drawn))
        named = [t(side) if side and side in AXES else "" for side in (view.x, view.y or view.unit)]
        add_toolbar(plot, saving, zoomed=view.zoomed, axes=named)


def _pair_tooltip(figures: dict[str, figure], sources: dict[str, ColumnDataSource]) -> HoverTool:
    """Return the tooltip of a pair of tokens: both tokens, score and weight."""
    arguments = {
        "scores": sources["attn:scores"],
        "weights": sources["attn:weights"],
        "queries": figures["scores"].yaxis[0].formatter,
        "keys": figures["scores"].xaxis[0].formatter,
        "words": {"masked": t("masked"), "pooled": t("(largest here)")},
    }
    rows = [(t(name), f"$x{{{name}}}") for name in ("query", "key", "weight", "score")]
    formatter = CustomJSHover(args=arguments, code=HOVER)
    return HoverTool(tooltips=rows, formatters={"$x": formatter}, attachment="horizontal")


def saving_callback() -> CustomJS:
    """Return what the buttons for saving call; one of it serves all plots of a page."""
    module = bundle("save_plot")
    return CustomJS(code=words_for_module(module, current_language()) + module, module=True)


def add_toolbar(
    plot: figure, saving: CustomJS, *, zoomed: bool, axes: Sequence[str] = ("", "")
) -> None:
    """Add the toolbar that appears on hover: zoom if requested, and saving.

    A saved figure names its `axes`: what a column and a row are, or nothing.
    """
    if zoomed:
        plot.add_tools("box_zoom", "pan", "reset")
    plot.add_tools(*(_saver(kind, saving, axes) for kind in ("png", "svg", "figure")))
    for tool in plot.tools:
        # Crosshair and tooltips are always on; buttons for them would cover the title.
        tool.visible = not isinstance(tool, (CrosshairTool, HoverTool))
    plot.toolbar_location = "above"
    plot.toolbar.autohide = True
    # The toolbar is as wide as the plot and overlaps the title: only the buttons get a background.
    width = BUTTON * sum(tool.visible for tool in plot.tools)
    ground = f"linear-gradient(to left, var(--attn-card) {width}px, #0000 {width}px)"
    plot.toolbar.styles = {
        "background": ground,
        "transform": f"scale({SMALLER})",
        "transform-origin": "right center",
    }
    plot.toolbar.active_drag = plot.toolbar.active_scroll = None


def _saver(kind: str, saving: CustomJS, axes: Sequence[str]) -> CustomAction:
    label = "figure" if kind == "figure" else kind.upper()
    icon = b64encode(ICON.format(label[:3].upper()).encode()).decode("ascii")
    return CustomAction(
        name=kind,
        description=t("Save as {kind}", kind=t("figure") if kind == "figure" else label),
        icon=f"data:image/svg+xml;base64,{icon}",
        callback=saving,
        tags=list(axes),
    )
