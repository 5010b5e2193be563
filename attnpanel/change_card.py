"""What changed attention does: the shown head before and after, and the model's output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import panel as pn
from bokeh.models import CrosshairTool, CustomJSHover, HoverTool, Span

from attnpanel.browser.boxes import box, caption
from attnpanel.comparison import moved_shares
from attnpanel.driver import add_toolbar
from attnpanel.selection import pool
from attnpanel.theme import ramp, theme
from attnpanel.views.drawing import Colours, Drawing, image_columns
from attnpanel.views.elements import (
    colour,
    furnish,
    image_element,
    labels_element,
    move_outline,
    rectangles_element,
)
from attnpanel.views.heatmaps import MOST_CELLS, labels, row_outline

if TYPE_CHECKING:
    from bokeh.plotting import figure
    from numpy.typing import NDArray

    from attnpanel.sources.output_change import OutputChange
    from attnpanel.sources.prompts import PromptChange
    from attnpanel.state import ExplorerState

MATRICES = ("before", "after", "difference")
TITLES = {"before": "Before", "after": "After", "difference": "After − before"}
# The least end of the difference's colours: rounding must not look like a change.
LEAST_CHANGE = 0.01
MOST_LABELS = 17
TOO_LOW = 0.02  # of the highest bar: a lower one has no number
LEAST_DISTANCE = 1e-6  # what rounding alone can move an embedding by
# What the card follows.
FOLLOWED = ("layer", "head", "aggregate", "batch", "query_index", "dark")
TOLD = """
const {x, y} = special_vars
if (format === "query") return queries.args.labels[Math.round(y)] ?? ""
return keys.args.labels[Math.round(x)] ?? ""
"""


class ChangeCard:
    """Before, after and their difference, and below what becomes of the output.

    It follows the explorer's layer, head, token and look. Weights are the model's own in both
    runs, whatever the explorer's temperature and mask.

    Parameters
    ----------
    state : ExplorerState
        Of an explorer that shows the changed run.
    """

    def __init__(self, state: ExplorerState) -> None:
        self._state = state
        # What is shown: both runs, and the change in words.
        self.shown: tuple[PromptChange, str] | None = None
        self.figures: dict[str, figure] = {}
        # The matrices of what is in view, and what that is.
        self._weights: tuple[NDArray[Any], NDArray[Any]]
        self._drawn: tuple[Any, ...] | None = None
        self._words = {
            name: caption(f"attn-change-{name}", heading=True)
            for name in ("what", *MATRICES, "output")
        } | {"sentence": caption("attn-change-sentence", tone="muted")}
        self.view = box(css="attn-change-card")
        self._card: Any = None
        state.param.watch(lambda *_events: self._draw(), list(FOLLOWED))

    def show(self, change: PromptChange, words: str) -> None:
        """Show what a change, in these words, has done to a prompt's run."""
        self.shown, self._drawn = (change, words), None
        self._words["what"].param.update(text="What changed", aside=words)
        if not self.figures:
            self._build()
        self._draw()
        self.view[:] = [self._card]

    def hide(self) -> None:
        """Show nothing: what the explorer shows is no changed run."""
        self.shown = None
        self.view[:] = []

    @property
    def _change(self) -> PromptChange:
        assert self.shown is not None  # noqa: S101 - asked for by show() and _draw() only
        return self.shown[0]

    # -- the pictures ---------------------------------------------------------------------

    def _build(self) -> None:
        if "bokeh" not in hv.Store.renderers:
            hv.extension("bokeh", logo=False)
        for name, drawing in (self._matrices() | {"output": self._output()}).items():
            element = (
                image_element(drawing)
                if name in MATRICES
                else rectangles_element(drawing, "change:output")
                * labels_element(
                    drawing, "change:output:labels", text_baseline="bottom", text_font_size="11px"
                )
            )
            plot = hv.render(element, backend="bokeh")
            plot.name = f"attn:plot:change:{name}"
            plot.toolbar.tools = []
            self.figures[name] = plot
        self._link()
        words = self._words
        steps = box(
            *(box(words[name], self._pane(name), css="attn-step") for name in MATRICES),
            css="attn-compared",
        )
        card = box(
            words["what"],
            steps,
            words["sentence"],
            words["output"],
            self._pane("output"),
            css="attn-card",
        )
        self._card = box(card, css="attn-above")

    def _link(self) -> None:
        """One crosshair, one zoom and a tooltip over the three matrices."""
        line = {"line_width": 1, "line_dash": [3, 3], "line_alpha": 0.6, "line_color": "#98a2b3"}
        across, along = Span(dimension="width", **line), Span(dimension="height", **line)
        first = self.figures["before"]
        for name in MATRICES:
            plot = self.figures[name]
            plot.x_range, plot.y_range = first.x_range, first.y_range
            names = {"queries": plot.yaxis[0].formatter, "keys": plot.xaxis[0].formatter}
            told = CustomJSHover(args=names, code=TOLD)
            rows = [("query", "$x{query}"), ("key", "$x{key}"), ("weight", "@image{0.0000}")]
            hover = HoverTool(tooltips=rows, formatters={"$x": told}, attachment="horizontal")
            plot.add_tools(CrosshairTool(overlay=[across, along]), hover)
        self.figures["output"].add_tools(
            HoverTool(tooltips=[("token", "@token"), ("", "@side @value{0.0000}")])
        )
        for name, plot in self.figures.items():
            add_toolbar(plot, zoomed=name in MATRICES)

    def _pane(self, name: str) -> Any:
        pane = pn.pane.Bokeh(self.figures[name], sizing_mode="stretch_width", margin=0)
        return box(pane, css="attn-plot attn-titled" if name in MATRICES else "attn-plot")

    def _draw(self) -> None:
        """Write what is shown now into the plots that are there.

        The matrices only where they are others: a step to another token moves their outlines.
        """
        if self.shown is None or not self.figures:
            return
        state = self._state
        seen = (state.layer, state.shown_head, state.batch, state.dark)
        if seen != self._drawn:
            for name, drawing in self._matrices().items():
                self._write(name, drawing)
            self._drawn = seen
        for name in MATRICES:
            move_outline(self.figures[name], row_outline(state))
        self._write("output", self._output())
        self._write_words()

    def _write(self, name: str, drawing: Drawing) -> None:
        plot = self.figures[name]
        for renderer in plot.renderers:
            renderer.data_source.data = dict(drawing.sources[renderer.data_source.name])
            mapper = getattr(renderer.glyph, "color_mapper", None)
            if mapper is not None:
                colour(mapper, drawing)
        furnish(plot, drawing, ranges=True)

    def _matrices(self) -> dict[str, Drawing]:
        look = theme(self._state.dark)
        before, after = self._weights = self._compute()
        high = max(float(before.max()), float(after.max())) or 1.0
        most = max(float(np.abs(after - before).max()), LEAST_CHANGE)
        weights = Colours(0.0, high, ramp(look.sequential, power=0.5))
        return {
            "before": self._matrix("before", before, weights),
            "after": self._matrix("after", after, weights),
            "difference": self._matrix(
                "difference", after - before, Colours(-most, most, ramp(look.diverging))
            ),
        }

    def _output(self) -> Drawing:
        output = self._change.output
        draw = predictions_drawing if output.kind == "prediction" else embeddings_drawing
        return draw(self._state, output)

    def _compute(self) -> tuple[NDArray[Any], NDArray[Any]]:
        state, change = self._state, self._change
        heads = range(state.call.heads) if state.shown_head is None else [state.shown_head]
        before, after = (
            np.mean([trace.calls[state.layer].weights(head, state.batch) for head in heads], axis=0)
            for trace in (change.before, change.after)
        )
        return np.nan_to_num(before), np.nan_to_num(after)

    def _matrix(self, name: str, matrix: NDArray[Any], colours: Colours) -> Drawing:
        query_len, key_len = matrix.shape
        x, y = (-0.5, key_len - 0.5), (-0.5, query_len - 0.5)
        # The largest of a block; of differences the one farthest from 0.
        shown = pool(matrix, MOST_CELLS, MOST_CELLS)
        if name == "difference":
            lost = -pool(-matrix, MOST_CELLS, MOST_CELLS)
            shown = np.where(np.abs(lost) > np.abs(shown), lost, shown)
        return Drawing(
            {f"change:{name}": image_columns(shown.astype(np.float32), x, y)},
            x=x,
            y=y[::-1],
            colours=colours,
            x_labels=labels(self._state.key_tokens),
            y_labels=labels(self._state.query_tokens),
            outline=row_outline(self._state),
            look=theme(self._state.dark),
            masked=False,
        )

    # -- the words ------------------------------------------------------------------------

    def _write_words(self) -> None:
        state, change = self._state, self._change
        for name, title in TITLES.items():
            shown = "mean of all heads" if state.shown_head is None else f"head {state.head}"
            aside = f"layer {state.layer}, {shown}" if name == "before" else ""
            self._words[name].param.update(text=title, aside=aside)
        before, after = self._weights
        place = state.query_index
        token, key = state.query_tokens[place], ((0, 0),)
        pairs = tuple((n, n) for n in range(before.shape[1]))
        moved = moved_shares(before[[place]], after[[place]], key, pairs)[0]
        self._words[
            "sentence"
        ].text = (
            f"{_percent(moved)} of what “{token}” looks at here lies elsewhere after the change."
        )
        output = change.output
        here = output.moved[place] if place < len(output.moved) else float("nan")
        if output.kind == "prediction":
            self._words["output"].param.update(
                text=f"What comes after “{token}”",
                aside=f"left before, right after: {_percent(here)} of the probability has moved; "
                f"{_percent(output.whole)} at most, after any token",
            )
        else:
            self._words["output"].param.update(
                text="What becomes of each token",
                aside=f"cosine distance of its last state from before; of “{token}” {here:.2g}, "
                f"of the mean over all tokens, the text's embedding, {output.whole:.2g}",
            )


