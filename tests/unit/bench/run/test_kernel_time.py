"""The CPU time of a row is that which the kernel counts."""

from __future__ import annotations

import pytest

from attnpanel.bench.run.kernel_time import TRIALS, unlike_the_kernels_time
from attnpanel.bench.run.records import Timing


class Process:
    """Takes so many seconds a call, one number a trial, by the kernel."""

    def __init__(self, *call_s):
        self._call_s = list(call_s)
        self._used_s, self._count = 0.0, 0
        self.judged = 0

    def ask(self, _name, method, _case, *values):
        if method == "prepare_calls":
            (self._count,) = values
        if method == "make_calls":
            self._used_s += self._call_s.pop(0) * self._count
        self.judged += method == "judge_calls"
        return self._count

    def cpu_seconds(self, _name):
        return self._used_s


def row(cpu_s=(0.01, 0.009, 0.2), threads=1, clock="cpu"):
    taken = (0.01,) * len(cpu_s)
    return Timing(
        "kernel", "case", threads, "timed", (), clock, wall_s=taken, cpu_s=cpu_s,
        rounds=tuple(range(len(cpu_s))),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("call_s", "judged"), [([0.011], 1), ([0.016], 1), ([0.05, 0.03, 0.012], 3)]
)
def test_calls_that_take_what_the_samples_say_once_agree(call_s, judged):
    process = Process(*call_s)

    assert unlike_the_kernels_time(row(), process) == ""
    assert process.judged == judged


def test_calls_that_always_take_more_do_not():
    process = Process(*[0.04] * TRIALS)

    assert "took 10 ms by its clock and at least 40 ms" in unlike_the_kernels_time(row(), process)
    assert process.judged == TRIALS


@pytest.mark.parametrize("changes", [{"clock": "cuda"}, {"threads": 2}, {"cpu_s": ()}])
def test_other_clocks_and_threads_are_not_compared(changes):
    assert unlike_the_kernels_time(row(**changes), Process()) == ""
