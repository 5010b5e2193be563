"""The card that shows an intervention's effect on a head's weights and the model's output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import CrosshairTool, CustomJSHover, HoverTool, Span

from attnpanel.comparison import moved_shares
from attnpanel.explorer.figures import add_toolbar, saving_callback
from attnpanel.explorer.selection import PICTURE_CELLS, pool
from attnpanel.explorer.views.drawing import Colours, Drawing, image_columns
from attnpanel.explorer.views.elements import (
    colour,
    furnish,
    image_element,
    labels_element,
    move_outline,
    rectangles_element,
)
from attnpanel.explorer.views.heatmaps import labels, row_outline
from attnpanel.pages.explorer.output_bars import embedding_bars, prediction_bars
from attnpanel.ui.fields import name_tag
from attnpanel.ui.figures import FigurePane, load_backend, render
from attnpanel.ui.layout import box, caption
from attnpanel.ui.theme import ramp, theme
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from bokeh.plotting import figure
    from numpy.typing import NDArray

    from attnpanel.explorer.state import ExplorerState
    from attnpanel.models.prompts import PromptChange

MATRICES = ("before", "after", "difference")
TITLES = {"before": "Before", "after": "After", "difference": "After − before"}
# Smallest end of the difference's colour scale, so that rounding does not look like a change.
MIN_CHANGE = 0.01
# Choices of the explorer that the card depends on.
DEPENDS_ON = ("layer", "head", "aggregate", "batch", "query_index", "dark")
# Text of the tooltip's rows, taken from the labels of the axes.
LABEL_AT_POINTER = """
const {x, y} = special_vars
if (format === "query") return queries.args.labels[Math.round(y)] ?? ""
return keys.args.labels[Math.round(x)] ?? ""
"""


class BeforeAfterCard:
    """Weights before and after an intervention, their difference, and the output's change.

    Follows the explorer's layer, head, token and theme. The weights of both runs are at temperature
    1 and under the model's own mask, whatever the explorer's choices.

    Parameters
    ----------
    state : ExplorerState
        State of an explorer that shows the changed run.
    """

    def __init__(self, state: ExplorerState) -> None:
        self._state = state
        # Both runs and a description of the change; None while the card is hidden.
        self.shown: tuple[PromptChange, str] | None = None
        self.figures: dict[str, figure] = {}
        # The weights on screen, and the choices that they belong to.
        self._weights: tuple[NDArray[Any], NDArray[Any]]
        self._drawn: tuple[Any, ...] | None = None
        self._words = {
            name: caption(f"attn-change-{name}", heading=True)
            for name in ("what", *MATRICES, "output")
        } | {"sentence": caption("attn-change-sentence", tone="muted")}
        self.view = box(css="attn-change-card")
        self._card: Any = None
        state.param.watch(lambda *_events: self._draw(), list(DEPENDS_ON))

    def show(self, change: PromptChange, words: str) -> None:
        """Show the effect of a change, described by `words`, on a prompt's run."""
        self.shown, self._drawn = (change, words), None
        self._words["what"].param.update(text=t("What changed"), subtitle=words)
        if not self.figures:
            self._build()
        self._draw()
        self.view[:] = [self._card]

    def hide(self) -> None:
        """Hide the card; called when the explorer shows an unchanged run."""
        self.shown = None
        self.view[:] = []

    @property
    def _change(self) -> PromptChange:
        assert self.shown is not None  # noqa: S101 - called by show() and _draw() only
        return self.shown[0]

    def _build(self) -> None:
        load_backend()
        for name, drawing in (self._matrices() | {"output": self._output()}).items():
            element = (
                image_element(drawing)
                if name in MATRICES
                else rectangles_element(drawing, "change:output")
                * labels_element(
                    drawing, "change:output:labels", text_baseline="bottom", text_font_size="11px"
                )
            )
            plot = render(element)
            plot.name = f"attn:plot:change:{name}"
            plot.tags = [name_tag(t("Change of attention: {what}", what=t(name)))]
            plot.toolbar.tools = []
            self.figures[name] = plot
        self._link()
        words = self._words
        for name in MATRICES:
            words[name].css_classes = [*words[name].css_classes, "attn-step-title"]
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
        """Link crosshair and zoom of the three matrices, and add tooltips."""
        line = {"line_width": 1, "line_dash": [3, 3], "line_alpha": 0.6, "line_color": "#98a2b3"}
        across, along = Span(dimension="width", **line), Span(dimension="height", **line)
        first = self.figures["before"]
        for name in MATRICES:
            plot = self.figures[name]
            plot.x_range, plot.y_range = first.x_range, first.y_range
            names = {"queries": plot.yaxis[0].formatter, "keys": plot.xaxis[0].formatter}
            token = CustomJSHover(args=names, code=LABEL_AT_POINTER)
            rows = [
                (t("query"), "$x{query}"),
                (t("key"), "$x{key}"),
                (t("weight"), "@image{0.0000}"),
            ]
            hover = HoverTool(tooltips=rows, formatters={"$x": token}, attachment="horizontal")
            plot.add_tools(CrosshairTool(overlay=[across, along]), hover)
        self.figures["output"].add_tools(
            HoverTool(tooltips=[(t("token"), "@token"), ("", "@side @value{0.0000}")])
        )
        saving = saving_callback()
        for name, plot in self.figures.items():
            axes = (t("key"), t("query")) if name in MATRICES else ("", "")
            add_toolbar(plot, saving, zoomed=name in MATRICES, axes=axes)

    def _pane(self, name: str) -> Any:
        return box(FigurePane(self.figures[name]), css="attn-plot")

    def _draw(self) -> None:
        """Update the plots' data sources.

        Matrices are written only if they changed: another token only moves their outlines.
        """
        if self.shown is None or not self.figures:
            return
        state = self._state
        choices = (state.layer, state.shown_head, state.batch, state.dark)
        if choices != self._drawn:
            for name, drawing in self._matrices().items():
                self._write(name, drawing)
            self._drawn = choices
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
        palette = theme(self._state.dark)
        before, after = self._weights = self._compute()
        high = max(float(before.max()), float(after.max())) or 1.0
        largest = max(float(np.abs(after - before).max()), MIN_CHANGE)
        weights = Colours(0.0, high, ramp(palette.sequential, power=0.5))
        return {
            "before": self._matrix("before", before, weights),
            "after": self._matrix("after", after, weights),
            "difference": self._matrix(
                "difference", after - before, Colours(-largest, largest, ramp(palette.diverging))
            ),
        }

    def _output(self) -> Drawing:
        output = self._change.output
        draw = prediction_bars if output.kind == "prediction" else embedding_bars
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
        # The maximum of each block; of a difference the value farthest from 0.
        pooled = pool(matrix, PICTURE_CELLS, PICTURE_CELLS)
        if name == "difference":
            lowest = -pool(-matrix, PICTURE_CELLS, PICTURE_CELLS)
            pooled = np.where(np.abs(lowest) > np.abs(pooled), lowest, pooled)
        return Drawing(
            {f"change:{name}": image_columns(pooled.astype(np.float32), x, y)},
            x=x,
            y=y[::-1],
            colours=colours,
            x_labels=labels(self._state.key_tokens),
            y_labels=labels(self._state.query_tokens),
            outline=row_outline(self._state),
            theme=theme(self._state.dark),
            masked=False,
        )

    def _write_words(self) -> None:
        state, change = self._state, self._change
        for name, title in TITLES.items():
            mean = state.shown_head is None
            head = t("mean of all heads") if mean else t("head {head}", head=state.head)
            place = f"{t('layer {number}', number=state.layer)}, {head}"
            subtitle = place if name == "before" else ""
            self._words[name].param.update(text=t(title), subtitle=subtitle)
        before, after = self._weights
        query = state.query_index
        token, query_pair = state.query_tokens[query], ((0, 0),)
        key_pairs = tuple((n, n) for n in range(before.shape[1]))
        moved = moved_shares(before[[query]], after[[query]], query_pair, key_pairs)[0]
        self._words["sentence"].text = t(
            "{share} of the attention weight of “{token}” has moved.",
            share=_percent(moved),
            token=token,
        )
        output = change.output
        here = output.moved[query] if query < len(output.moved) else float("nan")
        if output.kind == "prediction":
            self._words["output"].param.update(
                text=t("Next token after “{token}”", token=token),
                subtitle=t(
                    "left: before, right: after. {share} of the probability has moved; "
                    "after any token {most} at most",
                    share=_percent(here),
                    most=_percent(output.whole),
                ),
            )
        else:
            self._words["output"].param.update(
                text=t("Change of each token's embedding"),
                subtitle=t(
                    "cosine distance of its last state before and after: “{token}” {here}, "
                    "mean of all tokens (the text's embedding) {whole}",
                    token=token,
                    here=f"{here:.2g}",
                    whole=f"{output.whole:.2g}",
                ),
            )


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
