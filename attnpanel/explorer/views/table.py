"""The table of views: what each shows, its place on the page, and the choices it depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from attnpanel.explorer.state import MASK_RULE, SELECTION, ExplorerState
from attnpanel.explorer.views.elements import (
    image_element,
    labels_element,
    rectangles_element,
    segments_element,
)
from attnpanel.explorer.views.entropy import (
    empty_entropy_drawing,
    entropy_drawing,
    measure_entropy,
    token_outline,
)
from attnpanel.explorer.views.grid import empty_grid_drawing, grid_drawing, tile_outline
from attnpanel.explorer.views.heatmaps import (
    output_drawing,
    row_outline,
    scores_drawing,
    weights_drawing,
)
from attnpanel.explorer.views.lines import empty_lines_drawing, lines_drawing, query_outline
from attnpanel.explorer.views.row import row_drawing
from attnpanel.explorer.views.swatches import swatches_drawing
from attnpanel.ui.figures import load_backend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from attnpanel.explorer.views.drawing import Drawing, Outline

MATRIX = (*SELECTION, "dark", "viewport")
# Scores do not depend on temperature and policy.
SCORES = (*(name for name in MATRIX if name not in ("temperature", "empty_rows")), "skip_first")
ROW = (*SELECTION, "dark", "query_index", "weight_scale")
LINES = (
    *(name for name in SELECTION if name not in ("head", "aggregate")),
    "dark", "query_index", "line_heads", "lines_of_token", "line_token",
)  # fmt: skip

Axis = Literal["query", "key", "channel", "layer", "head", "listed key", "side", "token"]


@dataclass(frozen=True)
class View:
    """One plot of the explorer; the module of its name in js/views draws it on the page.

    Attributes
    ----------
    name : str
        As in its data source, `attn:<name>`.
    title : str
        Title above the plot; the page may replace it or add a subtitle.
    draw : callable
        Maps the state to a Drawing.
    compose : callable
        Maps a Drawing to a HoloViews element.
    depends : tuple of str
        The state's parameters that change the data.
    place : {"steps", "center", "side"}
        Place on the page: among the three steps, or in its own card below or beside them.
    x, y : str or None
        Meaning of the axes, which determines what a tap selects, whether notes can be marked, and
        which plots share ranges and crosshairs.
    unit : str or None
        What an upright axis of numbers counts, as a saved figure says it.
    outline : callable or None
        Maps the state to the outline alone, for choices that change nothing else.
    moves : tuple of str
        The choices that change the outline alone.
    drawn : {"at once", "with the numbers", "with the tiles"}
        Whether the page draws it with each step of a slider (unless the page's view `waits`), or
        when the reader pauses: once the head's numbers are known, or the tiles of all heads.
    measure : callable or None
        For a view drawn with the numbers: computes its float arrays by name for a layer too large
        for the page, as the page's own `measure` does.
    empty : callable or None
        A fast substitute for `draw` without numbers, which the page will fill in.
    operations : tuple of str
        For one of the steps: the operations between it and the previous one.
    tooltip : tuple of (str, str)
        Labels and Bokeh fields; plots of token pairs have a tooltip of their own.
    hover : {"mouse", "vline"}
        Whether the tooltip appears over a glyph only, or anywhere above or below it.
    zoomed : bool
        Whether the plot can be zoomed.
    """

    name: str
    title: str
    draw: Callable[[ExplorerState], Drawing]
    compose: Callable[[Drawing], Any]
    depends: tuple[str, ...]
    place: Literal["steps", "center", "side"] = "center"
    x: Axis | None = None
    y: Axis | None = None
    unit: str | None = None
    outline: Callable[[ExplorerState], Outline] | None = None
    moves: tuple[str, ...] = ()
    drawn: Literal["at once", "with the numbers", "with the tiles"] = "at once"
    measure: Callable[[ExplorerState], Mapping[str, NDArray[Any]]] | None = None
    empty: Callable[[ExplorerState], Drawing] | None = None
    operations: tuple[str, ...] = ()
    tooltip: tuple[tuple[str, str], ...] = ()
    hover: Literal["mouse", "vline"] = "mouse"
    zoomed: bool = True

    @property
    def heatmap(self) -> bool:
        """Whether it is an image of the selected head's numbers."""
        return self.compose is image_element and self.drawn == "at once"

    @property
    def follows_pointer(self) -> bool:
        """Whether pointing at it selects something."""
        return self.marks == "pairs" or self.x == "side"

    @property
    def shows_pair(self) -> bool:
        """Whether a pair of tokens has a place in it."""
        return self.x == "key" or self.y == "listed key"

    @property
    def marks(self) -> Literal["pairs", "heads"] | None:
        """What a note can mark in it."""
        if (self.x, self.y) == ("key", "query"):
            return "pairs"
        return "heads" if (self.x, self.y) == ("head", "layer") else None

    def element(self, state: ExplorerState) -> Any:
        """Return the plot of the current state as a HoloViews element."""
        return self.element_of(self.draw(state))

    def element_of(self, drawing: Drawing) -> Any:
        """Return a drawing of this view as a HoloViews element."""
        load_backend()
        return self.compose(drawing)


def _row_element(drawing: Drawing) -> Any:
    return rectangles_element(drawing, "attn:row") * labels_element(
        drawing, "attn:row:labels", text_baseline="bottom", text_font_size="11px"
    )


def _entropy_element(drawing: Drawing) -> Any:
    return (
        rectangles_element(drawing, "attn:entropy:most")
        * rectangles_element(drawing, "attn:entropy")
        * labels_element(
            drawing, "attn:entropy:labels", text_baseline="bottom", text_font_size="11px"
        )
    )


def _lines_element(drawing: Drawing) -> Any:
    style = {"text_font_size": "11px", "text_baseline": "middle"}
    return (
        segments_element(drawing, "attn:lines")
        * labels_element(drawing, "attn:lines:queries", text_align="right", **style)
        * labels_element(drawing, "attn:lines:keys", text_align="left", **style)
        * labels_element(drawing, "attn:lines:heads", text_font_style="bold", **style)
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
    ).opts(xaxis="top")


# In page order: the steps, the cards below them, those beside them.
VIEWS: tuple[View, ...] = (
    View(
        "scores",
        "Score",
        scores_drawing,
        image_element,
        SCORES,
        "steps",
        x="key",
        y="query",
        outline=row_outline,
        moves=("query_index",),
    ),
    View(
        "weights",
        "Softmax",
        weights_drawing,
        image_element,
        (*MATRIX, "weight_scale", "skip_first"),
        "steps",
        x="key",
        y="query",
        outline=row_outline,
        moves=("query_index",),
        operations=("mask", "÷ τ", "softmax"),
    ),
    View(
        "output",
        "Mix",
        output_drawing,
        image_element,
        MATRIX,
        "steps",
        x="channel",
        y="query",
        outline=row_outline,
        moves=("query_index",),
        operations=("× V",),
        tooltip=(("channel", "$x{0}"), ("output", "@image{0.0000}")),
    ),
    View(
        "row",
        "Where it looks",
        row_drawing,
        _row_element,
        ROW,
        x="key",
        unit="weight",
        tooltip=(("token", "@token"), ("weight", "@weight{0.0000}")),
    ),
    View(
        "entropy",
        "Entropy per token",
        entropy_drawing,
        _entropy_element,
        (*SELECTION, "dark"),
        x="query",
        unit="nats",
        outline=token_outline,
        moves=("query_index",),
        drawn="with the numbers",
        measure=measure_entropy,
        empty=empty_entropy_drawing,
        tooltip=(("token", "@token"), ("entropy", "@tooltip")),
        hover="vline",
    ),
    View(
        "grid",
        "All heads",
        grid_drawing,
        image_element,
        ("trace", "batch", "temperature", *MASK_RULE, "empty_rows", "dark"),
        "side",
        x="head",
        y="layer",
        outline=tile_outline,
        moves=("layer", "head", "aggregate"),
        drawn="with the tiles",
        empty=empty_grid_drawing,
    ),
    View(
        "lines",
        "Lines",
        lines_drawing,
        _lines_element,
        LINES,
        "side",
        x="side",
        y="token",
        outline=query_outline,
        moves=("query_index",),
        empty=empty_lines_drawing,
        tooltip=(
            ("head", "@head"),
            ("from", "@query"),
            ("to", "@key"),
            ("weight", "@weight{0.0000}"),
        ),
        zoomed=False,
    ),
    View(
        "swatches",
        "Paint mixing",
        swatches_drawing,
        _swatches_element,
        (*ROW, "color_seed"),
        "side",
        y="listed key",
        zoomed=False,
    ),
)


def views_for_page() -> list[dict[str, Any]]:
    """Return the part of the table that the page needs, as plain data; see js/views/table.js."""
    plain = ("name", "title", "x", "y", "drawn", "heatmap")
    return [
        {name: getattr(view, name) for name in plain}
        | {"depends": list(view.depends), "moves": list(view.moves)}
        for view in VIEWS
    ]
