"""Comparison: two traces side by side, with linked controls, what differs, and in which heads."""

from __future__ import annotations

import itertools
import uuid
from typing import TYPE_CHECKING, Any

import panel as pn
from panel.viewable import Viewer

from attnpanel.browser import (
    ComparisonDriver,
    HeadList,
    Interaction,
    SentenceLine,
    TokenPairs,
    Words,
)
from attnpanel.browser.boxes import box, caption
from attnpanel.comparison import opening
from attnpanel.comparison_figures import MATRICES, comparison_figures
from attnpanel.payload import make_payload
from attnpanel.theme import look_variables, stylesheet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from attnpanel.trace import Trace

_SERIAL = itertools.count(1)
# Choices whose pair the page tells, as it lies in its state.
TOLD = ("layer", "head", "aggregate", "temperature", "mask", "pad_len", "window")
# Beyond this many tokens a side three whole matrices are more than a page can hold.
MOST_TOKENS = 1024


class Comparison(Viewer):
    """Two traces side by side: A, B and B − A, over the tokens that correspond.

    The page computes and draws by itself, served, in a notebook cell and in a file. Weights are
    recomputed from queries and keys stored as float16, within 2e-3 of the model's.

    Parameters
    ----------
    first, second : Trace
        Two prompts, two models, or twice the same trace to compare heads, temperatures or masks.
    query_index : int, optional
        The query looked at, in the first trace; None is the one whose row moves most over all
        heads, of those that have a counterpart in the second trace.
    whole_page : bool, optional
        Whether the comparison has its page to itself: it then listens to the keyboard everywhere
        and keeps the address bar up to date.
    served : bool, optional
        Whether a server hands over further traces; in a file the address is behind a ``#``.
    changed : str, optional
        What was changed in the second trace's model, for B's heading: ``"layer 0's head 2 off"``.
    **choices
        ``layer``, ``head``, ``aggregate`` (the mean of the layer's heads), ``temperature``,
        ``mask``, ``pad_len`` or ``window``: one value, or a pair for the two sides. Without a head,
        the page opens at the one in which the query's row changes most.

    Raises
    ------
    ValueError
        If a trace holds no call or is longer than 1024 tokens, or a choice does not exist in it.

    Examples
    --------
    >>> from attnpanel.sources.toy import toy_trace
    >>> comparison = Comparison(toy_trace(), toy_trace(), head=(0, 2))
    >>> comparison.state["head"], comparison.state["apart"]
    ([0, 2], ['head'])
    """

    def __init__(
        self,
        first: Trace,
        second: Trace,
        *,
        query_index: int | None = 0,
        whole_page: bool = False,
        served: bool = False,
        changed: str = "",
        **choices: Any,
    ) -> None:
        # Inline: a notebook must not ask a CDN for what the package brings.
        pn.extension(inline=True)
        super().__init__()
        self.uid = uuid.uuid4().hex
        self._given: dict[str, Any] = {}
        self.figures = comparison_figures(self.uid)
        self.driver = ComparisonDriver(
            uid=self.uid,
            served=served,
            sizing_mode="stretch_width",
            margin=0,
            css_classes=["attn-comparison"],
        )
        self.interaction = Interaction(
            uid=self.uid,
            root_class=f"attn-{self.uid}",
            driver="browser",
            whole_page=whole_page,
            asks_theme=whole_page,
            width=0,
            height=0,
            margin=0,
            css_classes=["attn-interaction"],
        )
        self.notice = Words(
            tone="error",
            visible=False,
            margin=0,
            sizing_mode="stretch_width",
            css_classes=["attn-notice"],
        )
        self.show(
            first,
            second,
            query_index=query_index,
            choices=choices,
            changed=changed,
            address={} if whole_page and not served else None,
        )
        # In a box of its own: what the stylesheet lays out as a grid can't be hidden itself.
        self.body = box(box(*self._cards(), css="attn-body"), css="attn-pictures")
        self._layout = box(
            self.interaction,
            self.notice,
            self.body,
            css=f"attn-root attn-{self.uid} attn-light",
        )
        self._layout.stylesheets = [look_variables(), stylesheet()]

    def __panel__(self) -> Any:
        return self._layout

    def show(
        self,
        first: Trace,
        second: Trace,
        *,
        query_index: int | None = 0,
        choices: Mapping[str, Any] | None = None,
        start: Mapping[str, Any] | None = None,
        address: Mapping[str, str] | None = None,
        changed: str = "",
    ) -> None:
        """Show two other traces.

        Parameters
        ----------
        first, second, query_index, choices, changed
            As for the class.
        start : mapping, optional
            Another comparison's `state` of these traces, which goes before all choices.
        address : mapping of str to str, optional
            What the address bar holds beside the choices, to find these traces again. None leaves
            the address bar alone: a link could not find them.
        """
        for trace in (first, second):
            longest = max((max(call.query_len, call.key_len) for call in trace.calls), default=0)
            if longest > MOST_TOKENS:
                raise ValueError(f"a comparison shows {MOST_TOKENS} tokens at most; got {longest}")
        opened = opening(first, second, query_index=query_index, choices=choices)
        self.traces = (first, second)
        self.changed = changed
        self._given = {"start": opened | dict(start or {}), "serial": next(_SERIAL)}
        self.driver.given = {
            **self._given,
            "sides": [_packed(trace) for trace in self.traces],
            "address": None if address is None else dict(address),
            "changed": changed,
        }

    @property
    def state(self) -> dict[str, Any]:
        """What is chosen now, as :func:`opening` gives it; what a page tells is checked.

        A page that tells what does not exist is taken to be where it opened.
        """
        told = self.driver.state
        if told.get("serial") != self._given["serial"]:
            return dict(self._given["start"])
        try:
            pairs = {name: tuple(told[name]) for name in TOLD}
            ours = self.traces[0].calls[pairs["layer"][0]]
            checked = opening(*self.traces, choices=pairs)
            row, every = int(told["row"]), bool(told["every"])
        except (TypeError, ValueError, LookupError):
            return dict(self._given["start"])
        most = ours.query_len + self.traces[1].calls[pairs["layer"][1]].query_len
        return checked | {"row": min(max(row, 0), most - 1), "every": every}

    def _cards(self) -> list[Any]:
        plots = {name: self._plot(name) for name in self.figures}
        words = {
            name: caption(f"attn-words-{name}", heading=True)
            for name in (*MATRICES, "row", "heads")
        }
        steps = box(
            *(box(words[name], plots[name], css="attn-step") for name in MATRICES),
            css="attn-compared",
        )
        fill = {"sizing_mode": "stretch_width", "margin": 0}
        sentence = SentenceLine(css_classes=["attn-sentence-line"], **fill)
        tokens = TokenPairs(
            uid=self.uid, driver="browser", css_classes=["attn-token-pairs"], **fill
        )
        heads = HeadList(uid=self.uid, driver="browser", css_classes=["attn-head-list"], **fill)
        self.side = box(
            box(words["heads"], plots["heads"], heads, css="attn-card"), css="attn-side"
        )
        return [
            box(self.driver, css="attn-card attn-controls"),
            box(
                box(steps, sentence, css="attn-card"),
                box(words["row"], tokens, plots["bars"], css="attn-card"),
                css="attn-center",
            ),
            self.side,
        ]

    def _plot(self, name: str) -> Any:
        pane = pn.pane.Bokeh(self.figures[name], sizing_mode="stretch_width", margin=0)
        return box(pane, css="attn-plot" if name == "bars" else "attn-plot attn-titled")


def _packed(trace: Trace) -> dict[str, Any]:
    """A trace for the page, without its values: weights are all that is compared."""
    payload = make_payload(trace, values=False)
    return {"meta": payload.meta, "calls": payload.calls}
