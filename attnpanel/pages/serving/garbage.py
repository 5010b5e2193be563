"""When the garbage collector walks all sessions: rarely, and best when nobody waits for an answer.

A session holds some 24,000 objects, a walk over them takes 15 ms, and Python answers nobody
meanwhile. It would walk all sessions while another is made, and Panel has it do so after the end of
each.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any, Final

import panel.io.document
from bokeh.application.handlers.handler import Handler
from tornado.ioloop import PeriodicCallback

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.server.tornado import BokehTornado

LOOK_MS: Final = 1_000
# Nobody is at work, and nobody needs a session that has ended, in seconds.
QUIET_S: Final = 2.0
# Ended sessions that wait for a quiet moment, at most; more if more are open.
MOST_ENDED: Final = 8
# Collections of what is younger, between two walks over everything: 10 are Python's default, of
# which one session takes as many; a page that runs prompts for hours comes to the second.
SOME: Final = 10
MANY: Final = 1_000


class Garbage(Handler):
    """Collects the garbage of sessions that have ended.

    Parameters
    ----------
    open_sessions : callable
        Returns how many there are.
    last_used : callable
        Returns when a page last sent something, as `clock` has it.
    clock : callable, optional
        Returns seconds.
    """

    def __init__(
        self,
        open_sessions: Callable[[], int],
        last_used: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._open_sessions, self._last_used, self._clock = open_sessions, last_used, clock
        self._ended: list[float] = []

    async def on_session_destroyed(self, session_context: Any) -> None:  # noqa: ARG002 - Bokeh's signature
        """Note when it ended."""
        self._ended.append(self._clock())

    @property
    def ended(self) -> int:
        """How many have ended long enough ago that Bokeh and Panel hold them no longer."""
        return sum(self._clock() - ended >= QUIET_S for ended in self._ended)

    def look(self) -> None:
        """Collect what is worth it, if nobody works or there is much of it."""
        ended = self.ended
        some = ended > 0 or gc.get_count()[2] >= SOME
        is_quiet = self._clock() - self._last_used() >= QUIET_S
        if (some and is_quiet) or ended >= max(MOST_ENDED, self._open_sessions()):
            del self._ended[:ended]
            gc.collect()

    def modify_document(self, doc: Any) -> None:
        """Leave the document as it is."""


def collect_seldom(application: BokehTornado) -> None:
    """Have the garbage of an application's sessions be collected when that disturbs least."""
    contexts = application.applications.values()

    def open_sessions() -> int:
        return sum(len(context._sessions) for context in contexts)  # noqa: SLF001 - Bokeh offers no count

    def last_used() -> float:
        if any(context._pending_sessions for context in contexts):  # noqa: SLF001 - as above
            return time.monotonic()
        sockets = (connection._socket for connection in application._clients)  # noqa: SLF001 - as above
        return max((socket.last_used for socket in sockets), default=0.0)

    garbage = Garbage(open_sessions, last_used)
    for context in contexts:
        context.application.add(garbage)
    young, middle, _old = gc.get_threshold()
    gc.set_threshold(young, middle, MANY)
    panel.io.document._garbage_collect = lambda: None  # noqa: SLF001 - what Panel schedules when a session ends
    application.io_loop.add_callback(PeriodicCallback(garbage.look, LOOK_MS).start)
