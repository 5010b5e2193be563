"""Run a page's work in a background thread; only the newest task reports back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.attention.errors import error_sentence
from attnpanel.ui.session_callbacks import SessionScheduler
from attnpanel.ui.words import current_language, use_language
from attnpanel.ui.worker_pool import WORKERS, Work, WorkerPool, place_text

if TYPE_CHECKING:
    from collections.abc import Callable


class SupersededError(Exception):
    """Ends a task that a newer one has replaced, at the next progress it reports."""


class LatestTask:
    """Run one task at a time in the server's pool of threads, and keep the newest one waiting.

    Results and progress of an older task are dropped; it ends when it next reports progress. So do
    those of a page that was closed.

    Parameters
    ----------
    name : str
        Name of the thread.
    what : str, optional
        What its page waits for while others are before it, as in "prompt".
    pool : WorkerPool, optional
        Whose threads run it; by default the server's.

    Attributes
    ----------
    pool : WorkerPool or None
        As given; may be set while nothing runs or waits.
    """

    def __init__(self, name: str, what: str = "", pool: WorkerPool | None = None) -> None:
        self._name, self._what, self.pool = name, what, pool
        self._number = 0
        # The newest progress, whose it is, and whether a callback is on its way to report it.
        self._progress: tuple[int, Callable[[str], None], str] | None = None
        self._reporting = False
        document = pn.state.curdoc
        if document is not None and document.session_context is not None:
            pn.state.on_session_destroyed(lambda _session: self.abandon())

    def start(
        self,
        work: Callable[[Callable[[str], None]], Any],
        *,
        on_done: Callable[[Any], None],
        on_error: Callable[[str], None],
        on_progress: Callable[[str], None],
    ) -> None:
        """Start a task as soon as a thread is free; it replaces the one that is running.

        The callbacks run on the page's session, never in the thread.

        Parameters
        ----------
        work : callable
            Called in the thread with a function that reports progress as text.
        on_done : callable
            Called with the return value of `work`.
        on_error : callable
            Called with the exception as one sentence.
        on_progress : callable
            Called with the newest progress text, and where `what` is given, with the place in the
            queue; a text that a newer one follows before the session's turn is dropped.
        """
        self._number += 1
        number, schedule = self._number, SessionScheduler()
        language = current_language()

        def end(callback: Callable[[Any], None], content: Any) -> None:
            schedule(lambda: self._end(number, callback, content))

        def say(text: str) -> None:
            self._progress = number, on_progress, text
            if not self._reporting:
                self._reporting = True
                schedule(self._report)

        def report(text: str) -> None:
            if number != self._number:
                raise SupersededError
            say(text)

        def wait(before: int) -> None:
            if self._what:
                say(place_text(before, self._what))

        def run() -> None:
            with use_language(language):
                _run(work, report, end, on_done, on_error)

        (self.pool or WORKERS).submit(Work(self, self._name, run, wait))

    def _report(self) -> None:
        """Report the newest progress, of which threads may have made more meanwhile."""
        self._reporting = False  # first: what a thread says from now on needs another callback
        if self._progress is not None:
            number, callback, text = self._progress
            self._progress = None
            if number == self._number:
                callback(text)

    def _end(self, number: int, callback: Callable[[Any], None], content: Any) -> None:
        """Call back for the newest task's end; progress that is still queued is dropped."""
        if number == self._number:
            self._number += 1
            callback(content)

    def abandon(self) -> None:
        """Drop the running and the waiting task: none of their callbacks is called any more."""
        self._number += 1
        (self.pool or WORKERS).withdraw(self)


def _run(
    work: Callable[[Callable[[str], None]], Any],
    report: Callable[[str], None],
    end: Callable[[Callable[[Any], None], Any], None],
    on_done: Callable[[Any], None],
    on_error: Callable[[str], None],
) -> None:
    """Run a task in its thread; it ends with its result or with the reason why there is none."""
    try:
        result = work(report)
    except SupersededError:
        return
    except Exception as error:  # noqa: BLE001 - a model may raise anything
        end(on_error, error_sentence(error))
    else:
        end(on_done, result)
