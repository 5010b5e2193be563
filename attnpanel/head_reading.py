"""Python's end of the card of head maps: it computes the numbers when the card asks for them."""

from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.browser import HeadMaps
from attnpanel.views.head_maps import head_maps

if TYPE_CHECKING:
    from attnpanel.state import ExplorerState

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
        self.forget()

    def forget(self) -> None:
        """Another trace is shown: its numbers are computed when somebody looks."""
        self._trace = self.state.trace
        self.component.numbers = {"trace": next(_SERIAL), "layers": [], "maps": [], "values": {}}

    def follow(self) -> None:
        """Tell the card what is on screen, where Python draws."""
        state = self.state
        head = None if state.aggregate else state.head
        self.component.place = {"layer": state.layer, "head": head, "batch": state.batch}

    def read_all(self) -> None:
        """Compute the numbers of every sequence, for a file that can't ask."""
        self._take(self.component.numbers["trace"], head_maps(self._trace))

    def _on_message(self, event: Any) -> None:
        """Compute the numbers of a sequence; anything unexpected in a message is ignored."""
        message = event.data
        batch = message.get("maps") if isinstance(message, dict) else None
        if type(batch) is not int or not 0 <= batch < max(c.batch for c in self._trace.calls):
            return
        trace, serial, document = self._trace, self.component.numbers["trace"], pn.state.curdoc
        if document is None or document.session_context is None:
            self._take(serial, head_maps(trace, [batch]))
            return

        def work() -> None:
            made = head_maps(trace, [batch])
            document.add_next_tick_callback(lambda: self._take(serial, made))

        threading.Thread(target=work, name="attnpanel-head-maps", daemon=True).start()

    def _take(self, serial: int, made: dict[str, Any]) -> None:
        known = self.component.numbers
        if known["trace"] == serial:
            values = known["values"] | made["values"]
            self.component.numbers = made | {"trace": serial, "values": values}
