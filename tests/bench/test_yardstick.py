"""The yardstick: work that takes as long as the machine makes it."""

from __future__ import annotations

import time

import numpy as np

import bench.yardstick
from bench.yardstick import Yardstick


def test_a_yardstick_takes_its_own_seconds_without_those_it_waited(monkeypatch):
    yardstick = Yardstick()
    now, waited = iter([10.0, 17.0, 20.0, 24.0]), iter([3.0, 5.0, 5.0, 6.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(bench.yardstick, "waited_seconds", lambda _: next(waited))

    assert yardstick.seconds() == (5.0, 3.0)


def test_it_is_the_same_work_each_time_and_in_each_process(monkeypatch):
    # Counted, not timed: three products, four copies and a large one, eight arrays of exponentials.
    done = []
    for name in ("matmul", "copyto", "exp"):
        real = getattr(np, name)

        def counted(*arguments, real=real, name=name, **options):
            done.append((name, arguments[0].shape))
            return real(*arguments, **options)

        monkeypatch.setattr(np, name, counted)
    yardstick = Yardstick()
    first, done = done, done[:0]

    yardstick.seconds()

    assert [first.count(one) for one in dict.fromkeys(first)] == [3, 4, 8, 1]
    assert np.array_equal(yardstick._factor, Yardstick()._factor)
