"""Bounds on connections: how long a request may take, how large it may be, how many are open.

tornado waits an hour for the rest of a request's head, keeps 100 MB of a body before it looks for
who takes it, and accepts connections until the process may open no more files; then it tries on
without end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from tornado.routing import Matcher, Rule

from attnpanel.pages.serving.bounded_log import CONNECTIONS

if TYPE_CHECKING:
    from bokeh.server.server import Server
    from tornado.httputil import HTTPServerRequest
    from tornado.iostream import IOStream

# A proxy that keeps connections expects the server to keep them longer: some wait for 60 s.
IDLE_S: Final = 75.0
BODY_S: Final = 30.0
# The form of `--auth` is the only one that has a body; files come by the websocket.
MAX_BODY_BYTES: Final = 2**16
# Of the files that a process may open, what is left for databases, trainings and models.
OTHER_FILES: Final = 128
# Windows' select() takes 512.
MOST_ON_WINDOWS: Final = 384
MOST: Final = 16_384


def request_limits() -> dict[str, Any]:
    """Return the arguments of tornado's server that bound a request."""
    return {
        "idle_connection_timeout": IDLE_S,
        "body_timeout": BODY_S,
        "max_body_size": MAX_BODY_BYTES,
    }


def most_connections() -> int:
    """Return how many connections fit into the files that this process may open."""
    try:
        import resource
    except ImportError:
        return MOST_ON_WINDOWS
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MOST
    return min(MOST, max(files - OTHER_FILES, files // 2))


class OpenConnections(Matcher):
    """The connections of a server, up to a limit.

    A new one beyond it takes the place of the one that has sent no request for longest; an open
    page's websocket stays.

    Parameters
    ----------
    server : Server
    most : int
    """

    def __init__(self, server: Server, most: int) -> None:
        self._application, self._most = server._tornado, most  # noqa: SLF001 - Bokeh offers no other way to it
        http: Any = server._http  # noqa: SLF001 - as above
        self._handle_stream = http.handle_stream
        http.handle_stream = self._take
        # In the order of their last requests.
        self._streams: WeakKeyDictionary[IOStream, None] = WeakKeyDictionary()

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Note that a connection has sent a request; match none."""
        stream = request.connection.stream  # type: ignore[union-attr]  # tornado's type has no streams
        self._streams.pop(stream, None)
        self._streams[stream] = None
        return None

    def _take(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if len(self._streams) >= self._most:
            self._make_room(stream)
        if not stream.closed():
            self._streams[stream] = None
            self._handle_stream(stream, address)

    def _make_room(self, new: IOStream) -> None:
        streams = [stream for stream in self._streams if not stream.closed()]
        if len(streams) < self._most:
            return
        sockets = (client._socket.ws_connection for client in self._application._clients)  # noqa: SLF001 - Bokeh offers no other way to it
        pages = {socket.stream for socket in sockets if socket is not None}
        next((stream for stream in streams if stream not in pages), new).close()
        CONNECTIONS.write(f"{self._most} connections are open: closed the one unused for longest")


def limit_connections(server: Server) -> None:
    """Have a server hold no more connections than it can."""
    connections = OpenConnections(server, most_connections())
    application = server._tornado  # noqa: SLF001 - Bokeh offers no other way to it
    # Asked first, and takes no request: the handler is never made.
    application.default_router.rules.insert(0, Rule(connections, None))
