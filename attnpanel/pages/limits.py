"""What one visitor, and all together, may ask of a server; each refusal is one sentence."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE_S: Final = 60.0
# An upload that has sent nothing for so long is given up, in seconds.
STALLED_S: Final = 60.0


class RateLimit:
    """At most so many starts a minute; one a page.

    Parameters
    ----------
    most : int
        Starts in any minute.
    what : str
        What is started, in the plural: "prompts".
    clock : callable, optional
        Returns seconds.
    """

    def __init__(self, most: int, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._what, self._clock = most, what, clock
        self._starts: deque[float] = deque()

    def refusal(self) -> str | None:
        """Count a start and return None, or return why it is refused, as a sentence."""
        now = self._clock()
        while self._starts and now - self._starts[0] >= MINUTE_S:
            self._starts.popleft()
        if len(self._starts) < self._most:
            self._starts.append(now)
            return None
        wait = math.ceil(MINUTE_S - (now - self._starts[0]))
        return f"A page may run {self._most} {self._what} a minute here: wait {wait} s."


class UploadSlots:
    """At most so many uploads at a time over all pages, because each is held in memory.

    Parameters
    ----------
    most : int
    clock : callable, optional
        Returns seconds.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._lock = threading.Lock()
        # When each upload last sent a part, and what gives it up.
        self._held: dict[object, tuple[float, Callable[[], None]]] = {}

    @property
    def count(self) -> int:
        """How many uploads are under way."""
        return len(self._held)

    def refusal(self, owner: object, give_up: Callable[[], None]) -> str | None:
        """Take a slot, or return why not; `give_up` drops this upload once it has stalled."""
        now = self._clock()
        with self._lock:
            stalled = [who for who, (last, _) in self._held.items() if now - last >= STALLED_S]
            dropped = [self._held.pop(who)[1] for who in stalled if who is not owner]
            free = owner in self._held or len(self._held) < self._most
            if free:
                self._held[owner] = (now, give_up)
        for drop in dropped:
            drop()
        if free:
            return None
        return (
            f"As many files as this server takes at a time ({self._most}) are being sent: "
            "try again soon."
        )

    def touch(self, owner: object) -> None:
        """Note that an upload goes on."""
        with self._lock:
            if owner in self._held:
                self._held[owner] = (self._clock(), self._held[owner][1])

    def release(self, owner: object) -> None:
        """Give a slot back."""
        with self._lock:
            self._held.pop(owner, None)
