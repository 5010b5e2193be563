"""Adds two rows to the table of views before anything else of the package reads it.

A plugin of pytest (``-p tests.added_view_rows``): see test_a_row_adds_a_view.py. How the page draws
them stands in added_views.js.
"""

from __future__ import annotations

import numpy as np

from attnpanel.explorer import views
from attnpanel.explorer.state import SELECTION
from attnpanel.explorer.views import Colours, Drawing, View, table
from attnpanel.explorer.views.drawing import image_columns
from attnpanel.explorer.views.elements import image_element, rectangles_element
from attnpanel.explorer.views.heatmaps import row_outline
from attnpanel.ui.theme import ramp, theme


def squares_drawing(state):
    """The square of every weight."""
    squares = state.selection.weights**2
    rows, columns = squares.shape
    x, y = (-0.5, columns - 0.5), (-0.5, rows - 0.5)
    return Drawing(
        {"attn:squares": image_columns(squares, x, y)},
        x=x,
        y=y[::-1],
        colours=Colours(0.0, 1.0, ramp(theme(state.dark).sequential, power=1.0)),
        outline=row_outline(state),
        masked=True,
    )


def measure_sums(state):
    """The sum of the squares of each query's row."""
    return {"sum": (state.selection.weights.astype(float) ** 2).sum(axis=-1)}


def sums_drawing(state):
    top = measure_sums(state)["sum"]
    at = np.arange(len(top))
    bars = {"left": at - 0.4, "bottom": 0.0 * at, "right": at + 0.4, "top": top}
    colour = [theme(state.dark).bar] * len(top)
    return Drawing(
        {"attn:sums": bars | {"color": colour}}, x=(-0.5, at[-1] + 0.5), y=(0.0, 1.0), height=100
    )


ADDED = (
    # A heatmap beside the steps, drawn at once, and bars below them, drawn with the numbers.
    View(
        "squares",
        "Squares",
        squares_drawing,
        image_element,
        (*SELECTION, "dark"),
        "side",
        x="key",
        y="query",
        outline=row_outline,
        moves=("query_index",),
    ),
    View(
        "sums",
        "Sums of squares",
        sums_drawing,
        lambda drawing: rectangles_element(drawing, "attn:sums"),
        (*SELECTION, "dark"),
        x="query",
        drawn="with the numbers",
        measure=measure_sums,
        tooltip=(("sum", "@top"),),
    ),
)
views.VIEWS = table.VIEWS = (*table.VIEWS, *ADDED)