def embeddings_drawing(state: ExplorerState, output: OutputChange) -> Drawing:
    """One bar a token, as high as its last state has moved; the chosen token's in the accent."""
    look = theme(state.dark)
    height = output.moved
    places = np.arange(len(height))
    half = 0.42 if len(height) <= 200 else 0.5
    colours = [look.accent if place == state.query_index else look.bar for place in places]
    named = np.sort(np.argsort(-height, kind="stable")[:MOST_LABELS])
    highest = float(height.max(initial=LEAST_DISTANCE))
    least = max(TOO_LOW * highest, LEAST_DISTANCE)
    tokens = [*state.trace.query_tokens[state.batch]][: len(height)]
    return _bars(
        left=places - half,
        right=places + half,
        height=height,
        colours=colours,
        tokens=tokens,
        sides=["moved by"] * len(height),
        named={int(place): f"{height[place]:.2g}" for place in named if height[place] > least},
        ticks=tokens,
        muted=look.muted,
        highest=highest,
    )


def predictions_drawing(state: ExplorerState, output: OutputChange) -> Drawing:
    """Two bars a likely next token: its probability before, and after."""
    look = theme(state.dark)
    candidates = output.candidates[min(state.query_index, len(output.candidates) - 1)]
    centres = np.repeat(np.arange(len(candidates)), 2)
    left = centres + np.tile([-0.4, 0.0], len(candidates))
    height = np.array([p for one in candidates for p in (one.before, one.after)])
    return _bars(
        left=left,
        right=left + 0.4,
        height=height,
        colours=[look.bar, look.accent] * len(candidates),
        tokens=[one.token for one in candidates for _ in range(2)],
        sides=["before", "after"] * len(candidates),
        named={place: f"{p:.1%}" for place, p in enumerate(height)},
        ticks=[one.token for one in candidates],
        muted=look.muted,
        highest=float(height.max(initial=0.0)),
    )


