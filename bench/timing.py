"""Warming a call up until its time is stable, and how often to call it for one sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.clocks import Clock

# A sample below this is mostly the clock, the interpreter and whoever else woke up.
LEAST_SAMPLE_S = 1e-3
MOST_CALLS = 1000
# The last so many warm-up calls within this of each other: stable.
STABLE_CALLS = 3
STABLE_SPREAD = 0.10
MOST_WARMUPS = 30


@dataclass(frozen=True)
class WarmUp:
    """What it took until a call was warm.

    Attributes
    ----------
    first_s : float
        The first call, with whatever it compiled.
    warmup_s : tuple of float
        The calls after it.
    calls_per_sample : int
        Calls that make one sample long enough to be told from the clock.
    """

    first_s: float
    warmup_s: tuple[float, ...]
    calls_per_sample: int


def warm_up(call: Callable[[], Any], clock: Clock, *, limit_s: float) -> WarmUp:
    """Call until the last three calls took the same within 10 %.

    Parameters
    ----------
    call : function
    clock : Clock
    limit_s : float
        No further call once the calls after the first took this many seconds.
    """
    first = _once(call, clock)
    taken: list[float] = []
    while not taken or (
        sum(taken) < limit_s and len(taken) < MOST_WARMUPS and not _stable(taken[-STABLE_CALLS:])
    ):
        taken.append(_once(call, clock))
    return WarmUp(first, tuple(taken), calls_for(min(taken), clock))


def calls_for(call_s: float, clock: Clock) -> int:
    """Return how many calls of this length make a sample of a millisecond.

    CUDA events time a single call to half a microsecond, and caches are flushed before each.
    """
    if clock.name == "cuda":
        return 1
    return max(1, min(MOST_CALLS, math.ceil(LEAST_SAMPLE_S / max(call_s, 1e-9))))


def _once(call: Callable[[], Any], clock: Clock) -> float:
    return clock.samples(call, 1, 1).wall_s[0]


def _stable(taken: list[float]) -> bool:
    return len(taken) == STABLE_CALLS and max(taken) <= (1 + STABLE_SPREAD) * min(taken)
