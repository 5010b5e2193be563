"""The reference workload, with a fake clock."""

from __future__ import annotations

import time

import numpy as np

import attnpanel.bench.measure.reference_workload
from attnpanel.bench.measure.reference_workload import ReferenceWorkload


def test_the_workload_excludes_time_spent_runnable_but_not_scheduled(monkeypatch):
    workload = ReferenceWorkload()
    now, waited = iter([10.0, 17.0, 20.0, 24.0]), iter([3.0, 5.0, 5.0, 6.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(
        attnpanel.bench.measure.reference_workload, "run_queue_seconds", lambda _: next(waited)
    )

    assert workload.seconds() == (5.0, 3.0)


def test_the_workload_is_reproducible(monkeypatch):
    # Counted, not timed: three products, four copies and a large one, eight arrays of exponentials.
    done = []
    for name in ("matmul", "copyto", "exp"):
        real = getattr(np, name)

        def counted(*arguments, real=real, name=name, **options):
            done.append((name, arguments[0].shape))
            return real(*arguments, **options)

        monkeypatch.setattr(np, name, counted)
    workload = ReferenceWorkload()
    first, done = done, done[:0]

    workload.seconds()

    assert [first.count(name) for name in dict.fromkeys(first)] == [3, 4, 8, 1]
    assert np.array_equal(workload._factor, ReferenceWorkload()._factor)