def _bars(
    *,
    left: NDArray[Any],
    right: NDArray[Any],
    height: NDArray[Any],
    colours: list[str],
    tokens: list[str],
    sides: list[str],
    named: dict[int, str],
    ticks: list[str],
    muted: str,
    highest: float,
) -> Drawing:
    at = list(named)
    return Drawing(
        {
            "change:output": {
                "left": left,
                "bottom": np.zeros(len(height)),
                "right": right,
                "top": height,
                "color": colours,
                "token": tokens,
                "side": sides,
                "value": height,
            },
            "change:output:labels": {
                "x": (left[at] + right[at]) / 2,
                "y": height[at].astype(float),
                "text": list(named.values()),
                "color": [muted] * len(at),
            },
        },
        x=(-0.7, len(ticks) - 0.3),
        y=(0.0, axis_end(highest)),
        x_labels=labels(ticks),
        height=200,
    )


def axis_end(most: float) -> float:
    """Return 1, 2 or 5 times a power of ten with room above the highest bar.

    Examples
    --------
    >>> axis_end(0.0032), axis_end(0.9), axis_end(0.0)
    (0.005, 1.0, 1.0)
    """
    if most <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(most))
    return float(next(end for end in (power, 2 * power, 5 * power, 10 * power) if end > 1.1 * most))


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
