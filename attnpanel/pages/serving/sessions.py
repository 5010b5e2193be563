"""How many pages may be open, and which are given up: a bound on what visitors keep in memory."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from tornado.ioloop import PeriodicCallback
from tornado.routing import Matcher, Rule
from tornado.web import RequestHandler

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from bokeh.server.tornado import BokehTornado
    from tornado.httputil import HTTPServerRequest

SWEEP_MS: Final = 30_000
# A client that leaves this many pings unanswered, one in 37 s, does not fetch what it is sent.
MAX_UNANSWERED: Final = 3
# A page has one connection, and a second where the server has not heard yet that the first is gone.
MAX_SOCKETS: Final = 4
RETRY_S: Final = 30


class OpenSessions:
    """The sessions of a server's pages, up to a limit.

    Parameters
    ----------
    application : BokehTornado
    most : int
        Further pages get status 503 and a sentence.
    max_idle_s : float
        A page whose reader has done nothing for so long, in seconds, is disconnected; Bokeh then
        drops its session within a minute.
    clock : callable, optional
        Returns seconds.

    Attributes
    ----------
    begun : set of str
        Sessions that the event loop makes next, and Bokeh does not count yet.
    """

    def __init__(
        self,
        application: BokehTornado,
        most: int,
        max_idle_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._application, self.most, self._max_idle_s = application, most, max_idle_s
        self.clock = clock
        self.begun: set[str] = set()
        self._sockets: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many there are, those being made and those no longer looked at included."""
        contexts = self._application.applications.values()
        made = sum(len(each._sessions) + len(each._pending_sessions) for each in contexts)  # noqa: SLF001 - Bokeh offers no count
        return made + len(self.begun)

    @property
    def refusal(self) -> str | None:
        """Why no further page is opened, as a sentence; None if there is room."""
        if self.count < self.most:
            return None
        return (
            f"This server is full: {self.most} pages are open, the most at a time. Close one, or "
            "try again in a minute."
        )

    def join(self, session_id: str) -> str | None:
        """Count a connection of a session and return None, or return why it is refused."""
        if self._sockets[session_id] >= MAX_SOCKETS:
            return f"a page must have {MAX_SOCKETS} connections at most"
        self._sockets[session_id] += 1
        return None

    def leave(self, session_id: str) -> None:
        """Note that a connection of a session has ended."""
        self._sockets[session_id] -= 1
        if not self._sockets[session_id]:
            del self._sockets[session_id]

    def sweep(self, sockets: Iterable[Any]) -> None:
        """Disconnect the pages of readers who are gone, and of clients that do not answer."""
        for socket in list(sockets):
            if self.clock() - socket.last_used >= self._max_idle_s:
                socket.close(1001, "nobody has used this page for long")
            elif socket.unanswered > MAX_UNANSWERED and socket.ws_connection is not None:
                # A closing handshake would wait behind what the client does not fetch.
                socket.cut("it left its pings unanswered")


def limit_sessions(
    application: BokehTornado,
    paths: Collection[str],
    most: int,
    max_idle_s: float,
    needs_none: Callable[[HTTPServerRequest], bool] = lambda _request: False,
) -> OpenSessions:
    """Have an application refuse pages beyond a limit, and give up those that nobody uses.

    Parameters
    ----------
    application : BokehTornado
    paths : collection of str
        Addresses of the pages.
    most, max_idle_s
        As for :class:`OpenSessions`.
    needs_none : callable, optional
        Whether a request for one of the pages is answered without a session.
    """
    sessions = OpenSessions(application, most, max_idle_s)
    application.settings["attnpanel_sessions"] = sessions
    rule = Rule(_Full(sessions, paths, needs_none), ServerFull, {"sessions": sessions})
    application.default_router.rules.insert(0, rule)

    def sweep() -> None:
        connections = application._clients  # noqa: SLF001 - Bokeh offers no other way to it
        sessions.sweep(connection._socket for connection in connections)  # noqa: SLF001 - as above

    application.io_loop.add_callback(PeriodicCallback(sweep, SWEEP_MS).start)
    return sessions


class _Full(Matcher):
    """Matches requests for a page that has no room."""

    def __init__(
        self,
        sessions: OpenSessions,
        paths: Collection[str],
        needs_none: Callable[[HTTPServerRequest], bool],
    ) -> None:
        self._sessions, self._needs_none = sessions, needs_none
        bases = {path.rstrip("/") for path in paths}
        self._paths = bases | {f"{base}/autoload.js" for base in bases}

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Return no parameters for a request that is refused, None for the others."""
        page = request.path.rstrip("/") in self._paths
        full = page and self._sessions.refusal is not None
        return {} if full and not self._needs_none(request) else None


class ServerFull(RequestHandler):
    """Answers 503 and the reason."""

    def initialize(self, sessions: OpenSessions) -> None:
        """Take what decides."""
        self._sessions = sessions

    def prepare(self) -> None:
        """Answer, whatever the method."""
        self.set_status(503)
        self.set_header("Retry-After", str(RETRY_S))
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{self._sessions.refusal or 'There is room again: try again.'}\n")

    def check_xsrf_cookie(self) -> None:
        """Nothing is done for the request, so nothing is to be protected."""
