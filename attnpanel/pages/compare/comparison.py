"""Comparison: two traces side by side, with linked controls and their difference."""

from __future__ import annotations

import itertools
import uuid
from typing import TYPE_CHECKING, Any

from panel.viewable import Viewer

from attnpanel.comparison import opening
from attnpanel.comparison.initial_state import SHARED
from attnpanel.explorer.wire_format import make_payload
from attnpanel.pages.compare.figures import MATRICES, comparison_figures
from attnpanel.ui import (
    Caption,
    ComparisonDriver,
    HeadList,
    Interaction,
    OnPicture,
    ScoreContrast,
    SentenceLine,
    StepTabs,
    TokenPairs,
)
from attnpanel.ui.figures import FigurePane
from attnpanel.ui.layout import box, caption, legend
from attnpanel.ui.notebook import load_libraries
from attnpanel.ui.theme import stylesheet, theme_variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from attnpanel.trace import Trace

_SERIAL = itertools.count(1)
# With more tokens per side, three whole matrices are too large for a page.
MAX_TOKENS = 2048


class Comparison(Viewer):
    """Two traces side by side: A, B and B − A, over the tokens that correspond.

    The browser computes and draws, on a served page, in a notebook cell and in a file. Weights are
    recomputed from queries and keys stored as float16, within 2e-3 of the model's.

    Parameters
    ----------
    first, second : Trace
        Two prompts, two models, or the same trace twice to compare heads, temperatures or masks.
    query_index : int, optional
        Query in the first trace; None selects the one whose row moves most over all heads, among
        those with a counterpart in the second trace.
    whole_page : bool, optional
        Whether the comparison is the whole page: it then receives every key press and keeps the
        URL up to date.
    served : bool, optional
        Whether a server may send further traces; in a file the choices are in the URL's fragment.
    changed : str, optional
        Intervention on the second trace's model, for B's heading: ``"layer 0's head 2 off"``.
    dark : bool, optional
        Whether it opens in the dark theme; a whole page then follows the system's preference.
    **choices
        ``layer``, ``head``, ``aggregate`` (the mean of the layer's heads), ``temperature``,
        ``mask``, or what masks need, such as ``window``: one value, or a pair for the two sides.
        Without a head, the page opens at the one in which the query's row changes most.

    Raises
    ------
    ValueError
        If a trace holds no call or is longer than 2048 tokens, or a choice does not exist in it.

    Examples
    --------
    >>> from attnpanel.models.toy import toy_trace
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
        dark: bool = False,
        **choices: Any,
    ) -> None:
        load_libraries()
        super().__init__()
        self.explorer_id = uuid.uuid4().hex
        self._given: dict[str, Any] = {}
        self._dark = dark
        self.figures = comparison_figures(self.explorer_id)
        self.driver = ComparisonDriver(
            explorer_id=self.explorer_id,
            served=served,
            sizing_mode="stretch_width",
            margin=0,
            css_classes=["attn-comparison"],
        )
        self.interaction = Interaction(
            explorer_id=self.explorer_id,
            root_class=f"attn-{self.explorer_id}",
            driver="browser",
            keys=["token", "ends", "key", "head", "layer", "keys"],
            whole_page=whole_page,
            asks_theme=whole_page,
            dark=dark,
            width=0,
            height=0,
            margin=0,
            css_classes=["attn-interaction"],
        )
        self.notice = Caption(
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
        # In its own box: an element with `display: grid` stays visible when Panel hides it.
        self.body = box(box(*self._cards(), css="attn-explorer-body"), css="attn-plots")
        self._layout = box(
            self.interaction,
            self.notice,
            self.body,
            css=f"attn-root attn-{self.explorer_id} attn-{'dark' if dark else 'light'}",
        )
        self._layout.stylesheets = [theme_variables(), stylesheet()]

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
            `state` of another comparison of these traces; takes precedence over `choices`.
        address : mapping of str to str, optional
            URL parameters besides the choices that identify these traces. None leaves the URL
            alone, for traces that a link cannot identify.
        """
        for trace in (first, second):
            longest = max((max(call.query_len, call.key_len) for call in trace.calls), default=0)
            if longest > MAX_TOKENS:
                raise ValueError(
                    f"a comparison shows {MAX_TOKENS:,} tokens at most; got {longest:,}. "
                    "In Python attnpanel.comparison.heads_by_change compares longer traces"
                )
        opened = opening(first, second, query_index=query_index, choices=choices)
        self.traces = (first, second)
        self.changed = changed
        self._given = {"start": opened | dict(start or {}), "serial": next(_SERIAL)}
        self.driver.given = {
            **self._given,
            "sides": [_packed(trace) for trace in self.traces],
            "address": None if address is None else dict(address),
            "changed": changed,
            "dark": self._dark,
        }

    @property
    def state(self) -> dict[str, Any]:
        """The current choices, as :func:`opening` returns them.

        What the page sends is validated; if it is invalid, the initial choices are returned.
        """
        client_state = self.driver.state
        if client_state.get("serial") != self._given["serial"]:
            return dict(self._given["start"])
        try:
            pairs = {name: tuple(client_state[name]) for name in SHARED}
            first_call = self.traces[0].calls[pairs["layer"][0]]
            checked = opening(*self.traces, choices=pairs)
            row, every = int(client_state["row"]), bool(client_state["every"])
        except (TypeError, ValueError, LookupError):
            return dict(self._given["start"])
        rows = first_call.query_len + self.traces[1].calls[pairs["layer"][1]].query_len
        return checked | {"row": min(max(row, 0), rows - 1), "every": every}

    def _cards(self) -> list[Any]:
        plots = {name: self._plot(name) for name in self.figures}
        words = {
            name: caption(f"attn-caption-{name}", heading=True)
            for name in (*MATRICES, "row", "heads")
        }
        for name in MATRICES:
            words[name].css_classes = [*words[name].css_classes, "attn-step-title"]
        steps = box(
            *(box(words[name], plots[name], legend(name), css="attn-step") for name in MATRICES),
            css="attn-compared",
        )
        fill = {"sizing_mode": "stretch_width", "margin": 0}
        tabs = StepTabs(names=["A", "B", "B − A"], css_classes=["attn-step-tabs"], **fill)
        sentence = SentenceLine(css_classes=["attn-sentence-line", "attn-short"], **fill)
        tokens = TokenPairs(
            explorer_id=self.explorer_id, driver="browser", css_classes=["attn-token-pairs"], **fill
        )
        heads = HeadList(
            explorer_id=self.explorer_id, driver="browser", css_classes=["attn-head-list"], **fill
        )
        contrast = ScoreContrast(
            explorer_id=self.explorer_id, driver="browser", css_classes=["attn-contrast"], **fill
        )
        pictures = [
            OnPicture(
                explorer_id=f"{self.explorer_id}-{side}",
                driver="browser",
                visible=trace.picture is not None,
                css_classes=[f"attn-picture-{side}"],
                **fill,
            )
            for side, trace in zip("AB", self.traces, strict=True)
        ]
        self.side = box(
            box(words["heads"], plots["heads"], legend("heads"), heads, css="attn-card"),
            css="attn-side",
        )
        return [
            box(self.driver, css="attn-controls attn-bar"),
            box(
                box(tabs, steps, sentence, css="attn-card"),
                box(
                    box(*pictures, css="attn-compared-pictures"),
                    box(words["row"], plots["bars"], tokens, css="attn-card"),
                    css="attn-compared-rows",
                ),
                box(contrast, css="attn-card"),
                css="attn-center",
            ),
            self.side,
        ]

    def _plot(self, name: str) -> Any:
        css = "attn-plot" if name in MATRICES else "attn-plot attn-titled"
        return box(FigurePane(self.figures[name]), css=css)


def _packed(trace: Trace) -> dict[str, Any]:
    """Pack a trace for the page, without values: only weights are compared."""
    payload = make_payload(trace, values=False)
    return {"meta": payload.meta, "calls": payload.calls}
