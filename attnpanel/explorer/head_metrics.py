"""Python's end of the card of head maps: it computes the numbers when the card asks for them."""

from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.attention.progress import no_progress
from attnpanel.explorer.views.head_maps import head_maps
from attnpanel.ui import HeadMaps
from attnpanel.ui.background_task import LatestTask
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from attnpanel.attention.progress import Progress
    from attnpanel.explorer.state import ExplorerState
    from attnpanel.trace import Trace
    from attnpanel.ui.worker_pool import WorkerPool

    # Sets a trace's head_importance; reports progress as a fraction and a text.
    Measure = Callable[[Trace, Callable[[float, str], None]], None]

_SERIAL = count(1)


class HeadMapsBridge:
    """Keeps the card of head maps in step with the state.

    Parameters
    ----------
    state : ExplorerState
    explorer_id : str
        Names the explorer's events on the page.
    """

    def __init__(self, state: ExplorerState, explorer_id: str) -> None:
        self.state = state
        self.component = HeadMaps(
            explorer_id=explorer_id,
            root_class=f"attn-{explorer_id}",
            sizing_mode="stretch_width",
            margin=0,
            css_classes=["attn-head-maps"],
        )
        self.component.on_msg(self._on_message)
        self._work, self._stopping = LatestTask("attnpanel-importance"), threading.Event()
        # One computation at a time, however many the page requests.
        self._reads, self._reading = LatestTask("attnpanel-head-maps"), False
        self._asked: set[int] = set()
        self._waiting: list[int] = []
        self.forget()
        if pn.state.curdoc is not None:
            pn.state.on_session_destroyed(lambda _session: self.leave())

    def forget(self) -> None:
        """Start over with the state's trace; numbers are computed when the page requests them."""
        self._trace = self.state.trace
        self._asked, self._waiting = set(), []
        self.offer(None)
        self.component.numbers = {"trace": next(_SERIAL), "layers": [], "maps": [], "values": {}}

    def offer(self, measure: Measure | None, pool: WorkerPool | None = None) -> None:
        """Offer to measure the importance of the trace's heads; None withdraws the offer.

        `pool` runs it in place of the server's.
        """
        self._measure = measure
        self._stop()
        self._work.pool = pool
        heads = {call.layer: call.heads for call in self._trace.calls}
        self.component.heads = sum(heads.values()) if measure else 0

    def read_all(self, progress: Progress = no_progress) -> None:
        """Compute the numbers of every sequence, for a report, which cannot request them."""
        made = head_maps(self._trace, progress=progress)
        self._asked.update(map(int, made["values"]))
        self._take(self.component.numbers["trace"], made)

    def leave(self) -> None:
        """Stop computing: the page was closed."""
        self._waiting = []
        self._stopping.set()
        self._work.abandon()

    def _on_message(self, event: Any) -> None:
        """Handle a request of the page; ignore anything unexpected in it."""
        message = event.data
        if not isinstance(message, dict):
            return
        batch = message.get("maps")
        if type(batch) is int and 0 <= batch < max(call.batch for call in self._trace.calls):
            self._read([batch])
        measuring = "fraction" in self.component.measuring  # a text alone says why one failed
        if message.get("measure") is True and self._measure and not measuring:
            self._begin(self._measure)
        if message.get("measure") is False:
            self._stop()

    def _read(self, batches: Iterable[int]) -> None:
        """Compute the numbers of sequences not requested before, one after another."""
        new = [batch for batch in batches if batch not in self._asked]
        if not new:
            return
        self._asked.update(new)
        self._waiting += new
        document = pn.state.curdoc
        if document is None or document.session_context is None:
            made, self._waiting = head_maps(self._trace, self._waiting), []
            self._take(self.component.numbers["trace"], made)
        elif not self._reading:
            self._read_next()

    def _read_next(self) -> None:
        self._reading = bool(self._waiting)
        if not self._reading:
            return
        trace, serial = self._trace, self.component.numbers["trace"]
        batch = self._waiting.pop(0)

        def done(made: dict[str, Any]) -> None:
            self._take(serial, made)
            self._read_next()

        def failed(sentence: str) -> None:
            text = t("These numbers can't be computed. {reason}", reason=sentence)
            self.component.measuring = {"text": text}
            self._read_next()

        self._reads.start(
            lambda _on_progress: head_maps(trace, [batch]),
            on_done=done,
            on_error=failed,
            on_progress=lambda _text: None,
        )

    def _begin(self, measure: Measure) -> None:
        """Measure importance with a progress bar, then show it as one more map."""
        trace, stop = self._trace, threading.Event()
        self._stopping = stop
        self.component.measuring = {"fraction": 0.0, "text": t("Starting …")}

        def work(on_progress: Callable[[str], None]) -> None:
            def report(fraction: float, text: str) -> None:
                if stop.is_set():
                    raise ValueError("stopped")  # ends the task; its result is ignored
                on_progress(f"{fraction:.3f} {text}")

            measure(trace, report)

        self._work.start(
            work, on_done=self._measured, on_error=self._failed, on_progress=self._show_progress
        )

    def _show_progress(self, progress: str) -> None:
        fraction, text = progress.split(" ", 1)
        self.component.measuring = {"fraction": float(fraction), "text": text}

    def _failed(self, sentence: str) -> None:
        text = t("Importance can't be measured. {reason}", reason=sentence)
        self.component.measuring = {"text": text}

    def _measured(self, _nothing: None) -> None:
        self.offer(None)
        again, self._asked = sorted(self._asked), set()
        self._waiting = []
        self._read(again)

    def _stop(self) -> None:
        self._stopping.set()
        self._work.abandon()
        self.component.measuring = {}

    def _take(self, serial: int, made: dict[str, Any]) -> None:
        """Show the numbers, unless they are of another trace or older than those shown."""
        known = self.component.numbers
        texts = ("title", "unit", "about", "missing")
        made["maps"] = [one | {name: t(one[name]) for name in texts} for one in made["maps"]]
        if known["trace"] == serial and len(made["maps"]) >= len(known["maps"]):
            kept = known["values"] if known["maps"] == made["maps"] else {}
            self.component.numbers = made | {"trace": serial, "values": kept | made["values"]}
