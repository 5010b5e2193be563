"""Schedule callbacks on a session; queue them until the client has connected."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import panel as pn
from tornado.ioloop import IOLoop

if TYPE_CHECKING:
    from collections.abc import Callable


class SessionScheduler:
    """Run callbacks on the session it was created in, in order; callable from any thread.

    Callbacks wait until the client has connected: between sending a document and hearing that the
    browser shows it, Panel (1.9.4) drops changes to the document. It also holds a document's events
    for moments, and what another thread adds to them just then is lost: threads add nothing to the
    document, but have its event loop do so.
    """

    def __init__(self) -> None:
        document = pn.state.curdoc
        loop = _loop_of(document)
        self._document: Any = None if loop is None else document
        self._lock = threading.Lock()
        self._queue: list[Callable[[], None]] | None = None
        if loop is not None:
            self._loop = loop
            self._queue = []
            pn.state.onload(self._on_connect)

    @property
    def served(self) -> bool:
        """Whether a server runs the session, whose event loop long work must not block."""
        return self._document is not None

    def __call__(self, callback: Callable[[], None]) -> None:
        """Schedule a callback: run it at once without a server, never on a closed session."""
        if self._document is None:
            callback()
            return
        with self._lock:
            if self._queue is None:
                self._run_next_tick(callback)
            else:
                self._queue.append(callback)

    def handle(self, callback: Callable[[], None]) -> None:
        """Handle a message from the page: at once, or when the client has connected.

        A page's components send messages before the page reports that it is connected.
        """
        if self._queue is None:
            callback()
        else:
            self(callback)

    def _on_connect(self) -> None:
        with self._lock:
            queued, self._queue = self._queue or [], None
            for callback in queued:
                self._run_next_tick(callback)

    def _run_next_tick(self, callback: Callable[[], None]) -> None:
        if IOLoop.current(instance=False) is self._loop:
            self._add(callback)
        else:
            self._loop.add_callback(partial(self._add, callback))

    def _add(self, callback: Callable[[], None]) -> None:
        if self._document.session_context is not None:
            self._document.add_next_tick_callback(callback)


def _loop_of(document: Any) -> IOLoop | None:
    """Return the event loop of a document's session, which a thread may make; None without one.

    `panel serve --autoreload` and `--warm` run a script before there is a loop, for its imports.
    """
    if document is None or document.session_context is None:
        return None
    loop: IOLoop | None = IOLoop.current(instance=False)
    if loop is None and document.session_context.server_context is not None:
        loop = document.session_context.server_context.application_context.io_loop
    return loop
