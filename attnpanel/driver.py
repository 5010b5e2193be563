"""The Python driver: keeps plots in step with the state by writing into their data sources.

The elements are rendered once. A change of state makes the next Drawing and replaces the data
of the sources it names, which costs a few milliseconds where a new plot costs hundreds.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
from bokeh.models import (
    ColorMapper,
    ColumnDataSource,
    CrosshairTool,
    CustomAction,
    CustomJS,
    CustomJSHover,
    HoverTool,
    Span,
)

from attnpanel.browser.components import join_modules
from attnpanel.views import EMPTY_VIEWS, VIEWS, Drawing, View
from attnpanel.views.elements import colour, furnish, move_outline

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bokeh.plotting import figure

    from attnpanel.state import ExplorerState

TELL = """
document.dispatchEvent(new CustomEvent("attn:" + uid, {
  detail: {view, kind, x: cb_obj.x ?? null, y: cb_obj.y ?? null},
}))
"""
# What a reader does on a plot, and Bokeh's event of it. A tap of more than 300 ms is a press to
# Bokeh, be it the hand that was slow or the page.
POINTED = (("tap", "tap"), ("tap", "pressup"), ("move", "mousemove"), ("leave", "mouseleave"))
# What a heatmap's tooltip says, read from the sources themselves so that it costs no round trip.
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
if (Number.isNaN(cell)) return "masked"
const pooled = Math.round(dw[0]) > columns || Math.round(dh[0]) > rows ? " (largest here)" : ""
return cell.toFixed(format === "score" ? 2 : 4) + pooled
"""
BUTTON = 31  # pixels of the toolbar's width, its part of the lines between groups included
# A button that says what it saves; grey enough for both looks.
ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><text x="12" y="16" \
font-family="sans-serif" font-size="10" font-weight="bold" text-anchor="middle" \
fill="#7d8899">{}</text></svg>"""


class PythonDriver:
    """Draws every view once and then keeps its data sources current.

    Parameters
    ----------
    state : ExplorerState
    uid : str
        Names the pointer events of this explorer on the page.
    empty : bool, optional
        Whether the plots are for a page that draws them itself: their matrices stay out, which
        would be 2.6 MB at T = 512, and the overview of all heads is not computed.
    """

    # The pictures one can zoom into; all can be saved.
    ZOOMED = ("scores", "weights", "output", "row", "grid")

    def __init__(self, state: ExplorerState, uid: str, *, empty: bool = False) -> None:
        self.state = state
        self.figures: dict[str, figure] = {}
        self._sources: dict[str, ColumnDataSource] = {}
        self._mappers: dict[str, ColorMapper] = {}
        self._spans: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {}
        for view in EMPTY_VIEWS if empty else VIEWS:
            self._render(view, uid)
        self._link()
        if empty:
            self._take_matrices_out()

    def update(self, changed: Iterable[str], *, only: Iterable[str] | None = None) -> None:
        """Bring the pictures that depend on the changed parameters up to date.

        Parameters
        ----------
        changed : iterable of str
            Names of the state's parameters.
        only : iterable of str, optional
            Names of views; the others are left for later.
        """
        names = set(changed)
        for view in VIEWS:
            if only is not None and view.name not in only:
                continue
            if names.intersection(view.depends):
                self._write(view, view.draw(self.state))
            elif view.outline is not None and names.intersection(view.moves):
                move_outline(self.figures[view.name], view.outline(self.state))

    def source(self, name: str) -> ColumnDataSource:
        """Return the data source of that name, `attn:<view>`."""
        return self._sources[name]

    def viewport(self) -> tuple[float, float, float, float] | None:
        """Return (first key, last key, first query, last query) on screen, None for all."""
        plot = self.figures["scores"]
        x, y = plot.x_range, plot.y_range
        shown = (x.start, x.end, y.start, y.end)
        across, down = self._spans["scores"]
        return None if shown == (*across, *down) else shown

    def _render(self, view: View, uid: str) -> None:
        drawing = view.draw(self.state)
        plot = hv.render(view.element_of(drawing), backend="bokeh")
        plot.name = f"attn:plot:{view.name}"
        for renderer in plot.renderers:
            source = renderer.data_source
            self._sources[source.name] = source
            mapper = getattr(renderer.glyph, "color_mapper", None)
            if mapper is not None:
                self._mappers[view.name] = mapper
        plot.toolbar.tools = []
        for kind, event in POINTED:
            arguments = {"uid": uid, "view": view.name, "kind": kind}
            plot.js_on_event(event, CustomJS(args=arguments, code=TELL))
        self._spans[view.name] = (drawing.x, drawing.y)
        self.figures[view.name] = plot

    def _take_matrices_out(self) -> None:
        for source in self._sources.values():
            if "image" in source.data:
                place = {name: source.data[name] for name in ("x", "y", "dw", "dh")}
                source.data = {"image": [np.full((1, 1), np.nan, dtype=np.float32)], **place}

    def _link(self) -> None:
        """One crosshair, one zoom and one tooltip over the linked pictures."""
        scores, weights, output = (self.figures[name] for name in ("scores", "weights", "output"))
        weights.x_range = scores.x_range
        weights.y_range = output.y_range = scores.y_range
        line = {"line_width": 1, "line_dash": [3, 3], "line_alpha": 0.6, "line_color": "#98a2b3"}
        across, along = Span(dimension="width", **line), Span(dimension="height", **line)
        arguments = {
            "scores": self._sources["attn:scores"],
            "weights": self._sources["attn:weights"],
            "queries": scores.yaxis[0].formatter,
            "keys": scores.xaxis[0].formatter,
        }
        for plot in (scores, weights):
            rows = [(name, f"$x{{{name}}}") for name in ("query", "key", "weight", "score")]
            told = CustomJSHover(args=arguments, code=HOVER)
            hover = HoverTool(tooltips=rows, formatters={"$x": told}, attachment="horizontal")
            plot.add_tools(CrosshairTool(overlay=[across, along]), hover)
        output.add_tools(
            CrosshairTool(overlay=across),
            HoverTool(tooltips=[("channel", "$x{0}"), ("output", "@image{0.0000}")]),
        )
        self.figures["row"].add_tools(
            HoverTool(tooltips=[("token", "@token"), ("weight", "@weight{0.0000}")])
        )
        for name, plot in self.figures.items():
            add_toolbar(plot, zoomed=name in self.ZOOMED)

    def _write(self, view: View, drawing: Drawing) -> None:
        for name, columns in drawing.sources.items():
            if not _same(self._sources[name].data, columns):
                self._sources[name].data = columns
        spans = (drawing.x, drawing.y)
        furnish(self.figures[view.name], drawing, ranges=spans != self._spans[view.name])
        self._spans[view.name] = spans
        if view.name in self._mappers:
            colour(self._mappers[view.name], drawing)


def add_toolbar(plot: figure, *, zoomed: bool) -> None:
    """Give a plot the buttons that appear above it on hover: zoom where asked, and saving."""
    saving = CustomJS(code=join_modules("picture", "save_picture"))
    if zoomed:
        plot.add_tools("box_zoom", "pan", "reset")
    plot.add_tools(*(_saver(kind, saving) for kind in ("png", "svg")))
    for tool in plot.tools:
        # Crosshair and tooltips are always on; a button for each would hide the title.
        tool.visible = not isinstance(tool, (CrosshairTool, HoverTool))
    plot.toolbar_location = "above"
    plot.toolbar.autohide = True
    # The buttons may stand over a title's last words; the toolbar is as wide as the plot.
    width = BUTTON * sum(tool.visible for tool in plot.tools)
    ground = f"linear-gradient(to left, var(--attn-card) {width}px, #0000 {width}px)"
    plot.toolbar.styles = {"background": ground}
    plot.toolbar.active_drag = plot.toolbar.active_scroll = None


def _saver(kind: str, saving: CustomJS) -> CustomAction:
    label = kind.upper()
    icon = b64encode(ICON.format(label).encode()).decode("ascii")
    return CustomAction(
        name=kind,
        description=f"Save as {label}",
        icon=f"data:image/svg+xml;base64,{icon}",
        callback=saving,
    )


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a source holds these columns already, so that nothing need be sent."""
    # Identical pictures are rare and comparing them costs more than it saves.
    if old.keys() != new.keys() or "image" in new:
        return False
    return all(np.array_equal(old[name], new[name]) for name in new)
