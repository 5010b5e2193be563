"""Python's end of the card of head maps: it computes the numbers when the card asks for them."""

from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.browser import HeadMaps
from attnpanel.page_work import PageWork
from attnpanel.views.head_maps import head_maps

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.state import ExplorerState
    from attnpanel.trace import Trace

    # Sets a trace's head_importance, and tells a fraction and what happens now.
    Measure = Callable[[Trace, Callable[[float, str], None]], None]

_SERIAL = count(1)


class HeadReading:
    """Keeps the card of head maps in step with the state.

    Parameters
    ----------
    state : ExplorerState
    uid : str
        Names the explorer's events on the page.
    """

    def __init__(self, state: ExplorerState, uid: str) -> None:
        self.state = state
        self.component = HeadMaps(
            uid=uid,
            root_class=f"attn-{uid}",
            sizing_mode="stretch_width",
            margin=0,
            css_classes=["attn-head-maps"],
        )
        self.component.on_msg(self._on_message)
        self._work, self._stopping = PageWork("attnpanel-importance"), threading.Event()
        self.forget()

    def forget(self) -> None:
        """Another trace is shown: its numbers are computed when somebody looks."""
        self._trace = self.state.trace
        self.offer(None)
        self.component.numbers = {"trace": next(_SERIAL), "layers": [], "maps": [], "values": {}}

    def offer(self, measure: Measure | None) -> None:
        """Let the reader measure the importance of the shown trace's heads, or not."""
        self._measure = measure
        self._stop()
        heads = {call.layer: call.heads for call in self._trace.calls}
        self.component.runs = sum(heads.values()) if measure else 0

    def follow(self) -> None:
        """Tell the card what is on screen, where Python draws."""
        state = self.state
        head = None if state.aggregate else state.head
        self.component.place = {"layer": state.layer, "head": head, "batch": state.batch}

    def read_all(self) -> None:
        """Compute the numbers of every sequence, for a file that can't ask."""
        self._take(self.component.numbers["trace"], head_maps(self._trace))

    def _on_message(self, event: Any) -> None:
        """Compute what is asked for; anything unexpected in a message is ignored."""
        message = event.data
        if not isinstance(message, dict):
            return
        batch = message.get("maps")
        if type(batch) is int and 0 <= batch < max(call.batch for call in self._trace.calls):
            self._read([batch])
        if message.get("measure") is True and self._measure and not self.component.measuring:
            self._begin(self._measure)
        if message.get("measure") is False:
            self._stop()

    def _read(self, batches: list[int]) -> None:
        trace, serial = self._trace, self.component.numbers["trace"]
        document = pn.state.curdoc
        if document is None or document.session_context is None:
            self._take(serial, head_maps(trace, batches))
            return

        def work() -> None:
            made = head_maps(trace, batches)
            document.add_next_tick_callback(lambda: self._take(serial, made))

        threading.Thread(target=work, name="attnpanel-head-maps", daemon=True).start()

    def _begin(self, measure: Measure) -> None:
        """Measure importance, say how far that is, and show it as one more map."""
        trace, stop = self._trace, threading.Event()
        self._stopping = stop
        self.component.measuring = {"fraction": 0.0, "text": "Starting …"}

        def work(tell: Callable[[str], None]) -> None:
            def told(fraction: float, text: str) -> None:
                if stop.is_set():
                    raise ValueError("stopped")  # which nobody hears
                tell(f"{fraction:.3f} {text}")

            measure(trace, told)

        self._work.start(work, done=self._measured, failed=self._failed, told=self._told)

    def _told(self, said: str) -> None:
        fraction, text = said.split(" ", 1)
        self.component.measuring = {"fraction": float(fraction), "text": text}

    def _failed(self, sentence: str) -> None:
        self.component.measuring = {"text": f"Importance can't be measured. {sentence}"}

    def _measured(self, _nothing: None) -> None:
        self.offer(None)
        self._read([int(batch) for batch in self.component.numbers["values"]])

    def _stop(self) -> None:
        self._stopping.set()
        self._work.abandon()
        self.component.measuring = {}

    def _take(self, serial: int, made: dict[str, Any]) -> None:
        known = self.component.numbers
        if known["trace"] == serial:
            kept = known["values"] if known["maps"] == made["maps"] else {}
            self.component.numbers = made | {"trace": serial, "values": kept | made["values"]}
