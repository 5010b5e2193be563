"""Warm up a call until its time is stable and choose the calls per sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.bench.measure.clocks import Clock

# Shorter samples are dominated by the clock, the interpreter and other processes.
MIN_SAMPLE_S = 1e-3
# Each call of a sample has inputs of its own.
MAX_CALLS = 64
# Stable: the last calls differ by no more than this.
STABLE_CALLS = 3
STABLE_SPREAD = 0.10
MAX_WARMUPS = 30


@dataclass(frozen=True)
class WarmUp:
    """The calls made to warm up.

    Attributes
    ----------
    first_s : float
        Duration of the first call, compilation included.
    warmup_s : tuple of float
        Durations of the calls after it.
    calls_per_sample : int
        Calls that make a sample at least `MIN_SAMPLE_S` long, at most `MAX_CALLS`.
    """

    first_s: float
    warmup_s: tuple[float, ...]
    calls_per_sample: int


def warm_up(make_call: Callable[[], Callable[[], Any]], clock: Clock, *, limit_s: float) -> WarmUp:
    """Call until the last three calls took the same time within 10 %.

    Parameters
    ----------
    make_call : function
        Returns a newly prepared call; it is not timed.
    clock : Clock
    limit_s : float
        Stop once the calls after the first took this many seconds in total.
    """
    first = clock.sample([make_call()]).wall_s
    taken: list[float] = []
    while not taken or (
        sum(taken) < limit_s and len(taken) < MAX_WARMUPS and not _stable(taken[-STABLE_CALLS:])
    ):
        taken.append(clock.sample([make_call()]).wall_s)
    return WarmUp(first, tuple(taken), calls_for(min(taken), clock))


def calls_for(call_s: float, clock: Clock) -> int:
    """Return the number of calls of this duration that make a sample of 1 ms.

    With CUDA events it is 1: they resolve 0.5 µs, and caches are flushed before each call.
    """
    if clock.name == "cuda":
        return 1
    return max(1, min(MAX_CALLS, math.ceil(MIN_SAMPLE_S / max(call_s, 1e-9))))


def _stable(taken: list[float]) -> bool:
    return len(taken) == STABLE_CALLS and max(taken) <= (1 + STABLE_SPREAD) * min(taken)
