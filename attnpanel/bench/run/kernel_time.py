"""Compare a row's CPU time with what the kernel counts while its process only makes its calls.

A program can change what its own process reads or keeps of a clock. It can't change what the kernel
tells another process.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from attnpanel.bench.run.children import Children
    from attnpanel.bench.run.records import Timing

# Calls take at least this long in all, but are no more than so many.
LEAST_S: Final = 0.02
MAX_CALLS: Final = 64
# Besides the calls: a request, its answer, and rows of the results that are kept.
ANSWER_S: Final = 3e-3
# The kernel's CPU time over that of the samples, in the best of several trials.
RATIO: Final = 1.5
TRIALS: Final = 5


def unlike_the_kernels_time(timing: Timing, children: Children) -> str:
    """Return why the CPU time of a row can't be true; empty if nothing speaks against it.

    Parameters
    ----------
    timing : Timing
        With its samples; of more than one thread or another clock than the CPU's, it is not judged.
    children : Children
        Of which one has the row's case prepared.

    Raises
    ------
    attnpanel.bench.run.child.ChildFailure
        If a result of these calls is wrong, or there is none.
    """
    if timing.clock != "cpu" or timing.threads > 1 or not timing.cpu_s:
        return ""
    call_s = statistics.median(timing.cpu_s)
    wanted = max(1, min(MAX_CALLS, math.ceil(LEAST_S / max(call_s, 1e-9))))
    least = math.inf
    name = timing.implementation
    for _ in range(TRIALS):
        count: int = children.ask(name, "prepare_calls", timing.case, wanted)
        before = children.cpu_seconds(name)
        children.ask(name, "make_calls", timing.case)
        used = children.cpu_seconds(name) - before
        children.ask(name, "judge_calls", timing.case)
        if used <= RATIO * call_s * count + ANSWER_S:
            return ""
        least = min(least, used / count)
    return (
        "the CPU time of a process's samples must be that which the kernel counts; a call took "
        f"{call_s * 1e3:.3g} ms by its clock and at least {least * 1e3:.3g} ms by the kernel's"
    )
