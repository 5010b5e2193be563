"""Running a plan: each row gets its samples or one status, and no process is left behind."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace

import psutil
import pytest

import attnpanel.bench.run.child
import attnpanel.bench.run.execute
from attnpanel.bench.run.execute import run
from attnpanel.bench.run.records import BenchRun
from attnpanel.bench.run.serialization import read
from tests.unit.bench.run.fake_plans import CASE, CAUSAL, KERNELS, plan, timing, worker_processes

pytestmark = [
    pytest.mark.slow,  # whole runs, each implementation in a process of its own
    pytest.mark.usefixtures("children_without_torch"),
]
WAIT_S = 120  # for conditions, on a busy machine


@pytest.fixture(scope="module")
def misbehaved(children_without_torch) -> BenchRun:
    """One run with a right implementation before, between and after those that misbehave."""
    names = ["RIGHT", "WRONG", "REFUSING", "RAISING", "EXITING", "QUITTING", "ABORTING", "KILLED"]
    names += ["GREEDY", "TALKING", "NOT_TKERNELS", "COMPILING"]
    return run(plan(*names, memory_limit_bytes=2**33))


@pytest.mark.thorough
def test_a_correct_row_has_all_its_samples(misbehaved):
    for name in ("RIGHT", "TALKING", "COMPILING"):
        row = timing(misbehaved, name)

        assert (row.status, row.reasons) == ("timed", ())
        assert row.rounds == (0, 0, 1, 1, 2, 2)
        beside = row.cpu_s, row.waited_s, row.yardstick_s, row.copy_yardstick_s, row.page_faults
        assert [len(column) for column in (row.wall_s, *beside)] == [6] * 6
        assert row.judged >= 2  # a result of the first round, and one after the last
        assert min(row.wall_s) > 0
        assert row.peak_bytes is not None
    assert misbehaved.finished


@pytest.mark.thorough
def test_only_what_compiles_has_a_compile_time(misbehaved):
    assert timing(misbehaved, "COMPILING").compile_s > 0
    assert timing(misbehaved, "RIGHT").compile_s is None


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("WRONG", "not certified", ""),
        ("REFUSING", "unsupported", "it does not like primes"),
        ("RAISING", "error", "RuntimeError: the kernel has <b>no</b> plan for this"),
        ("EXITING", "error", "SystemExit: 3"),
        ("QUITTING", "crashed", "ended by itself with exit status 7"),
        ("ABORTING", "crashed", "signal 6 (SIGABRT); stderr ended with: assertion failed: rows"),
        ("KILLED", "killed", "by signal 9; the kernel reports no lack of memory"),
        ("GREEDY", "out of memory", "Unable to allocate 12.0 GiB"),
        ("NOT_TKERNELS", "error", "has no attribute 'NOT_TKERNELS'"),
    ],
)
def test_each_kind_of_failure_has_its_status(misbehaved, name, status, words):
    row = timing(misbehaved, name)

    assert row.status == status
    assert words in " ".join(row.reasons)
    assert (row.wall_s, row.warmup_s, row.peak_bytes) == ((), (), None)


def test_every_row_has_one_certificate_and_one_timing(misbehaved):
    expected = [(name, CASE.name) for name in misbehaved.implementations]

    assert [
        (agreement.implementation, agreement.case) for agreement in misbehaved.agreements
    ] == expected
    assert [(timing.implementation, timing.case) for timing in misbehaved.timings] == expected


def test_a_hang_ends_at_the_time_limit_and_retries_are_limited():
    # Four cases, and three losses in a row are enough.
    cases = tuple(replace(CASE, seed=seed) for seed in range(4))

    found = run(plan("HANGING", timed=(), certified=cases, time_limit_s=0.5))

    reasons = [agreement.reasons[0] for agreement in found.agreements]
    assert reasons[:3] == ["timed out: no answer within 0.5 s"] * 3
    assert reasons[3].startswith("error: not tried: its process was lost 3 times in a row")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "variable", "status"),
    [
        ("ABORTING_ON_FLAG", "FAKE_KERNELS_ABORT", "crashed"),
        ("HANGING_ON_FLAG", "FAKE_KERNELS_HANG", "timed out"),
    ],
)
def test_a_failure_between_samples_ends_one_row_only(tmp_path, monkeypatch, name, variable, status):
    flag = tmp_path / "now"
    monkeypatch.setenv(variable, str(flag))

    def set_flag(progress):
        # In the second round: 4 certificates, 4 preparations and 4 samples are done.
        if progress.what == f"time {KERNELS}{name}: {CASE.name}" and progress.done >= 12:
            flag.touch()
        else:
            flag.unlink(missing_ok=True)

    cases = (CASE, CAUSAL)
    found = run(plan(name, "RIGHT", time_limit_s=5, timed=cases), progress=set_flag)

    assert timing(found, name).status == status
    assert timing(found, name).wall_s == ()
    # The process that was lost had the other case prepared, too.
    for other in (
        timing(found, name, CAUSAL),
        timing(found, "RIGHT"),
        timing(found, "RIGHT", CAUSAL),
    ):
        assert len(other.wall_s) == 6


@pytest.mark.thorough
def test_rounds_visit_every_row_of_every_case_in_turn():
    steps = []

    two = plan("RIGHT", "ALSO_RIGHT", timed=(CASE, CAUSAL))
    run(two, progress=lambda progress: steps.append(progress.what))

    visits = [tuple(what.split(":")[1:]) for what in steps if what.startswith("time ")]
    rows = [(name, f" {case.name}") for case in (CASE, CAUSAL) for name in ("RIGHT", "ALSO_RIGHT")]
    assert visits == rows * 3


@pytest.mark.thorough
def test_the_rounds_of_a_row_are_shared_by_its_processes():
    found = run(plan("RIGHT", "COMPILING", rounds=4, samples_per_round=1, processes=2))

    assert timing(found, "RIGHT").processes == (0, 0, 1, 1)
    # Compiling again would take longer than the rounds.
    assert timing(found, "COMPILING").processes == (0, 0, 0, 0)


@pytest.mark.thorough
def test_a_sample_that_is_no_time_is_the_status_of_one_row(monkeypatch):
    original = attnpanel.bench.run.execute.with_visit

    def with_zero(row, visit, process):
        if row.implementation.endswith("ALSO_RIGHT"):
            visit = replace(visit, wall_s=(0.0,) * len(visit.wall_s))
        return original(row, visit, process)

    monkeypatch.setattr(attnpanel.bench.run.execute, "with_visit", with_zero)

    found = run(plan("ALSO_RIGHT", "RIGHT"))

    assert timing(found, "RIGHT").status == "timed"
    bad = timing(found, "ALSO_RIGHT")
    assert (bad.status, bad.wall_s) == ("error", ())
    assert bad.reasons[0].startswith("its clock gave no time: wall_s must be above 0")


def test_a_killed_process_ran_out_of_memory_only_if_the_kernel_says_so(monkeypatch):
    kills = iter(range(100))
    monkeypatch.setattr(attnpanel.bench.run.child, "out_of_memory_kills", lambda: next(kills))

    found = run(plan("KILLED", timed=(), certified=(CASE,)))

    assert (
        found.agreements[0]
        .reasons[0]
        .startswith("out of memory: killed by the kernel, which had run out of memory")
    )


def test_a_slow_row_stops_at_its_budget_but_not_before_eight_rounds():
    found = run(plan("SLOW", rounds=50, row_budget_s=0.01))

    # One sample a round: two of 30 ms would overdraw an eighth of 10 ms even more.
    assert timing(found, "SLOW").rounds == tuple(range(8))


@pytest.mark.thorough
def test_progress_counts_to_its_total_and_estimates_the_remaining_time():
    reports = []

    run(plan("RIGHT", "WRONG"), progress=reports.append)

    done = [progress.done for progress in reports]
    assert done == sorted(done)
    assert len({progress.total for progress in reports}) == 1
    assert reports[0].remaining_s is None
    assert reports[-1].done == reports[-1].total - 1
    assert reports[-1].remaining_s > 0


@pytest.mark.thorough
def test_without_its_device_a_row_has_a_shape_certificate_and_no_time():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    case = replace(CASE, request=replace(CASE.request, device="cuda"))

    found = run(plan("RIGHT", timed=(case,), implementations=("torch-eager",)))

    (agreement,), (row,) = found.agreements, found.timings
    assert (agreement.verdict, agreement.basis) == ("pass", "fake")
    assert (row.status, row.reasons) == ("unsupported", ("no CUDA device here",))


def wait_for(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_is_cancelled_while_an_implementation_hangs(tmp_path, monkeypatch):
    started, cancelled = tmp_path / "started", threading.Event()
    monkeypatch.setenv("FAKE_KERNELS_STARTED", str(started))

    def cancel_once_it_hangs():
        wait_for(started.exists)
        cancelled.set()

    thread = threading.Thread(target=cancel_once_it_hangs)
    thread.start()
    found = run(plan("RIGHT", "HANGING", time_limit_s=600), cancelled=cancelled)
    thread.join()

    assert not found.finished
    assert [a.implementation for a in found.agreements if a.verdict != "pass"] == []
    assert worker_processes() == []


def test_an_exception_in_the_progress_callback_keeps_the_results(tmp_path):
    output = tmp_path / "run.json"

    def stop(progress):
        if progress.what.startswith("time "):
            raise RuntimeError("the page was closed")

    with pytest.raises(RuntimeError, match="page was closed"):
        run(plan("RIGHT"), progress=stop, output=output)

    assert [agreement.verdict for agreement in read(output, BenchRun).agreements] == ["pass"]
    assert worker_processes() == []


PARENT = """
import sys
from pathlib import Path
from tests.unit.bench.run.fake_plans import plan
from attnpanel.bench.run import recording
from attnpanel.bench.run.execute import run
recording.WRITING_SHARE = 1e9  # after each step, however long writing takes
name, output = sys.argv[1:]
def on_progress(progress):
    print(progress.what, flush=True)
