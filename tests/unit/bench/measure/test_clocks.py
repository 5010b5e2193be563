"""Clocks: the order of their calls, and what their numbers include."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import attnpanel.bench.measure.clocks
from attnpanel.bench.measure.clocks import CpuClock, CudaClock, clock_for, run_queue_seconds


class FakeCuda:
    """Stands for torch.cuda: writes down who was called, and lets each event say its turn."""

    def __init__(self):
        self.calls: list[str] = []
        self.now_ms = 0.0

    def synchronize(self):
        self.calls.append("synchronize")

    def Event(self, *, enable_timing):  # noqa: N802 - torch's name
        assert enable_timing
        return FakeEvent(self)


class FakeEvent:
    def __init__(self, cuda):
        self.cuda = cuda
        self.at_ms = None

    def record(self):
        self.cuda.calls.append("record")
        self.at_ms = self.cuda.now_ms

    def elapsed_time(self, end):
        # torch raises where the device has not come that far: nothing waited for it.
        assert self.cuda.calls[-1] == "synchronize"
        return end.at_ms - self.at_ms


def made(per_call_ms: float):
    cuda = FakeCuda()

    def call():
        cuda.calls.append("call")
        cuda.now_ms += per_call_ms

    def flush():
        cuda.calls.append("flush")
        cuda.now_ms += 1000

    return cuda, call, CudaClock(cuda, flush)


class Witness:
    """Writes down when results are observed."""

    def __init__(self, calls):
        self.calls = calls

    def __call__(self, _result):
        self.calls.append("result")

    def freeze(self):
        self.calls.append("freeze")


def test_the_device_cache_is_flushed_before_a_sample_and_results_are_frozen_after_it():
    cuda, call, clock = made(2.0)

    clock.sample([call] * 3, Witness(cuda.calls))

    assert cuda.calls == [
        *("synchronize", "flush", "record"),
        *("call", "result") * 3,
        # Frozen on the timing stream, before other streams are waited for.
        *("record", "freeze", "synchronize"),
    ]


def test_a_device_sample_is_the_mean_of_its_calls_in_seconds_without_the_flush():
    _, call, clock = made(2.0)

    sample = clock.sample([call] * 3)

    assert (sample.wall_s, sample.waited_s) == (pytest.approx(0.002), 0)
    assert sample.cpu_s >= 0


def test_a_cpu_sample_is_the_mean_of_its_calls(monkeypatch):
    # A counter that goes on by 1 s a reading, and 5 s a call: 1 + 3 * 5 between two readings.
    now = [0.0]

    def read():
        now[0] += 1
        return now[0]

    def call():
        now[0] += 5

    monkeypatch.setattr(attnpanel.bench.measure.clocks, "perf_counter", read)
    monkeypatch.setattr(attnpanel.bench.measure.clocks, "process_time", lambda: now[0] / 2)
    # Earlier tests may have left processes that are still working.
    monkeypatch.setattr(attnpanel.bench.measure.clocks, "child_processes", list)

    sample = CpuClock().sample([call] * 3)

    assert sample.wall_s == pytest.approx(16 / 3)
    # The CPU's counter stands at half of it, and the clock's own reading goes on by 1 more.
    assert sample.cpu_s == pytest.approx(17 / 6)


def test_a_device_without_events_is_waited_for_before_each_reading():
    events = []
    clock = CpuClock(lambda: events.append("wait"))

    clock.sample([lambda: events.append("call")] * 2, Witness(events))

    assert events == ["wait", "call", "result", "call", "result", "wait", "freeze"]


def test_page_faults_are_those_of_a_call():
    size = 2**26

    def touch() -> None:
        with mmap.mmap(-1, size) as memory:  # of its own: malloc's may have been touched before
            memory.write(bytes(1) * size)

    sample = CpuClock().sample([touch] * 2)

    # At most one for each page of 4 KiB, of the memory and of what is written.
    assert 0 < sample.page_faults <= 2.2 * size / 4096


def test_cpu_time_includes_child_processes():
    busy = "import sys\nfor line in sys.stdin:\n    sum(range(3_000_000))\n    print(flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def call():
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()

        cpu = CpuClock().sample([call]).cpu_s
        process.stdin.close()

    # What this process itself does is a line written and a line read.
    assert cpu > 5e-3


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="Linux tells it")
def test_run_queue_time_excludes_sleep():
    mine = os.sched_getaffinity(0)
    core = min(mine)
    busy = f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        os.sched_setaffinity(0, {core})
        try:
            before = [run_queue_seconds(()), time.perf_counter(), time.thread_time()]
            sum(range(10**7))
            time.sleep(0.2)
            after = [run_queue_seconds(()), time.perf_counter(), time.thread_time()]
        finally:
            os.sched_setaffinity(0, mine)
            process.kill()
    waited, wall, cpu = (last - first for first, last in zip(before, after, strict=True))

    # Two on one core take turns, so it waits about as long as it computes.
    assert waited > 0.2 * cpu
    assert waited < wall - 0.2


def test_the_cpu_has_the_cpu_clock():
    assert clock_for("cpu").name == "cpu"


def test_a_clock_without_its_device_is_refused_by_torch():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises((RuntimeError, AssertionError)):
        clock_for("cuda")
