"""A fixed reference workload, timed next to each sample to track the machine's speed.

Shared cores (hyper-threads, changing clock rates) are up to 1.5 times as fast in one minute as in
the next. A sample and the workload next to it slow down alike, so their ratio does not change.
Shared memory bandwidth varies independently, so a copy larger than a core's caches is timed
separately.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from attnpanel.bench.measure.clocks import run_queue_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

# The operations of attention: a product, a copy and exponentials, 1 ms each on a core of 2 GHz. The
# arrays are larger than a second-level cache, as scores are.
PRODUCT_SIZE, PRODUCTS = 320, 3
COPY_BYTES, COPIES = 2**22, 4
EXPONENTIALS, EXPONENTIAL_PASSES = 200_000, 8
# Far larger than a second-level cache, like the scores of a long sequence.
MEMORY_BYTES = 2**24


class WorkloadTimes(NamedTuple):
    """Seconds of compute and copy, without time spent runnable but not scheduled."""

    computing: float
    copying: float


class ReferenceWorkload:
    """The workload with its arrays, allocated once in a process."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self._factor = generator.standard_normal((PRODUCT_SIZE, PRODUCT_SIZE), dtype=np.float32)
        self._product = np.empty_like(self._factor)
        self._source = np.ones(COPY_BYTES, np.int8)
        self._target = np.zeros_like(self._source)
        self._exponents = generator.standard_normal(EXPONENTIALS, dtype=np.float32)
        self._powers = np.empty_like(self._exponents)
        self._large_source = np.ones(MEMORY_BYTES, np.int8)
        self._large_target = np.zeros_like(self._large_source)
        self.seconds()

    def seconds(self) -> WorkloadTimes:
        """Run the workload once; return its seconds without time runnable but not scheduled."""
        return WorkloadTimes(_scheduled_seconds(self._compute), _scheduled_seconds(self._copy))

    def _compute(self) -> None:
        for _ in range(PRODUCTS):
            np.matmul(self._factor, self._factor, out=self._product)
        for _ in range(COPIES):
            np.copyto(self._target, self._source)
        for _ in range(EXPONENTIAL_PASSES):
            np.exp(self._exponents, out=self._powers)

    def _copy(self) -> None:
        np.copyto(self._large_target, self._large_source)


def _scheduled_seconds(work: Callable[[], None]) -> float:
    queued = run_queue_seconds(())
    before = time.perf_counter()
    work()
    taken = time.perf_counter() - before
    return max(taken - (run_queue_seconds(()) - queued), taken / 100)
