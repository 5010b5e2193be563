"""Two small fixed pieces of work, timed beside each sample: how fast the machine was just then.

Cores that are shared with others (the second thread of a core, a clock that is turned down) compute
1.5 times as fast in one minute as in the next. A sample and the work beside it are slowed alike, so
their ratio is not. Memory that is shared with others has good and bad hours of its own: what a core
can't hold by itself is therefore copied apart.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.clocks import waited_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

# A product, a copy and exponentials, a millisecond each on a core of 2 GHz: what attention is made
# of. The arrays are larger than a second-level cache, as scores are.
PRODUCT_SIZE, PRODUCTS = 320, 3
COPY_BYTES, COPIES = 2**22, 4
EXPONENTIALS, TIMES = 200_000, 8
# Far above a second-level cache: what a pass over all scores of a long sequence goes through.
MEMORY_BYTES = 2**24


class Beside(NamedTuple):
    """Seconds of the two pieces of work, without those they waited for a core."""

    computing: float
    copying: float


class Yardstick:
    """The work and its arrays, made once in a process."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self._factor = generator.standard_normal((PRODUCT_SIZE, PRODUCT_SIZE), dtype=np.float32)
        self._product = np.empty_like(self._factor)
        self._source = np.ones(COPY_BYTES, np.int8)
        self._target = np.zeros_like(self._source)
        self._exponents = generator.standard_normal(EXPONENTIALS, dtype=np.float32)
        self._powers = np.empty_like(self._exponents)
        self._near = np.ones(MEMORY_BYTES, np.int8)
        self._far = np.zeros_like(self._near)
        self.seconds()

    def seconds(self) -> Beside:
        """Do the work once and return its seconds, without those it waited for a core."""
        return Beside(_own_seconds(self._compute), _own_seconds(self._copy))

    def _compute(self) -> None:
        for _ in range(PRODUCTS):
            np.matmul(self._factor, self._factor, out=self._product)
        for _ in range(COPIES):
            np.copyto(self._target, self._source)
        for _ in range(TIMES):
            np.exp(self._exponents, out=self._powers)

    def _copy(self) -> None:
        np.copyto(self._far, self._near)


def _own_seconds(work: Callable[[], None]) -> float:
    waited = waited_seconds(())
    before = time.perf_counter()
    work()
    taken = time.perf_counter() - before
    return max(taken - (waited_seconds(()) - waited), taken / 100)
