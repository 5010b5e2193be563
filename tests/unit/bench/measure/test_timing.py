"""Warm-up, calls per sample and memory, with fake clocks and arrays of known size."""

from __future__ import annotations

import contextlib
import sys

import numpy as np
import pytest

import attnpanel.bench.run.warm_case
import attnpanel.bench.run.worker
from attnpanel.bench.certify.cases import Case
from attnpanel.bench.measure import memory
from attnpanel.bench.measure.clocks import Sample
from attnpanel.bench.measure.memory import peak_bytes_of
from attnpanel.bench.measure.timing import calls_for, warm_up
from attnpanel.bench.run.visits import PrepareOptions
from attnpanel.bench.run.worker import Worker
from attnpanel.kernels.request import Request


class MadeClock:
    """Says these seconds, one after the other, and the last for ever."""

    def __init__(self, *seconds: float, name: str = "cpu"):
        self.seconds = list(seconds)
        self.name = name

    def sample(self, calls, _observer=None):
        for call in calls:
            call()
        return Sample(self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0], 0.0)


def test_warm_up_ends_after_three_equal_calls():
    warm = warm_up(lambda: int, MadeClock(9.0, 3.0, 2.0, 1.05, 1.0, 1.09, 1.0), limit_s=100)

    assert warm.first_s == 9.0
    # 2.0, 1.05, 1.0 differ by more than 10 %; 1.05, 1.0, 1.09 do not.
    assert warm.warmup_s == (3.0, 2.0, 1.05, 1.0, 1.09)


def test_warm_up_ends_after_thirty_unstable_calls():
    clock = MadeClock(1.0, *[1.0, 2.0] * 50)

    assert len(warm_up(lambda: int, clock, limit_s=1000).warmup_s) == 30


def test_slow_calls_are_made_twice():
    calls = []

    warm = warm_up(lambda: lambda: calls.append(1), MadeClock(20.0, 19.0), limit_s=1)

    assert len(calls) == 2
    assert warm.warmup_s == (19.0,)


@pytest.mark.parametrize(
    ("call_s", "calls"), [(1.0, 1), (1e-3, 1), (4e-4, 3), (1e-4, 10), (1e-9, 64), (0.0, 64)]
)
def test_a_sample_lasts_at_least_a_millisecond(call_s, calls):
    assert calls_for(call_s, MadeClock(1.0)) == calls


def test_a_device_flushes_its_caches_before_each_call():
    assert calls_for(1e-6, MadeClock(1.0, name="cuda")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark is Linux's")
def test_the_peak_includes_temporary_memory():
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
@pytest.mark.parametrize(("name", "observable"), [("RIGHT", True), ("HOARDING", False)])
def test_reused_memory_is_unknown_rather_than_zero(name, observable):
    worker = Worker(f"tests.unit.bench.run.fake_kernels:{name}", 1)
    case = Case(Request(1, 1, 1, 2048, 3, 2, 67))
    worker.prepare(case, 0.1, PrepareOptions())

    peak = worker.memory(case.name)

    assert (peak is not None) == observable


def test_later_cases_keep_earlier_compiled_code(monkeypatch):
    forgotten = []

    @contextlib.contextmanager
    def forget(implementation):
        forgotten.append(implementation.name)
        yield

    monkeypatch.setattr(attnpanel.bench.run.worker, "without_compile_cache", forget)
    # This process has threads of other tests, which may work meanwhile.
    monkeypatch.setattr(attnpanel.bench.run.warm_case, "BACKGROUND_S", float("inf"))
    worker = Worker("tests.unit.bench.run.fake_kernels:COMPILING", 1)
    cases = [Case(Request(1, 1, 1, 3, 3, 2, 5), seed=seed) for seed in range(2)]
    for case in cases:
        worker.prepare(case, 0.1, PrepareOptions())

    assert forgotten == ["compiling"]
    for case in cases:
        assert len(worker.sample(case.name, 2).wall_s) == 2


def test_kills_for_lack_of_memory_are_those_of_the_machine_and_its_groups(tmp_path, monkeypatch):
    (tmp_path / "vmstat").write_text("pgfault 9\noom_kill 3\n")
    (tmp_path / "memory.events").write_text("low 0\noom 7\noom_kill 4\n")
    monkeypatch.setattr(memory, "VMSTAT", tmp_path / "vmstat")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)

    assert memory.out_of_memory_kills() == 7

    monkeypatch.setattr(memory, "VMSTAT", tmp_path / "absent")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "absent")
    assert memory.out_of_memory_kills() == 0
