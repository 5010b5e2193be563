"""The clocks: in which order they call what, and what their numbers are made of."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.clocks import CpuClock, CudaClock, clock_for, waited_seconds


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


def test_the_device_is_flushed_before_each_sample_and_waited_for_once_at_the_end():
    cuda, call, clock = made(2.0)

    clock.samples(call, 2, 3)

    sample = ["flush", "record", "call", "call", "call", "record"]
    assert cuda.calls == ["synchronize", *sample, *sample, "synchronize"]


def test_a_device_sample_is_the_mean_of_its_calls_in_seconds_without_the_flush():
    _, call, clock = made(2.0)

    wall, cpu, waited = clock.samples(call, 2, 3)

    assert wall == (0.002, 0.002)
    assert waited == (0, 0)
    assert len(cpu) == 2
    assert min(cpu) >= 0


def test_a_cpu_sample_is_the_mean_of_its_calls(monkeypatch):
    # A counter that goes on by 1 s a reading, and 5 s a call: 1 + 3 * 5 between two readings.
    now = [0.0]

    def read():
        now[0] += 1
        return now[0]

    def call():
        now[0] += 5

    monkeypatch.setattr(time, "perf_counter", read)
    monkeypatch.setattr(time, "process_time", lambda: now[0] / 2)

    wall, cpu, _ = CpuClock().samples(call, 2, 3)

    assert wall == pytest.approx((16 / 3, 16 / 3))
    # The CPU's counter stands at half of it, and the clock's own reading goes on by 1 more.
    assert cpu == pytest.approx((17 / 6, 17 / 6))


def test_a_device_without_events_is_waited_for_before_each_reading():
    told = []
    clock = CpuClock(lambda: told.append("wait"))

    clock.samples(lambda: told.append("call"), 2, 2)

    assert told == ["wait", "call", "call", "wait"] * 2


def test_the_cpu_time_of_a_process_it_started_counts():
    busy = "import sys\nfor line in sys.stdin:\n    sum(range(3_000_000))\n    print(flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def call():
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()

        (_,), (cpu,), _ = CpuClock().samples(call, 1, 1)
        process.stdin.close()

    # What this process itself does is a line written and a line read.
    assert cpu > 5e-3


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="Linux tells it")
def test_what_is_waited_for_a_core_is_told_and_a_sleep_is_not_in_it():
    mine = os.sched_getaffinity(0)
    core = min(mine)
    busy = f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        os.sched_setaffinity(0, {core})
        try:
            before = [waited_seconds(()), time.perf_counter(), time.thread_time()]
            sum(range(10**7))
            time.sleep(0.2)
            after = [waited_seconds(()), time.perf_counter(), time.thread_time()]
        finally:
            os.sched_setaffinity(0, mine)
            process.kill()
    waited, wall, cpu = (last - first for first, last in zip(before, after, strict=True))

    # Two on one core take turns, so it waits about as long as it computes.
    assert waited > 0.2 * cpu
    assert wall - waited == pytest.approx(cpu + 0.2, rel=0.2)


def test_the_cpu_has_the_cpu_clock():
    assert clock_for("cpu").name == "cpu"


def test_a_clock_without_its_device_is_refused_by_torch():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises((RuntimeError, AssertionError)):
        clock_for("cuda")
