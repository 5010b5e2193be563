"""Log lines that visitors cause: short, and at most so many a minute."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from tornado.web import Application, RequestHandler

LOG = logging.getLogger("attnpanel")
MOST_LINES: Final = 60
MINUTE_S: Final = 60.0
LONGEST: Final = 200


class BoundedLog:
    """Writes at most `most` lines in a minute, and how many it has left out when that is over.

    Parameters
    ----------
    most : int, optional
    clock : callable, optional
        Returns seconds.
    """

    def __init__(self, most: int = MOST_LINES, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._since, self._count = clock(), 0

    def write(self, text: str, level: int = logging.WARNING) -> None:
        """Write a line of at most 200 characters; what a terminal might obey is escaped."""
        now = self._clock()
        if now - self._since >= MINUTE_S:
            if self._count > self._most:
                LOG.warning("left out %d more lines like these", self._count - self._most)
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= self._most:
            LOG.log(level, "%s", ascii(text[:LONGEST])[1:-1])


class _Bounded(logging.Filter):
    """Lets none of a logger's lines pass, and writes those that it is to write to bounded ones."""

    def __init__(self, lines: BoundedLog) -> None:
        super().__init__()
        self._lines = lines

    def filter(self, record: logging.LogRecord) -> bool:
        """Write a line; one with a traceback is a fault, and passes as it is."""
        if record.exc_info:
            return True
        self._lines.write(record.getMessage(), record.levelno)
        return False


def bound_logs(application: Application) -> None:
    """Have an application log what it has not answered, by lines that stay bounded.

    So are tornado's own, of cookies that are none and paths that lead out of a folder.
    """
    lines = BoundedLog()
    general = logging.getLogger("tornado.general")
    for old in [each for each in general.filters if isinstance(each, _Bounded)]:
        general.removeFilter(old)
    general.addFilter(_Bounded(lines))

    def log_request(handler: RequestHandler) -> None:
        status, request = handler.get_status(), handler.request
        if status >= 400:
            level = logging.ERROR if status == 500 else logging.WARNING
            said = f"{status} {request.method} ({request.remote_ip}) {request.uri}"
            lines.write(said, level)

    application.settings["log_function"] = log_request


CONNECTIONS: Final = BoundedLog()
