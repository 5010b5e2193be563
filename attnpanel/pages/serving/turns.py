"""Sessions are made in a thread, one after another, so that the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import bokeh.io.doc
from bokeh.application.handlers.handler import Handler
from panel.io.state import state

from attnpanel.pages.serving.daemon_thread import in_daemon_thread

if TYPE_CHECKING:
    from collections.abc import Collection

    from bokeh.application import Application
    from bokeh.document import Document
    from bokeh.server.tornado import BokehTornado

# Turns of the event loop between two sessions: a request is accepted, read, answered and written.
BETWEEN: Final = 8


class Turns(Handler):
    """Makes each session of an application wait for its turn, and then its document.

    Making one takes half a second of Python. Where a class opens its pages at once, all would be
    made in one turn of the event loop.

    Parameters
    ----------
    application : Application
    lock : asyncio.Lock
        Of all a server's applications.
    threaded : bool
        Whether the document is made in a thread, or by the event loop.
    """

    def __init__(self, application: Application, lock: asyncio.Lock, *, threaded: bool) -> None:
        super().__init__()
        self._lock, self._threaded = lock, threaded
        self._made: WeakSet[Document] = WeakSet()
        self._initialize = application.initialize_document
        changed: Any = application
        changed.initialize_document = self._initialize_once

    async def on_session_created(self, session_context: Any) -> None:
        """Return when the session's document is made, or when it is its turn to be made."""
        document = session_context._document  # noqa: SLF001 - Bokeh offers no other way to it
        async with self._lock:
            for _ in range(BETWEEN):
                await asyncio.sleep(0)
            if self._threaded:
                await in_daemon_thread(partial(self._initialize, document))
                self._made.add(document)
                # From now on it belongs to the event loop's thread.
                state._thread_id_[document] = threading.get_ident()

    def _initialize_once(self, document: Document) -> None:
        if document in self._made:
            self._made.discard(document)
        else:
            self._initialize(document)

    def modify_document(self, doc: Document) -> None:
        """Leave the document as it is."""


class _ListOfThread(threading.local):
    """A list of which each thread has its own."""

    def __init__(self) -> None:
        self._items: list[Any] = []

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Any:
        return self._items[index]

    def append(self, item: Any) -> None:
        """Append an item."""
        self._items.append(item)

    def pop(self) -> Any:
        """Remove the last item and return it."""
        return self._items.pop()


def take_turns(application: BokehTornado, own: Collection[str]) -> None:
    """Have the sessions of all an application's pages be made one after another.

    Parameters
    ----------
    application : BokehTornado
    own : collection of str
        Addresses of our own pages, which are made in a thread. Others are made by the event loop:
        what they do is not known here.
    """
    documents: Any = bokeh.io.doc
    if not isinstance(documents._PATCHED_CURDOCS, _ListOfThread):  # noqa: SLF001 - its only place
        # The documents of Bokeh's curdoc(), a stack: threads would take each other's from it.
        documents._PATCHED_CURDOCS = _ListOfThread()  # noqa: SLF001 - as above
    lock = asyncio.Lock()
    for path, context in application.applications.items():
        made = context.application
        made.add(Turns(made, lock, threaded=path in own))
