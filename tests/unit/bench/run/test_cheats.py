"""Implementations that look faster than they are get no time."""

from __future__ import annotations

import builtins
import copyreg
import gc
import itertools
import random
import signal
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np
import psutil
import pytest

from attnpanel.attention import reference as attention_reference
from attnpanel.bench.certify import judgement
from attnpanel.bench.certify.cases import Case
from attnpanel.bench.certify.context import CertificateContext
from attnpanel.bench.certify.sixteen_bit_statistics import LIMITS
from attnpanel.bench.measure import clocks
from attnpanel.bench.measure.clocks import CpuClock
from attnpanel.bench.measure.reference_workload import ReferenceWorkload
from attnpanel.bench.run import warm_case
from attnpanel.bench.run.execute import run
from attnpanel.bench.run.integrity import Integrity
from attnpanel.bench.run.refusals import ClockComparison
from attnpanel.bench.run.timed_results import RefusedError, judge_rows
from attnpanel.bench.run.visits import Visit
from attnpanel.bench.run.warm_case import WarmCase
from attnpanel.kernels.request import Inputs, Request
from tests.unit.bench.run.cheats import CHEATS, honest
from tests.unit.bench.run.fake_kernels import make_kernel
from tests.unit.bench.run.fake_plans import plan
from tests.unit.bench.run.hidden_work_cheats import HELPERS, HIDDEN_WORK, HOOKED, is_timed

CASE = Case(Request(1, 3, 3, 256, 256, 16, 16))
# Preparing it takes several times the millisecond that any preparation may take.
LARGER = Case(Request(1, 3, 3, 640, 640, 16, 16))
KERNELS = "tests.unit.bench.run.cheats:"
VISITS = 8


@pytest.fixture(scope="module")
def workload():
    return ReferenceWorkload()


def time_it(implementation, workload, *, case=CASE, visits=VISITS):
    """Do with an implementation what a run does; return the visits."""
    warm = WarmCase(implementation, case, CpuClock(), 1, check_process=lambda: None)
    warm.warm(0.05)
    found = [warm.visit(1, workload) for _ in range(visits)]
    warm.memory()
    return found


# The rule that each breaks, as the table of a run prints it; the others give wrong results.
SECOND = "a second call must compute from its inputs as they are then"
JUDGED = f"a timed call must pass the certificate: output|right neither for them nor|{SECOND}"
OUTSIDE = "an implementation must work within the clock only"
HELD = "a call must compute from its inputs when it is called"
REASONS = {
    "memo-by-content": "it keeps results",
    "keeps-its-result": SECOND,
    "keeps-its-weights": SECOND,
    "computes-in-prepare": "preparing a call must not compute its result",
    "weights-in-prepare": "right neither for them nor for those before",
    "lazy": "a call must return a RawResult; got Lazy",
    "lazy-array": "output must be an array of NumPy, PyTorch or JAX itself; got .*LazyArray",
    "ahead-in-a-thread": f"must work within the clock only|preparing a call must not|{SECOND}",
    "ahead-in-a-process": f"must work within the clock only|it keeps results|{HELD}",
    "later-in-a-thread": f"must work within the clock only|{JUDGED}|inputs when it is called",
    "memo-by-sum": SECOND,
    "easy-inputs": "a call must leave its inputs as they are; value was written to",
    "keeps-a-checksum": HELD,
    "keeps-a-sampled-checksum": HELD,
    "keeps-weights-and-a-checksum": HELD,
    "ahead-of-the-next-call": HELD,
    "ahead-in-its-context": f"{HELD}|must work within the clock only",
    "memo-by-rotation": f"right neither for them nor|{JUDGED}",
    # The call before a sample takes the time that those in it save.
    "less-if-timed": f"{OUTSIDE}|{JUDGED}",
    "less-in-a-loop": f"{OUTSIDE}|{JUDGED}",
    "when-copied": OUTSIDE,
    "in-the-querys-memory": "a call must leave its inputs as they are; query was written to",
    "in-an-audit-hook": f"{OUTSIDE}|{HELD}",
    "awaited-from-a-process": "preparing a call must not compute its result",
    "later-when-prepared": f"preparing a call must not|{OUTSIDE}|{HELD}|{SECOND}|right neither",
}
LARGE_ONES = (
    *("computes-in-prepare", "when-copied", "later-when-prepared"),
    "awaited-from-a-process",
)


@pytest.fixture
def without_remains():
    yield
    HOOKED[:] = [False] * len(HOOKED)
    while HELPERS:
        with HELPERS.pop() as helper:
            helper.kill()