run(plan("RIGHT", name, time_limit_s=600), output=Path(output), progress=on_progress)
"""


@pytest.mark.parametrize("name", ["HANGING", "HOLDING"])
def test_a_killed_parent_leaves_its_file_and_no_process(tmp_path, monkeypatch, name):
    output, started = tmp_path / "run.json", tmp_path / "started"
    monkeypatch.setenv("FAKE_KERNELS_STARTED", str(started))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, name, str(output)], stdout=subprocess.PIPE, text=True
    )
    for line in parent.stdout:
        if line.startswith("certified"):
            break
    wait_for(started.exists)
    children = psutil.Process(parent.pid).children(recursive=True)
    parent.kill()
    parent.wait()
    parent.stdout.close()

    _, alive = psutil.wait_procs(children, timeout=WAIT_S)
    assert len(children) == 2
    assert alive == []
    found = read(output, BenchRun)
    assert [agreement.verdict for agreement in found.agreements] == ["pass"]
    assert not found.finished


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threads": 0}, "must be >= 1; got {'threads': 0, 'rounds': 3"),
        ({"row_budget_s": 0}, "must be positive; got {'row_budget_s': 0, 'time_limit_s': 20"),
        ({"implementations": ()}, "implementations must be at least one"),
        ({"implementations": ("a", "a")}, r"got twice: \['a'\]"),
        ({"timed": (CASE, CASE)}, "cases must be at least one, each once"),
    ],
)
def test_an_invalid_plan_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        plan("RIGHT", **change)
