"""ExplorerBridge: the Python side of the browser driver, on a served page and in a notebook.

The page draws. Python sends layers and projections on request, computes for layers that are too
large to send, and synchronizes the state in both directions. A notebook cell contains the layers of
a small trace, so that it stays interactive after conversion to HTML, without a kernel.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from attnpanel.explorer.layer_answers import LayerAnswers, numbers, with_positions
from attnpanel.explorer.page_limits import fits, held_bytes
from attnpanel.explorer.wire_format import (
    SEEDS,
    describe,
    make_payload,
    make_projections,
    pack_layer,
    pack_layer_as_text,
)
from attnpanel.ui.explorer_component import BrowserDriver
from attnpanel.ui.session_callbacks import SessionScheduler
from attnpanel.ui.words import current_language, t, use_language
from attnpanel.ui.worker_pool import Work, WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.explorer.state import ExplorerState
    from attnpanel.trace import AttentionCall, Trace

# A notebook cell contains a trace's arrays unchanged up to the first limit and as float16 up to the
# second; above it the page requests layers, as a served page does.
MAX_EXACT_BYTES = 2_000_000
MAX_EMBEDDED_BYTES = 6_000_000
# Paint seeds of a page that is drawn without a session, which asks for one beyond them.
ALONE_SEEDS = 100
# Packing this many bytes takes about 10 ms: more is done in a thread.
MAX_PACKED_IN_LOOP = 2_000_000
PACKERS = WorkerPool(2)
# Choices with a button group; the page needs the order of their options.
BUTTONS = ("mask", "align", "empty_rows", "weight_scale")
# A page may answer so many of the latest pushes.
MAX_BASES = 16
# Choices that follow the pointer: the next one is on its way.
POINTED = {"pair", "viewport", "line_token"}
_SERIAL = count(1)


def settings(state: ExplorerState) -> dict[str, Any]:
    """Return the browser driver's parameters that describe the state: options, labels, docs."""
    parameters = state.param.objects()
    return {
        "state": choices_of(state),
        "choices": {name: list(parameters[name].objects) for name in BUTTONS},
        "docs": {name: [t(str(row.label)), t(str(row.doc))] for name, row in parameters.items()},
    }


def choices_of(state: ExplorerState) -> dict[str, Any]:
    """Return every choice of a state by name, as plain data."""
    return {name: getattr(state, name) for name in state.param if name not in ("trace", "name")}