@pytest.mark.thorough(every=2)
@pytest.mark.usefixtures("without_remains")
@pytest.mark.parametrize("name", [*CHEATS, *HIDDEN_WORK])
def test_a_cheat_is_refused_by_the_rule_that_it_breaks(name, workload):
    cheats = {**CHEATS, **HIDDEN_WORK}
    with pytest.raises(RefusedError, match=REASONS.get(name, JUDGED)):
        time_it(cheats[name], workload, case=LARGER if name in LARGE_ONES else CASE)


def test_honest_code_is_timed_and_judged(workload):
    visits = time_it(make_kernel("honest", result=honest), workload)

    assert visits[0].judged >= 1
    assert all(len(visit.wall_s) == 1 and visit.wall_s[0] > 0 for visit in visits)


@pytest.mark.parametrize(("slow_one_in", "refused"), [(1, True), (2, False)])
def test_a_call_on_new_memory_is_no_work_outside_the_clock(slow_one_in, refused, workload):
    untimed = itertools.count()

    def slow_at_first(inputs):
        if not is_timed() and next(untimed) % slow_one_in == 0:
            until = time.process_time() + 0.05
            while time.process_time() < until:
                pass
        return honest(inputs)

    warm = WarmCase(make_kernel("cold", result=slow_at_first), CASE, CpuClock(), 1, lambda: None)
    warm.warm(0.05, check=False)
    with pytest.raises(RefusedError, match=OUTSIDE) if refused else nullcontext():
        for _ in range(VISITS):
            warm.visit(1, workload)


@pytest.mark.thorough
@pytest.mark.slow  # whole runs, each implementation in a process of its own
@pytest.mark.usefixtures("children_without_torch")
def test_in_a_run_a_cheat_has_no_time():
    names = ("REPLACES_TIME", "REPLACES_CLOCK", "REPLACES_JUDGE", "KEEPS", "LAZY")
    found = run(
        plan("RIGHT", implementations=tuple(KERNELS + name for name in names), timed=(CASE,))
    )

    reasons = {timing.implementation: timing.reasons[0] for timing in found.timings}
    assert {timing.status for timing in found.timings[:-1]} == {"refused"}
    assert found.timings[-1].status in {"refused", "not certified", "error"}
    assert [timing.wall_s for timing in found.timings] == [()] * len(names)
    for name, place in (
        ("REPLACES_TIME", "time.perf_counter"),
        ("REPLACES_CLOCK", "attnpanel.bench.measure.clocks.perf_counter"),
        ("REPLACES_JUDGE", "attnpanel.bench.run.timed_passes.judge_rows"),
    ):
        assert f"{place} was replaced" in reasons[KERNELS + name]


@pytest.mark.thorough
@pytest.mark.slow  # a whole run
@pytest.mark.usefixtures("children_without_torch")
def test_a_clock_whose_variables_were_written_to_is_not_that_of_the_kernel():
    name = "tests.unit.bench.run.hidden_work_cheats:LATER_BEGAN"
    (timing,) = run(plan("RIGHT", implementations=(name,), timed=(CASE,))).timings

    assert timing.status == "refused"
    assert "must be that which the kernel counts" in timing.reasons[0]


@pytest.mark.parametrize(
    ("elapsed_s", "cpu_s", "agrees"),
    [
        ([0.02] * 3, [0.021] * 3, True),
        # Waiting for a core takes time, but no CPU time.
        ([0.9] * 3, [0.02] * 3, True),
        ([0.02] * 3, [0.02, 0.9, 0.02], True),
        ([0.02] * 3, [0.2, 0.2, 0.02], False),
    ],
)
def test_a_clock_must_show_the_cpu_time_that_the_kernel_counts(elapsed_s, cpu_s, agrees):
    compared = ClockComparison()
    for elapsed, cpu in zip(elapsed_s, cpu_s, strict=True):
        visit = Visit((1e-3,), (1e-3,), (0.0,), (0.0,), (), (), 0.0, 0, elapsed_s=elapsed)
        compared.add(visit, cpu)

    assert ("more CPU time than time" in compared.disagreement()) is not agrees


def test_a_replaced_function_method_or_default_is_noticed(monkeypatch):
    before = Integrity()
    assert before.changed() == ""

    for target, name, value in (
        (clocks, "perf_counter", lambda: 0.0),
        (CpuClock, "sample", lambda *_: None),
        (judge_rows, "__code__", (lambda *_: "").__code__),
        (np, "array_equal", lambda *_: True),
        (np.random, "default_rng", lambda *_: None),
        (random.SystemRandom, "random", lambda _: 1.0),
        (warm_case, "JUDGED_SHARE", 0.0),
        (CertificateContext, "judgement", property(lambda _: None)),
        (builtins, "max", lambda *_: 0),
        (statistics, "median", lambda _: 0.0),
        # What the reference calls.
        (attention_reference, "softmax", lambda *_: 0.0),
        (psutil.Process, "children", lambda *_, **__: []),
        # What NumPy's own functions call.
        (np._core._methods, "umr_any", lambda *_, **__: np.False_),
        (np.random.bit_generator, "randbits", lambda _: 0),
        (sys, "gettrace", lambda: None),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, value)
            assert before.changed() != "", name
        assert before.changed() == "", name


