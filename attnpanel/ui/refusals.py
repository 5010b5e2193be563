"""Refuse what a page sends: count it, tell the page, and write one line to the log."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakMethod

import panel as pn

from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.document import Document

LOG = logging.getLogger("attnpanel")
MAX_LETTERS = 300


class PageInputError(ValueError):
    """What a page sent breaks a rule; the text states the rule and the value."""


class Refusals:
    """Counts refused messages, and tells each session's page of its own.

    Attributes
    ----------
    count : int
        Refused since the process started, over all sessions.
    """

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()
        self._tell: WeakKeyDictionary[Document, WeakMethod[Callable[[str], None]]]
        self._tell = WeakKeyDictionary()
        self._waiting: WeakKeyDictionary[Document, str] = WeakKeyDictionary()

    def tell_by(self, document: Document, tell: WeakMethod[Callable[[str], None]]) -> None:
        """Have `tell` show what is refused of a session, on that session."""
        self._tell[document] = tell

    def refuse(self, document: Document | None, error: Exception) -> None:
        """Count a refused message and tell its page, from any thread."""
        with self._lock:
            self.count += 1
            count = self.count
        text = str(error)[:MAX_LETTERS]
        if count & (count - 1) == 0:  # a flood of messages must not become a flood of lines
            LOG.warning("refused a page's message (%d so far): %s", count, ascii(text)[1:-1])
        self.tell(document, text)

    def tell(self, document: Document | None, text: str) -> None:
        """Show a text on a session's page, from any thread; of several at once the last."""
        if document is None or document not in self._tell or document.session_context is None:
            return
        with self._lock:
            scheduled = document in self._waiting
            self._waiting[document] = text
        if not scheduled:
            document.add_next_tick_callback(lambda: self._tell_now(document))

    def _tell_now(self, document: Document) -> None:
        with self._lock:
            text = self._waiting.pop(document, None)
        tell = self._tell[document]()
        if text is not None and tell is not None:
            tell(text)


REFUSALS = Refusals()


def handle_exception(error: BaseException) -> None:
    """Handle what a callback of a session raised, as Panel's `exception_handler`.

    A refused message is told and counted. Anything else is a fault of ours: it is logged whole, and
    the page says that what was asked for has failed.
    """
    document: Any = pn.state.curdoc
    if isinstance(error, PageInputError):
        REFUSALS.refuse(document, error)
        return
    LOG.error("a callback of a page failed", exc_info=error)
    REFUSALS.tell(
        document,
        t("This failed on the server ({kind}); its log says why.", kind=type(error).__name__),
    )