class ExplorerBridge:
    """Synchronizes an ExplorerState with the browser driver of its page.

    Parameters
    ----------
    state : ExplorerState
    explorer_id : str
        Names the explorer's events on the page.
    """

    def __init__(self, state: ExplorerState, explorer_id: str) -> None:
        self.state = state
        self._schedule = SessionScheduler()
        # Called once, when the page has drawn the trace that it was sent last.
        self.on_drawn: Callable[[], None] | None = None
        # JupyterLab handles each view's messages in a thread of its own, concurrently with cells.
        self._lock = threading.RLock()
        self._following: int | None = None
        self._push = 0
        self._known: dict[str, Any] = {}
        # The choices that page and Python agreed on, by trace and push.
        self._bases: dict[tuple[Any, int], dict[str, Any]] = {}
        self._trace: Trace | None = None
        self._sent_seeds: set[int] = set()
        self._language = current_language()
        self.component = BrowserDriver(
            self._at_start,
            explorer_id=explorer_id,
            listens=True,
            width=0,
            height=0,
            margin=0,
            css_classes=["attn-driver"],
            **settings(state),
        )
        self.component.on_msg(self._on_message)
        self.push()

    def follow_state(self) -> None:
        """Send the state to the page, unless the change came from there."""
        if self._following != threading.get_ident():
            with self._lock:
                self.push()

    def push(self) -> None:
        """Send the state to the page, and the trace's description if the trace is new."""
        state, component = self.state, self.component
        self._known = choices_of(state)
        changes: dict[str, Any] = {}
        if self._trace is not state.trace:
            self._trace = state.trace
            self._sent_seeds = {state.color_seed}
            with use_language(self._language):
                meta = describe(state.trace, color_seed=state.color_seed)
            for fields, call in zip(meta["calls"], state.trace.calls, strict=True):
                fields["partial"] = not fits(call)
            changes["meta"] = meta | {"trace": next(_SERIAL)}
            self._answers = LayerAnswers(
                state.trace, self._schedule, self._answer(changes["meta"]["trace"])
            )
            changes["choices"] = settings(state)["choices"]
        self._push += 1
        serial = changes.get("meta", component.meta)["trace"]
        self._bases[serial, self._push] = self._known
        for old in list(self._bases)[:-MAX_BASES]:
            del self._bases[old]
        component.param.update(**changes, state=self._state_message(serial))
        self._send_projections()

    def _state_message(self, serial: int) -> dict[str, Any]:
        return choices_of(self.state) | {"trace": serial, "push": self._push}

    def _at_start(self, served: bool) -> dict[str, Any]:  # noqa: FBT001 - a plain fact
        """Return initial values of a page: the state, and in a notebook a small trace's layers."""
        meta, trace = self.component.meta, self.state.trace
        start: dict[str, Any] = {"state": self._state_message(meta["trace"])}
        whole = all(map(fits, trace.calls)) and _array_bytes(trace, 2) <= MAX_EMBEDDED_BYTES
        if served or not whole:
            return start
        if _array_bytes(trace, 4) <= MAX_EXACT_BYTES:
            payloads = [pack_layer_as_text(call) for call in trace.calls]
        else:
            payload = make_payload(trace, values=True)
            payloads, meta = payload.calls, meta | {"calls": payload.meta["calls"]}
        seeds = ALONE_SEEDS if self.component.drawn_alone else SEEDS
        paints = make_projections(trace, {*range(seeds), *self._sent_seeds})
        return start | {
            "payloads": payloads,
            "meta": meta | {"projections": paints, "embedded": True},
        }

    def _on_message(self, event: Any) -> None:
        """Handle a message of the page; ignore anything unexpected in it."""
        message = event.data
        if not isinstance(message, dict):
            return
        # Messages are untrusted input.
        with self._lock, suppress(TypeError, ValueError, LookupError, ArithmeticError):
            if "connected" in message:
                self._catch_up(message["connected"])
            if "layer_request" in message:
                self._send_layer(message["layer_request"])
            if "ask" in message and message["ask"]["trace"] == self.component.meta["trace"]:
                self._answers.ask(message["ask"])
            if "drop" in message:
                self._answers.drop(message["drop"])
            if "state" in message:
                drawn = message["state"]["trace"] == self.component.meta["trace"]
                self._follow(dict(message["state"]))
                if drawn:  # a page sends its state at the end of each draw
                    self.tell_drawn()

    def tell_drawn(self) -> None:
        """Call `on_drawn`, if it waits."""
        then, self.on_drawn = self.on_drawn, None
        if then is not None:
            then()

    def _catch_up(self, connected: dict[str, Any]) -> None:
        """Send a page that has just connected what was set while it opened."""
        if connected["trace"] != self.component.meta["trace"]:
            self._trace = None
        if self._trace is None or connected["push"] != self._push:
            self.push()

    def _send_layer(self, request: dict[str, Any]) -> None:
        if request["trace"] != self.component.meta["trace"]:
            return
        layer, calls = int(request["layer"]), self.state.trace.calls
        if 0 <= layer < len(calls) and fits(calls[layer]):
            call = calls[layer]
            if not self._schedule.served:
                # A notebook's channel loses binary buffers that accompany a message.
                self._respond(request["trace"], layer, pack_layer_as_text(call))
            elif held_bytes(call) <= MAX_PACKED_IN_LOOP:
                self._respond(request["trace"], layer, pack_layer(call))
            else:
                PACKERS.submit(
                    Work(self, "attnpanel-layer", lambda: self._pack(request["trace"], layer, call))
                )

    def _pack(self, serial: int, layer: int, call: AttentionCall) -> None:
        """Pack a large layer, in a thread."""
        arrays = pack_layer(call)
        self._schedule(lambda: self._respond(serial, layer, arrays))

    def _respond(self, serial: int, layer: int, arrays: bytes | str) -> None:
        if serial == self.component.meta["trace"]:
            response = {"trace": serial, "layer": layer, "arrays": arrays}
            self.component.layer_response = response

    def _answer(self, serial: int) -> Callable[[dict[str, Any]], None]:
        """Return the function that sends answers about this trace while the page shows it."""

        def send(answer: dict[str, Any]) -> None:
            if self.component.meta["trace"] == serial:
                self.component.answer = answer

        return send

    def _send_projections(self) -> None:
        """Send the projections of the chosen seed, unless the page has them."""
        seed = self.state.color_seed
        if seed not in self._sent_seeds:
            self._sent_seeds.add(seed)
            # Always all of them: a page that has not connected yet receives the last message only.
            widths = make_projections(self.state.trace, sorted(self._sent_seeds))
            self.component.projections = {"trace": self.component.meta["trace"], "widths": widths}

    def _follow(self, sent: dict[str, Any]) -> None:
        """Set what a reader changed on the page, unless Python has set the same choice since."""
        sent_with = sent.pop("trace"), sent.pop("push")
        latest = self.component.meta["trace"], self._push
        known, base = self._known, self._bases.get(sent_with)
        if base is None or choices_of(self.state) != known:
            return  # another thread has set it and will send it
        chosen = with_positions({name: sent[name] for name in set(known) & set(sent) - POINTED})
        chosen["pair"] = numbers(sent["pair"], 2, int)
        chosen["viewport"] = numbers(sent["viewport"], 4, float)
        chosen["line_token"] = numbers(sent["line_token"], 2, int)
        # Only what the page changed: another thread may be setting the rest right now.
        changed = {name: choice for name, choice in chosen.items() if choice != base[name]}
        late = sent_with != latest
        if late:
            lasting = ("dark",) if sent_with[0] != latest[0] else set(changed) - POINTED
            changed = {name: changed[name] for name in lasting if name in changed}
            changed = {name: chosen[name] for name in changed if known[name] == base[name]}
            if not changed:
                return
        self._following = threading.get_ident()
        try:
            self.state.choose(**changed)
        finally:
            self._following = None
            self._known = choices_of(self.state)
        self._bases[sent_with] = base | changed if late else self._known
        # Late, the page has adopted a state without its reader's choice. Otherwise another thread
        # set a choice meanwhile, so follow_state() did not send it.
        if late or self._known != known | chosen:
            self.push()
        self._send_projections()


def _array_bytes(trace: Trace, width: int) -> int:
    """Return the bytes of a trace's arrays at `width` bytes a number."""
    total = 0
    for call in trace.calls:
        for array in (call.query, call.key, call.value, call.recorded_weights):
            total += 0 if array is None else array.size * width
        total += 0 if call.mask is None else call.mask.nbytes
        total += 0 if call.bias is None else call.bias.size * 4
        total += 0 if call.outputs is None else call.outputs.nbytes
    return total