def test_what_is_added_or_put_in_the_place_of_a_module_is_noticed(monkeypatch):
    before = Integrity()
    clock = CpuClock()
    before.watch(clock)

    for add in (
        # A name of a module hides the builtin one, and Visit would answer what it likes.
        lambda patch: patch.setattr(judgement, "any", lambda _: False, raising=False),
        # Inputs would be others for who judges.
        lambda patch: patch.setattr(
            Inputs, "__getattribute__", object.__getattribute__, raising=False
        ),
        lambda patch: patch.setattr(Visit, "__reduce__", lambda _: (int, ()), raising=False),
        lambda patch: patch.setitem(copyreg.dispatch_table, Visit, lambda _: (int, ())),
        lambda patch: patch.setitem(sys.modules, "psutil", object()),
        lambda patch: patch.setattr(clock, "sample", lambda *_: None),
    ):
        with monkeypatch.context() as patch:
            add(patch)
            assert before.changed() != ""
        assert before.changed() == ""


def test_a_clock_that_a_call_replaces_for_one_reading_still_tells_the_time(monkeypatch):
    def replaces_the_clock():
        monkeypatch.setattr(clocks, "perf_counter", lambda: monkeypatch.undo() or 0.0)
        time.sleep(0.02)

    assert CpuClock().sample([replaces_the_clock]).wall_s > 0.02


def test_the_work_of_a_process_whose_parent_has_ended_is_seen():
    """In a process of its own, since it takes in all orphans from then on."""
    found = subprocess.run([sys.executable, "-c", ORPHAN], check=False, capture_output=True)

    assert found.stdout.decode() == "seen", found.stderr


ORPHAN = """
import os, time
from attnpanel.bench.measure.clocks import child_processes
from attnpanel.bench.run.worker import adopt_orphans
adopt_orphans()
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)
    os._exit(0)
os.wait()
left = child_processes()
for process in left:
    os.kill(process, 9)
print("seen" if left else "not seen", end="")
"""


def test_a_limit_that_was_raised_is_noticed(monkeypatch):
    before = Integrity()

    monkeypatch.setitem(LIMITS, "rms", 1e30)

    assert "LIMITS" in before.changed()


def test_a_method_put_before_one_of_torch_is_noticed(monkeypatch):
    torch = pytest.importorskip("torch")
    before = Integrity()

    monkeypatch.setattr(torch.Tensor, "numpy", lambda _: None, raising=False)

    assert before.changed() == "torch.Tensor.numpy"


def test_code_that_runs_between_the_lines_of_other_code_is_noticed():
    def work(*_):
        pass

    before = Integrity()

    previous = signal.signal(signal.SIGUSR2, work)
    found = [before.changed()]
    signal.signal(signal.SIGUSR2, previous)
    gc.callbacks.append(work)
    found.append(before.changed())
    gc.callbacks.remove(work)

    assert found == [
        f"the handler of signal {int(signal.SIGUSR2)}",
        "the garbage collector's callbacks",
    ]
    assert before.changed() == ""


class TwoThreads(CpuClock):
    """The CPU time of its first samples, or of all, is that of nearly two threads."""

    left = None

    def sample(self, calls, observer=None):
        found = super().sample(calls, observer)
        wall_s, at_work = max(found.wall_s, 0.02), self.left != 0
        if self.left:
            self.left -= 1
        return found._replace(cpu_s=(1.9 if at_work else 1) * wall_s, wall_s=wall_s)


@pytest.mark.parametrize("threads", [1, 2])
def test_more_threads_than_it_may_use_are_refused(threads, workload):
    clock = TwoThreads()
    warm = WarmCase(
        make_kernel("honest", result=honest), CASE, clock, threads, check_process=lambda: None
    )
    warm.warm(0.05)
    if threads == 2:
        assert warm.visit(1, workload).wall_s[0] > 0
        return

    with pytest.raises(RefusedError, match="must use at most 1 thread"):
        warm.visit(1, workload)
    clock.left = 0
    warm = WarmCase(
        make_kernel("honest", result=honest), CASE, clock, 1, check_process=lambda: None
    )
    warm.warm(0.05)
    clock.left = 1  # as a compiler that works once beside a call
    assert warm.visit(1, workload).wall_s[0] > 0
