"""Explorer: controls, pictures and the driver that keeps them in step, as one Panel component."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlencode

import numpy as np
import panel as pn
from bokeh.events import RangesUpdate, Reset
from panel.io.notebook import push
from panel.viewable import Viewer

from attnpanel.analysis import entropy, mean_distance
from attnpanel.browser import Annotations, Interaction, SentenceLine, TokenStrip, Words, add_marks
from attnpanel.browser.boxes import box, caption
from attnpanel.controls import Controls
from attnpanel.driver import PythonDriver
from attnpanel.feed import Feed, fits
from attnpanel.head_reading import HeadReading
from attnpanel.state import SELECTION, ExplorerState
from attnpanel.theme import look_variables, stylesheet
from attnpanel.views.heatmaps import MOST_CELLS
from attnpanel.views.live import LiveViews
from attnpanel.views.sentence import formula, scale_words, sentence
from attnpanel.views.text import shaded_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from attnpanel.annotations import Note
    from attnpanel.trace import Trace

# The overview waits until a drag has paused: all heads cost more than the one that is watched.
OVERVIEW_WAIT_MS = 180
TITLED = ("scores", "weights", "output", "row", "grid", "swatches")
# The pictures that stand right below their title, whose line their tools then share.
TITLE_ABOVE = ("scores", "weights", "output", "grid", "swatches")
# What the keyboard moves.
STEPPED = ("query_index", "head", "layer")
DrawnBy = Literal["python", "page", "file"]


class Explorer(Viewer):
    """See the attention of a trace: pick layer, head, token, mask and temperature.

    Parameters
    ----------
    trace : Trace
        What to show; holds at least one call.
    whole_page : bool, optional
        Whether the explorer has its page to itself: it then listens to the keyboard
        everywhere and keeps the address bar up to date.
    drawn_by : {"python", "page", "file"}, optional
        Who computes and draws. ``"python"``, as in a notebook cell. ``"page"``: a served page,
        wherever the trace is small enough for it, so that nothing goes to Python and back between
        a slider and its picture. ``"file"``: a report, which draws all by itself; here are only
        the empty plots it draws into.
    **choices
        Starting values of :class:`attnpanel.state.ExplorerState`, e.g. ``layer=3, head=1``.

    Raises
    ------
    ValueError
        If the trace holds no call, or a choice does not exist in it.

    Examples
    --------
    >>> import attnpanel as ap
    >>> explorer = ap.Explorer(ap.toy_trace(), head=2)  # doctest: +SKIP
    >>> explorer.state.temperature = 0.5  # doctest: +SKIP
    """

    def __init__(
        self,
        trace: Trace,
        *,
        whole_page: bool = False,
        drawn_by: DrawnBy = "python",
        **choices: Any,
    ) -> None:
        # Inline: a notebook must not ask a CDN for what the package brings.
        pn.extension(inline=True)
        super().__init__()
        self.state = state = ExplorerState(trace, **choices)
        self.views = LiveViews(state)
        self.uid = uuid.uuid4().hex
        self.address: dict[str, str] = {}
        self._drawn_by = drawn_by
        self._overview_job: Any = None
        self._overview_due: set[str] = set()
        self.interaction = Interaction(
            uid=self.uid,
            root_class=f"attn-{self.uid}",
            whole_page=whole_page,
            writes_address=whole_page and drawn_by != "file",
            asks_theme=whole_page,
            width=0,
            height=0,
            margin=0,
            css_classes=["attn-interaction"],
        )
        self.interaction.on_msg(self._on_message)
        self.notice = Words(
            tone="error",
            visible=False,
            margin=0,
            sizing_mode="stretch_width",
            css_classes=["attn-notice"],
        )
        self._body = box(css="attn-body")
        self._layout = box(
            self.interaction,
            self.notice,
            self._body,
            css=f"attn-root attn-{self.uid} {self._look()}",
        )
        self._layout.stylesheets = [look_variables(), stylesheet()]
        self._build()
        watched = [name for name in state.param if name != "name"]
        state.param.watch(self._on_change, watched)

    def __panel__(self) -> Any:
        return self._layout

    @property
    def notes(self) -> tuple[Note, ...]:
        """The notes on the trace that is shown, those that a reader wrote on the page included.

        Raises
        ------
        ValueError
            If the page sent what is no note on this trace.
        """
        return self.annotations.read(self.state.trace)

    @notes.setter
    def notes(self, notes: Iterable[Note]) -> None:
        self.annotations.write(notes, self.state.trace)

    # -- the page ------------------------------------------------------------------------

    def _build(self) -> None:
        """Make everything anew for whoever drives: Python, or the page by :class:`Feed`."""
        state, uid = self.state, self.uid
        in_page = self._page_can_draw()
        self.feed = (
            Feed(state, uid, told=self._on_told, failed=self._on_failed) if in_page else None
        )
        self.controls = Controls(state, in_page=in_page)
        self.driver = PythonDriver(state, uid, empty=self._drawn_by == "file")
        self._words = {name: caption(f"attn-words-{name}", heading=True) for name in TITLED}
        self._words |= {
            name: caption(f"attn-words-{name}", tone="muted") for name in ("numbers", "provenance")
        }
        self._sentence = SentenceLine(
            sizing_mode="stretch_width", margin=0, css_classes=["attn-sentence-line"]
        )
        self.tokens = TokenStrip(
            uid=uid, sizing_mode="stretch_width", margin=0, css_classes=["attn-token-strip"]
        )
        self.annotations = Annotations(
            uid=uid,
            root_class=f"attn-{uid}",
            whole_page=self.interaction.whole_page,
            sizing_mode="stretch_width",
            margin=0,
            css_classes=["attn-annotations"],
        )
        self.notes = ()
        self.reading = HeadReading(state, uid)
        add_marks(self.driver.figures)
        maps = self.reading.component
        for telling in (self.interaction, self.tokens, self.annotations, maps):
            telling.driver = "browser" if in_page or self._drawn_by == "file" else "python"
        for telling in (self.tokens, self.annotations, maps):
            telling.on_msg(self._on_message)
        if self.feed is None:
            for name in ("scores", "weights", "output"):
                self.driver.figures[name].on_event(RangesUpdate, self._on_zoom)
                self.driver.figures[name].on_event(Reset, self._on_zoom)
        else:
            self.feed.component.on_msg(self._on_message)
        self._write_words()
        self._write_numbers()
        self._body[:] = self._cards()

    def _page_can_draw(self) -> bool:
        return self._drawn_by == "page" and fits(self.state.trace)

    def _cards(self) -> list[Any]:
        plots = {name: self._plot(name) for name in self.driver.figures}
        words = self._words
        steps = box(
            box(words["scores"], plots["scores"], css="attn-step"),
            _operations("mask", "÷ τ", "softmax"),
            box(words["weights"], plots["weights"], css="attn-step"),
            _operations("× V"),
            box(words["output"], plots["output"], css="attn-step"),
            css="attn-steps",
        )
        busy = Words(tone="busy", margin=0, css_classes=["attn-busy"])
        driver = [] if self.feed is None else [self.feed.component]
        return [
            box(*self.controls.column, words["provenance"], css="attn-card attn-controls"),
            box(
                *driver,
                busy,
                box(steps, self._sentence, css="attn-card"),
                box(words["row"], self.tokens, plots["row"], css="attn-card"),
                box(self.reading.component, css="attn-card"),
                box(self.annotations, css="attn-card"),
                css="attn-center",
            ),
            box(
                box(words["grid"], plots["grid"], words["numbers"], css="attn-card"),
                box(words["swatches"], plots["swatches"], css="attn-card"),
                css="attn-side",
            ),
        ]

    def _plot(self, name: str) -> Any:
        pane = pn.pane.Bokeh(self.driver.figures[name], sizing_mode="stretch_width", margin=0)
        return box(pane, css="attn-plot attn-titled" if name in TITLE_ABOVE else "attn-plot")

    def _look(self) -> str:
        return "attn-dark" if self.state.dark else "attn-light"

    def set_dark(self, dark: bool) -> None:  # noqa: FBT001 - what the button sets
        """Draw on a dark or a light page from now on, whatever the system prefers."""
        self.interaction.asks_theme = False
        self.address["theme"] = "dark" if dark else "light"
        self.state.dark = dark

    def refresh_address(self) -> None:
        """Write the source and every choice into the address bar."""
        self._write_address(urlencode(self.state.to_address()))

    def _write_address(self, choices: str) -> None:
        parts = [urlencode(self.address), choices]
        self.interaction.address = "?" + "&".join(part for part in parts if part)

    # -- keeping it in step ----------------------------------------------------------------

    def _on_change(self, *events: Any) -> None:
        changed = {event.name for event in events}
        if "trace" in changed and (self.feed is not None) != self._page_can_draw():
            self.controls.close()
            self._build()
            return
        try:
            if "dark" in changed:
                self._layout.css_classes = f"attn-root attn-{self.uid} {self._look()}".split()
                self.interaction.dark = self.state.dark
            if "trace" in changed:
                self.notes = ()
                self.reading.forget()
            if self.feed is not None:
                self._follow_page(self.feed, changed)
            elif changed == {"pair"}:
                self._write_sentence()
            else:
                self._draw(changed)
        except ValueError as error:
            self.notice.param.update(text=f"This can't be shown: {error}", visible=True)

    def _draw(self, changed: set[str]) -> None:
        self.driver.update(changed, only=("scores", "weights", "output", "row", "swatches"))
        self._push()
        self._write_words()
        self._overview_later(changed)
        self.notice.visible = False

    def _follow_page(self, feed: Feed, changed: set[str]) -> None:
        """Where the page draws: the overview is left to do, and to tell it what it didn't do."""
        if changed != {"pair"}:
            self._overview_later(changed)
            self.notice.visible = False
        if not feed.following:
            feed.push()

    def _on_told(self, address: str) -> None:
        """The page told its state: the address goes with it."""
        if address:
            self._write_address(address)

    def _on_failed(self, text: str) -> None:
        self.notice.param.update(text=text, visible=True)

    def _overview_later(self, changed: set[str]) -> None:
        """Move the outline now; draw all heads when the reader pauses."""
        self._overview_due |= changed
        document = pn.state.curdoc
        if document is None or document.session_context is None:
            self._draw_overview()
            return
        if self._overview_job is not None:
            document.remove_timeout_callback(self._overview_job)
        if self._overview_due <= {"layer", "head", "aggregate", "query_index", "pair", "viewport"}:
            self._overview_job = None
            self._draw_overview()
        else:
            self._overview_job = document.add_timeout_callback(
                self._draw_overview, OVERVIEW_WAIT_MS
            )

    def _draw_overview(self) -> None:
        due, self._overview_due, self._overview_job = self._overview_due, set(), None
        try:
            self.driver.update(due, only=("grid",))
            self._push()
            if due & set(SELECTION) and self.feed is None:
                self._write_numbers()
        except ValueError as error:
            self.notice.param.update(text=f"All heads can't be shown: {error}", visible=True)

    def _push(self) -> None:
        """In a notebook, send the changes of Bokeh models; a server sends them by itself.

        As text: of arrays sent beside a message Panel's notebook channel loses track.
        """
        for view in self._layout._models:  # noqa: SLF001 - Panel has no public list of where it is shown
            (_, root, document, comm) = pn.state._views.get(view, (None, None, None, None))  # noqa: SLF001
            if comm is not None and "embedded" not in root.tags:
                push(document, comm, binary=False)

    def _write_words(self) -> None:
        state, words = self.state, self._words
        call, token = state.call, state.query_tokens[state.query_index]
        place = self._place()
        words["scores"].param.update(
            text="Score", aside=formula(state) if call.live else "not recorded"
        )
        words["weights"].param.update(text="Softmax", aside=scale_words(state))
        missing = "no values were kept" if call.value is None else f"output, {call.value_dim} ch."
        words["output"].param.update(text="Mix", aside=missing)
        words["row"].param.update(
            text=f"Where “{token}” looks", aside=f"{place} · tap a token to make it the query"
        )
        most = max(one.heads for one in state.trace.calls)
        count = len(state.trace.calls)
        words["grid"].param.update(
            text="All heads",
            aside=f"{count} layer{'s' * (count > 1)} × {most} head{'s' * (most > 1)} · tap one",
        )
        words["swatches"].param.update(
            text="Paint mixing",
            aside="no values were kept"
            if call.value is None
            else f"value colours · seed {state.color_seed}",
        )
        words["provenance"].text = self._provenance()
        self.tokens.param.update(**shaded_tokens(state))
        self._write_sentence()
        self.interaction.tips = self.controls.tips
        self.refresh_address()

    def _place(self) -> str:
        state = self.state
        layer = state.trace.layer_numbers[state.layer]
        head = state.trace.head_numbers(state.call)[state.head]
        which = f"mean of {state.call.heads} heads" if state.aggregate else f"head {head}"
        return f"layer {layer}, {which}"

    def _write_numbers(self) -> None:
        weights = np.nan_to_num(self.state.selection.weights)
        numbers = [self._place(), f"entropy {entropy(weights):.2f} nats"]
        if self.state.call.kind == "self":  # between two sequences there is no distance
            numbers.append(f"distance {mean_distance(weights, self.state.call.q_offset):.1f}")
        self._words["numbers"].text = " · ".join(numbers)

    def _provenance(self) -> str:
        state, call = self.state, self.state.call
        stored = call.query.dtype if call.query is not None else "recorded weights"
        kept = "Q, K, V" if call.value is not None else "Q, K"
        lengths = f"{call.query_len} tokens"
        if call.query_len != call.key_len:
            lengths = f"{call.query_len} queries, {call.key_len} keys"
        source = state.trace.model or state.trace.source or "trace"
        numbers = f"{stored} {kept if call.live else ''}".strip()
        # The toy's one layer has the toy's name, which need not be said twice.
        return " · ".join(dict.fromkeys((source, call.layer, lengths, numbers)))

    def _write_sentence(self) -> None:
        """Say what the shown pair is, and tell the notes what they would mark."""
        state = self.state
        self._sentence.pieces = [[piece.kind, piece.text] for piece in sentence(state)]
        query_index, key_index = state.shown_pair
        self.annotations.place = {
            "layer": state.layer,
            "head": None if state.aggregate else state.head,
            "batch": state.batch,
            "query_index": query_index,
            "key_index": key_index,
            "layers": len(state.trace.calls),
            "heads": state.call.heads,
            "query": state.query_tokens[query_index],
            "key": state.key_tokens[key_index],
            "address": urlencode(state.to_address()),
        }
        self.reading.follow()

    # -- what the reader does on the page ----------------------------------------------------

    def _on_message(self, event: Any) -> None:
        """Act on a component's message; anything unexpected in it is ignored."""
        message = event.data
        if not isinstance(message, dict):
            return
        with pn.io.hold(freeze=True):
            for kind, content in message.items():
                handler = self._HANDLERS.get(kind)
                if handler is not None:
                    # A page can send anything.
                    with suppress(TypeError, ValueError, LookupError, ArithmeticError):
                        handler(self, content)

    def _step(self, content: Any) -> None:
        name, by = content
        if name in STEPPED and not (name == "head" and self.state.aggregate):
            self._set(name, getattr(self.state, name) + int(by))

    def _jump(self, content: Any) -> None:
        name, end = content
        if name in STEPPED:
            self._set(name, 0 if end == "first" else self.state.param[name].bounds[1])

    def _next(self, name: Any) -> None:
        if name not in ("mask", "skip_first") or name in self.state.unavailable():
            return
        if name == "skip_first":
            self.state.skip_first = not self.state.skip_first
            return
        choices = self.state.param["mask"].objects
        self.state.mask = choices[(choices.index(self.state.mask) + 1) % len(choices)]

    def _pick_key(self, key: Any) -> None:
        if 0 <= int(key) < self.state.call.key_len:
            self.state.pair = (self.state.query_index, int(key))

    def _pair(self, pair: Any) -> None:
        if pair is None:
            self.state.pair = None
            return
        query, key = int(pair[0]), int(pair[1])
        if 0 <= query < self.state.call.query_len and 0 <= key < self.state.call.key_len:
            self.state.pair = (query, key)

    def _tap(self, content: Any) -> None:
        view, x, y = content[0], round(content[1]), round(content[2])
        state = self.state
        if view == "grid":
            if 0 <= y < len(state.trace.calls) and 0 <= x < state.trace.calls[y].heads:
                state.aggregate = False
                state.layer = y
                state.head = x
        elif view in ("scores", "weights", "output"):
            self._set("query_index", y)
        elif view in ("row", "swatches"):
            key = x if view == "row" else self._swatch_key(y)
            if state.query_tokens == state.key_tokens:
                self._set("query_index", key)
            else:
                self._pick_key(key)

    def _swatch_key(self, row: int) -> int:
        keys = self.driver.source("attn:swatches").data["key_index"]
        return int(keys[row]) if 0 <= row < len(keys) else -1

    def _set(self, name: str, value: int) -> None:
        low, high = self.state.param[name].bounds
        if low <= value <= high:
            self.state.pair = None
            setattr(self.state, name, value)

    def _restore(self, address: Any) -> None:
        """Bring back what an address holds, as a note's *Go to* asks."""
        self.state.pair = None
        problems = self.state.from_address(dict(parse_qsl(str(address)[:2000])))
        if problems:
            self.notice.param.update(text=" ".join(problems), visible=True)

    def _token(self, index: Any) -> None:
        self._set("query_index", int(index))

    def _prefers_dark(self, dark: Any) -> None:
        if self.interaction.asks_theme:
            self.interaction.asks_theme = False
            self.state.dark = bool(dark)

    _HANDLERS: ClassVar[dict[str, Callable[[Explorer, Any], None]]] = {
        "step": _step,
        "jump": _jump,
        "next": _next,
        "key": _pick_key,
        "pair": _pair,
        "tap": _tap,
        "restore": _restore,
        "token": _token,
        "prefers_dark": _prefers_dark,
    }

    def _on_zoom(self, _event: Any) -> None:
        """Draw the part on screen cell by cell, where the whole has more cells than pixels."""
        if max(self.state.call.query_len, self.state.call.key_len) > MOST_CELLS:
            self.state.viewport = self.driver.viewport()


def _operations(*names: str) -> Any:
    """Write what happens between two pictures."""
    lines = "".join(f"<span>{name}</span>" for name in names)
    return pn.pane.HTML(
        f"<b aria-hidden='true'>→</b>{lines}",
        css_classes=["attn-operations"],
        stylesheets=[stylesheet()],
        margin=0,
    )
