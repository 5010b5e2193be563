"""A bounded pool of threads for the work of all pages; what waits is told its place."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(eq=False)
class Work:
    """Something to run in a thread.

    Attributes
    ----------
    owner : object
        Whose work it is; of an owner one runs at a time.
    name : str
        Name of the thread while it runs.
    run : callable
        Called in the thread; must not raise.
    on_wait : callable
        Called with the number of works before it, from 0, when that changes; from any thread.
    """

    owner: object
    name: str
    run: Callable[[], None]
    on_wait: Callable[[int], None] = lambda _before: None
    told: int | None = field(default=None, init=False)


class WorkerPool:
    """Runs work in at most `size` threads, first come, first served; safe from any thread.

    An owner has one running and one waiting work: a newer one takes the place of the waiting one in
    the queue.

    Parameters
    ----------
    size : int
        The most threads.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._waiting: list[Work] = []
        self._running: dict[object, Work] = {}

    @property
    def size(self) -> int:
        """The most threads; works that run go on if it shrinks."""
        return self._size

    @size.setter
    def size(self, size: int) -> None:
        with self._lock:
            self._size = size
        self._start_next()

    @property
    def counts(self) -> tuple[int, int]:
        """How many works run and wait."""
        with self._lock:
            return len(self._running), len(self._waiting)

    def submit(self, work: Work) -> None:
        """Queue a work in the place of its owner's waiting one, or at the end."""
        with self._lock:
            places = [i for i, other in enumerate(self._waiting) if other.owner is work.owner]
            if places:
                self._waiting[places[0]] = work
            else:
                self._waiting.append(work)
        self._start_next()

    def withdraw(self, owner: object) -> None:
        """Remove an owner's waiting work; what runs goes on."""
        with self._lock:
            self._waiting = [work for work in self._waiting if work.owner is not owner]
        self._start_next()

    def _start_next(self) -> None:
        """Start what may run, and tell what waits how many are before it."""
        started: list[Work] = []
        told: list[tuple[Work, int]] = []
        with self._lock:
            for work in list(self._waiting):
                if len(self._running) >= self._size:
                    break
                if work.owner not in self._running:
                    self._waiting.remove(work)
                    self._running[work.owner] = work
                    started.append(work)
            for before, work in enumerate(self._waiting):
                if work.told != before:
                    work.told = before
                    told.append((work, before))
        for work, before in told:
            work.on_wait(before)
        for work in started:
            run = partial(self._run, work)
            threading.Thread(target=run, name=work.name, daemon=True).start()

    def _run(self, work: Work) -> None:
        try:
            work.run()
        finally:
            with self._lock:
                del self._running[work.owner]
            self._start_next()


# Model, page and report work of one process; `attnpanel serve --workers` sets its size.
WORKERS = WorkerPool(max(2, os.cpu_count() or 2))


def place_text(before: int, what: str) -> str:
    """Return how long a queue is before somebody, as a sentence without a full stop."""
    if before == 0:
        return t("Waiting for a free worker: your {what} is next …", what=t(what))
    return t("Waiting: {count} before your {what} …", count=before, what=t(what))


def counts_of(pool: WorkerPool = WORKERS) -> dict[str, Any]:
    """Return the pool's state as plain data."""
    running, waiting = pool.counts
    return {"workers": pool.size, "running": running, "waiting": waiting}
