"""The way from Python to a page that may not stand yet."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import panel as pn

if TYPE_CHECKING:
    from collections.abc import Callable


class ToPage:
    """The way back to a page, from a thread too: actions are carried out there in order.

    Made on the page. What is given before the page stands waits until it does: between handing
    over a document and hearing that the browser shows it, Panel (1.9.4) drops what changes in it.
    """

    def __init__(self) -> None:
        document = pn.state.curdoc
        served = document is not None and document.session_context is not None
        self._document: Any = document if served else None
        self._lock = threading.Lock()
        self._waiting: list[Callable[[], None]] | None = None
        if served:
            self._waiting = []
            pn.state.onload(self._open)

    def __call__(self, action: Callable[[], None]) -> None:
        """Carry out an action on the page; where no server is, at once; where it is gone, never."""
        if self._document is None:
            action()
            return
        with self._lock:
            if self._waiting is None:
                self._hand_over(action)
            else:
                self._waiting.append(action)

    def answer(self, action: Callable[[], None]) -> None:
        """Carry out what the page itself asks for: at once, or as soon as it stands.

        A page's components speak before it says that it stands.
        """
        if self._waiting is None:
            action()
        else:
            self(action)

    def _open(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting or [], None
            for action in waiting:
                self._hand_over(action)

    def _hand_over(self, action: Callable[[], None]) -> None:
        if self._document.session_context is not None:
            self._document.add_next_tick_callback(action)
