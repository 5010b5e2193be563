"""The plots of a comparison, created empty; the browser draws into them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import CrosshairTool, CustomJS, CustomJSHover, HoverTool, Span

from attnpanel.explorer.figures import (
    POINTED,
    POINTER_EVENT,
    add_toolbar,
    saving_callback,
)
from attnpanel.explorer.views.drawing import Colours, Drawing, image_columns
from attnpanel.explorer.views.elements import (
    add_ring,
    image_element,
    labels_element,
    rectangles_element,
)
from attnpanel.ui.fields import name_tag
from attnpanel.ui.figures import load_backend, render, template
from attnpanel.ui.layout import CLIP
from attnpanel.ui.model_copies import EXPLORER_ID, Template
from attnpanel.ui.theme import LIGHT, ramp
from attnpanel.ui.words import current_language, t

if TYPE_CHECKING:
    from bokeh.plotting import figure

MATRICES = ("first", "second", "difference")
SPAN = (-0.5, 0.5)
# Text of the tooltip's rows, taken from the labels of the axes.
LABEL_AT_POINTER = """
const {x, y} = special_vars
const {queries, keys} = names
if (format === "query") return queries.args.labels[Math.round(y)] ?? ""
return keys.args.labels[Math.round(x)] ?? ""
"""


def comparison_figures(explorer_id: str) -> dict[str, figure]:
    """Create the plots by name: both sides, their difference, the row as bars, and all heads.

    Parameters
    ----------
    explorer_id : str
        Identifies this comparison's pointer events on the page.
    """
    figures: dict[str, figure] = _template(current_language()).copy(explorer_id)
    return figures


@lru_cache(maxsize=4)
def _template(_language: str) -> Template:
    load_backend()
    elements = {name: image_element(_matrix(name)) for name in (*MATRICES, "heads")}
    elements["bars"] = _bars()
    figures = {name: render(element) for name, element in elements.items()}
    for name, plot in figures.items():
        plot.name = f"attn:plot:{name}"
        plot.tags = [
            name_tag(t("Comparison: {name}", name=name))
        ]  # until the page says what is in it
        plot.styles = CLIP
        plot.toolbar.tools = []
        if name != "heads":
            add_ring(plot)
        for kind, event in POINTED:
            arguments = {"explorer_id": EXPLORER_ID, "view": name, "kind": kind}
            plot.js_on_event(event, CustomJS(args=arguments, code=POINTER_EVENT))
    _link([figures[name] for name in MATRICES])
    figures["bars"].add_tools(
        HoverTool(
            tooltips=[(t("side"), "@side"), (t("token"), "@token"), (t("weight"), "@top{0.0000}")]
        )
    )
    figures["heads"].add_tools(
        HoverTool(
            tooltips=[(t("layer"), "$y{0}"), (t("head"), "$x{0}"), (t("moved"), "@image{0.0 %}")]
        )
    )
    saving = saving_callback()
    for name, plot in figures.items():
        axes = {"heads": ("head", "layer"), "row": ("key", "")}.get(name, ("key", "query"))
        axes = (axes[0] and t(axes[0]), axes[1] and t(axes[1]))
        add_toolbar(plot, saving, zoomed=name in MATRICES, axes=axes)
    return template(figures)


def _link(plots: list[figure]) -> None:
    """Link crosshair and zoom of the three matrices, which have the same tokens."""
    line = {"line_width": 1, "line_dash": [3, 3], "line_alpha": 0.6, "line_color": "#98a2b3"}
    across, along = Span(dimension="width", **line), Span(dimension="height", **line)
    first = plots[0]
    for plot in plots:
        plot.x_range, plot.y_range = first.x_range, first.y_range
        names = {"queries": plot.yaxis[0].formatter, "keys": plot.xaxis[0].formatter}
        token = CustomJSHover(args={"names": names}, code=LABEL_AT_POINTER)
        rows = [
            (t("query"), "$x{query}"),
            (t("key"), "$x{key}"),
            (t("weight"), "@image{0.0000}"),
        ]
        hover = HoverTool(tooltips=rows, formatters={"$x": token}, attachment="horizontal")
        plot.add_tools(CrosshairTool(overlay=[across, along]), hover)


def _matrix(name: str) -> Drawing:
    """Return a plot of one cell without a value; the page sets its size and colours."""
    empty = np.full((1, 1), np.nan, dtype=np.float32)
    heads = name == "heads"
    return Drawing(
        {f"compare:{name}": image_columns(empty, SPAN, SPAN)},
        x=SPAN,
        y=SPAN[::-1],
        colours=Colours(-1.0, 1.0, ramp(LIGHT.diverging)),
        x_labels=[""],
        y_labels=[""],
        outline=(-0.5, 0.5, -0.5, 0.5) if heads else (None, None, -0.5, 0.5),
        height=200 if heads else None,
        masked=None if heads else True,
    )


def _bars() -> Any:
    sides = {side: np.zeros(1) for side in ("left", "bottom", "right", "top")}
    drawing = Drawing(
        {
            "compare:bars": {**sides, "color": ["#ffffff"], "token": [""], "side": [""]},
            "compare:bars:labels": {
                "x": np.zeros(1),
                "y": np.zeros(1),
                "text": [""],
                "color": ["#ffffff"],
            },
        },
        x=SPAN,
        y=(0.0, 1.0),
        x_labels=[""],
        y_ticks=[(0.0, "0"), (0.5, "0.5"), (1.0, "1")],
        height=210,
    )
    return rectangles_element(drawing, "compare:bars") * labels_element(
        drawing, "compare:bars:labels", text_baseline="bottom", text_font_size="11px"
    )
