"""Sessions are made one after another, so that other readers are answered between two of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from bokeh.application.handlers.handler import Handler

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.server.tornado import BokehTornado

# Turns of the event loop between two sessions: a request is accepted, read, answered and written.
BETWEEN: Final = 8


class Turns(Handler):
    """Makes each session wait for its turn before its document is made.

    Making one takes up to a second of the event loop. Where a class opens its pages at once, all
    would be made in one turn of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = asyncio.Lock()

    async def on_session_created(self, _session_context: Any) -> None:
        """Return when it is this session's turn; its document is made at once then."""
        async with self._lock:
            for _ in range(BETWEEN):
                await asyncio.sleep(0)

    def modify_document(self, doc: Document) -> None:
        """Leave the document as it is."""


def take_turns(application: BokehTornado) -> None:
    """Have the sessions of all an application's pages be made one after another."""
    turns = Turns()
    for each in application.applications.values():
        each.application.add(turns)
