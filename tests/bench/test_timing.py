"""Warm-up, samples per call, memory: with clocks made for it, and arrays of known size."""

from __future__ import annotations

import contextlib
import sys

import numpy as np
import pytest

import bench.worker
from attnpanel.kernels.request import Request
from bench.cases import Case
from bench.clocks import Samples
from bench.memory import peak_bytes_of
from bench.timing import calls_for, warm_up
from bench.worker import Worker


class MadeClock:
    """Says these seconds, one after the other, and the last for ever."""

    def __init__(self, *seconds: float, name: str = "cpu"):
        self.seconds = list(seconds)
        self.name = name

    def samples(self, call, _count, _calls):
        call()
        taken = self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]
        return Samples((taken,), (0.0,), (0.0,))


def test_warming_up_ends_when_three_calls_took_the_same():
    warm = warm_up(lambda: None, MadeClock(9.0, 3.0, 2.0, 1.05, 1.0, 1.09, 1.0), limit_s=100)

    assert warm.first_s == 9.0
    # 2.0, 1.05, 1.0 differ by more than 10 %; 1.05, 1.0, 1.09 do not.
    assert warm.warmup_s == (3.0, 2.0, 1.05, 1.0, 1.09)


def test_what_never_settles_is_called_thirty_times():
    clock = MadeClock(1.0, *[1.0, 2.0] * 50)

    assert len(warm_up(lambda: None, clock, limit_s=1000).warmup_s) == 30


def test_what_is_slow_is_called_twice():
    calls = []

    warm = warm_up(lambda: calls.append(1), MadeClock(20.0, 19.0), limit_s=1)

    assert len(calls) == 2
    assert warm.warmup_s == (19.0,)


@pytest.mark.parametrize(
    ("call_s", "calls"), [(1.0, 1), (1e-3, 1), (4e-4, 3), (1e-4, 10), (1e-9, 1000), (0.0, 1000)]
)
def test_a_sample_lasts_a_millisecond(call_s, calls):
    assert calls_for(call_s, MadeClock(1.0)) == calls


def test_a_device_flushes_its_caches_before_each_call():
    assert calls_for(1e-6, MadeClock(1.0, name="cuda")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark is Linux's")
def test_the_peak_is_what_a_call_holds_at_most_not_what_it_leaves():
    size = 40_000_000

    def call():
        first = np.ones(size, np.int8)
        del first
        second, third = np.ones(size, np.int8), np.ones(size, np.int8)
        return second[0] + third[0]

    call()  # what malloc keeps of it must not hide the next

    # Linux counts resident pages a few hundred kB behind.
    assert peak_bytes_of(call, "cpu") == pytest.approx(2 * size, rel=0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark is Linux's")
def test_small_blocks_freed_before_do_not_hide_a_peak():
    # 64 kB blocks come from malloc's heap, which keeps them when they are freed.
    def call():
        return [np.ones(65_536, np.int8) for _ in range(500)]

    call()

    assert peak_bytes_of(call, "cpu") == pytest.approx(500 * 65_536, rel=0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark is Linux's")
@pytest.mark.parametrize(("name", "seen"), [("RIGHT", True), ("HOARDING", False)])
def test_memory_that_an_earlier_call_took_and_kept_is_not_called_none_at_all(name, seen):
    worker = Worker(f"tests.bench.made_kernels:{name}", 1)
    case = Case(Request(1, 1, 1, 2048, 3, 2, 67))
    worker.prepare(case, 0.1, False)  # noqa: FBT003 - as it is sent

    peak = worker.memory(case.name)

    assert (peak is not None) == seen


def test_what_was_compiled_for_one_case_is_not_forgotten_for_the_next(monkeypatch):
    forgotten = []

    @contextlib.contextmanager
    def forget(implementation):
        forgotten.append(implementation.name)
        yield

    monkeypatch.setattr(bench.worker, "compiled_anew", forget)
    worker = Worker("tests.bench.made_kernels:COMPILING", 1)
    cases = [Case(Request(1, 1, 1, 3, 3, 2, 5), seed=seed) for seed in range(2)]
    for case in cases:
        worker.prepare(case, 0.1, False)  # noqa: FBT003 - as it is sent

    assert forgotten == ["compiling"]
    for case in cases:
        assert len(worker.sample(case.name, 2).wall_s) == 2
