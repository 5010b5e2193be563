"""The table of views: a name, what it draws, how, and which choices change it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import holoviews as hv

from attnpanel.state import SELECTION, ExplorerState
from attnpanel.views.elements import image_element, labels_element, rectangles_element
from attnpanel.views.grid import empty_grid_drawing, grid_drawing, tile_outline
from attnpanel.views.heatmaps import output_drawing, row_outline, scores_drawing, weights_drawing
from attnpanel.views.row import row_drawing
from attnpanel.views.swatches import swatches_drawing

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.views.drawing import Drawing, Outline

MATRIX = (*SELECTION, "dark", "viewport")
# Scores are what comes before temperature and policy.
SCORES = (*(name for name in MATRIX if name not in ("temperature", "empty_rows")), "skip_first")
ROW = (*SELECTION, "dark", "query_index")


@dataclass(frozen=True)
class View:
    """One picture of the explorer.

    Attributes
    ----------
    name : str
        As in its data source, `attn:<name>`.
    draw : callable
        The state as a Drawing: the numbers and how they are shown.
    compose : callable
        A Drawing as a HoloViews element.
    depends : tuple of str
        The state's parameters that change the data.
    outline : callable or None
        The outlined part alone, for choices that move nothing else.
    moves : tuple of str
        Those choices.
    """

    name: str
    draw: Callable[[ExplorerState], Drawing]
    compose: Callable[[Drawing], Any]
    depends: tuple[str, ...]
    outline: Callable[[ExplorerState], Outline] | None = None
    moves: tuple[str, ...] = ()

    def element(self, state: ExplorerState) -> Any:
        """Return the picture as a HoloViews element, from the state as it is now."""
        return self.element_of(self.draw(state))

    def element_of(self, drawing: Drawing) -> Any:
        """Return a drawing of this view as a HoloViews element."""
        if "bokeh" not in hv.Store.renderers:
            hv.extension("bokeh", logo=False)
        return self.compose(drawing)


def _row_element(drawing: Drawing) -> Any:
    return rectangles_element(drawing, "attn:row") * labels_element(
        drawing, "attn:row:labels", text_baseline="bottom", text_font_size="11px"
    )


def _swatches_element(drawing: Drawing) -> Any:
    small = {"text_font_size": "11px", "text_baseline": "middle"}
    return (
        rectangles_element(drawing, "attn:swatches")
        * rectangles_element(drawing, "attn:swatches:tracks")
        * rectangles_element(drawing, "attn:swatches:bars")
        * labels_element(drawing, "attn:swatches:names", text_align="left", **small)
        * labels_element(drawing, "attn:swatches:weights", text_align="right", **small)
        * rectangles_element(drawing, "attn:mixed")
        * labels_element(drawing, "attn:mixed:name", text_font_size="12px", text_font_style="bold")
    )


VIEWS: tuple[View, ...] = (
    View("scores", scores_drawing, image_element, SCORES, row_outline, ("query_index",)),
    View(
        "weights",
        weights_drawing,
        image_element,
        (*MATRIX, "weight_scale", "skip_first"),
        row_outline,
        ("query_index",),
    ),
    View("output", output_drawing, image_element, MATRIX, row_outline, ("query_index",)),
    View("row", row_drawing, _row_element, ROW),
    View("swatches", swatches_drawing, _swatches_element, (*ROW, "color_seed")),
    View(
        "grid",
        grid_drawing,
        image_element,
        (
            "trace",
            "batch",
            "temperature",
            "mask",
            "pad_len",
            "window",
            "align",
            "empty_rows",
            "dark",
        ),
        tile_outline,
        ("layer", "head", "aggregate"),
    ),
)
# For a page that draws them itself: all heads are the one picture that takes long to compute.
EMPTY_VIEWS: tuple[View, ...] = tuple(
    replace(view, draw=empty_grid_drawing) if view.name == "grid" else view for view in VIEWS
)
