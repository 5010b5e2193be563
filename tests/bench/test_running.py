"""A run: every row gets its samples or one clear status, and nothing that was done is lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import psutil
import pytest

import bench.recording
from attnpanel.kernels.request import Request
from bench.bench_run import OLD_SCHEMAS, RUN_SCHEMA, BenchRun
from bench.cases import Case
from bench.planning import Plan
from bench.results import ResultFileError, read, write
from bench.running import run

CASE = Case(Request(2, 3, 3, 5, 7, 11, 13))
CAUSAL = Case(Request(2, 3, 3, 5, 7, 11, 13, mask="causal"))
HERE = "tests.bench.made_kernels:"


def plan(*names: str, **changes) -> Plan:
    """A plan for these made kernels that takes no longer than it must."""
    standard = Plan(
        preset="made",
        certified=(),
        timed=(CASE,),
        implementations=tuple(HERE + name for name in names),
        rounds=3,
        samples_per_round=2,
        row_budget_s=5.0,
        time_limit_s=20,
        limits=False,  # each measurement loads PyTorch, which takes seconds
    )
    return replace(standard, **changes)


def timing(found: BenchRun, name: str, case: Case = CASE):
    (row,) = (
        row for row in found.timings if (row.implementation, row.case) == (HERE + name, case.name)
    )
    return row


@pytest.fixture(scope="module")
def misbehaved() -> BenchRun:
    """One run with a right implementation before, between and after those that misbehave."""
    names = ["RIGHT", "WRONG", "REFUSING", "RAISING", "EXITING", "QUITTING", "ABORTING", "KILLED"]
    names += ["GREEDY", "TALKING", "NOT_THERE", "COMPILING"]
    return run(plan(*names, memory_limit_bytes=2**33, limits=True))


def test_a_right_row_has_all_its_samples(misbehaved):
    for name in ("RIGHT", "TALKING", "COMPILING"):
        row = timing(misbehaved, name)

        assert (row.status, row.reasons) == ("timed", ())
        assert row.rounds == (0, 0, 1, 1, 2, 2)
        beside = row.cpu_s, row.waited_s, row.yardstick_s, row.copy_yardstick_s
        assert [len(one) for one in (row.wall_s, *beside)] == [6] * 5
        assert min(row.wall_s) > 0
        assert row.peak_bytes is not None
    assert misbehaved.finished


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
        ("ABORTING", "crashed", "signal 6 (SIGABRT); its last words: assertion failed: rows"),
        ("KILLED", "out of memory", "killed by the system (signal 9)"),
        ("GREEDY", "out of memory", "Unable to allocate 12.0 GiB"),
        ("NOT_THERE", "error", "has no attribute 'NOT_THERE'"),
    ],
)
def test_what_misbehaves_is_one_row_with_its_status(misbehaved, name, status, words):
    row = timing(misbehaved, name)

    assert row.status == status
    assert words in " ".join(row.reasons)
    assert (row.wall_s, row.warmup_s, row.peak_bytes) == ((), (), None)


def test_every_row_has_one_certificate_and_one_timing(misbehaved):
    expected = [(name, CASE.name) for name in misbehaved.implementations]

    assert [(one.implementation, one.case) for one in misbehaved.agreements] == expected
    assert [(one.implementation, one.case) for one in misbehaved.timings] == expected


def test_the_limits_are_of_the_same_threads(misbehaved):
    (limits,) = misbehaved.limits

    assert (limits.device, limits.dtype, limits.threads) == ("cpu", "float32", 1)
    assert min(limits.gemm_flops_per_s) > 0
    assert min(limits.copy_bytes_per_s) > 0


def test_a_hang_ends_at_the_time_limit_and_is_not_tried_for_ever():
    # Four cases, and three losses in a row are enough.
    cases = tuple(replace(CASE, seed=seed) for seed in range(4))

    found = run(plan("HANGING", timed=(), certified=cases, time_limit_s=0.5))

    reasons = [one.reasons[0] for one in found.agreements]
    assert reasons[:3] == ["timed out: no answer within 0.5 s"] * 3
    assert reasons[3].startswith("error: not tried: its process was lost 3 times in a row")


@pytest.mark.parametrize(
    ("name", "variable", "status"),
    [
        ("ABORTING_WHEN_TOLD", "MADE_KERNELS_ABORT", "crashed"),
        ("HANGING_WHEN_TOLD", "MADE_KERNELS_HANG", "timed out"),
    ],
)
def test_what_goes_wrong_between_its_samples_ends_one_row_only(
    tmp_path, monkeypatch, name, variable, status
):
    flag = tmp_path / "now"
    monkeypatch.setenv(variable, str(flag))

    def tell(progress):
        # In the second round: 4 certificates, 4 preparations and 4 samples are done.
        if progress.what == f"time {HERE}{name}: {CASE.name}" and progress.done >= 12:
            flag.touch()
        else:
            flag.unlink(missing_ok=True)

    cases = (CASE, CAUSAL)
    found = run(plan(name, "RIGHT", time_limit_s=3, timed=cases), progress=tell)

    assert timing(found, name).status == status
    assert timing(found, name).wall_s == ()
    # The process that was lost had the other case prepared, too.
    for other in (
        timing(found, name, CAUSAL),
        timing(found, "RIGHT"),
        timing(found, "RIGHT", CAUSAL),
    ):
        assert len(other.wall_s) == 6


def test_rounds_visit_every_row_of_every_case_in_turn():
    said = []

    two = plan("RIGHT", "ALSO_RIGHT", timed=(CASE, CAUSAL))
    run(two, progress=lambda progress: said.append(progress.what))

    visits = [tuple(what.split(":")[1:]) for what in said if what.startswith("time ")]
    rows = [(name, f" {case.name}") for case in (CASE, CAUSAL) for name in ("RIGHT", "ALSO_RIGHT")]
    assert visits == rows * 3


def test_a_slow_row_stops_when_its_time_is_used_up_but_not_before_eight_rounds():
    found = run(plan("SLOW", rounds=50, row_budget_s=0.01))

    # One sample a round: two of 30 ms would overdraw an eighth of 10 ms even more.
    assert timing(found, "SLOW").rounds == tuple(range(8))


def test_progress_counts_up_to_its_total_and_names_a_time_when_it_can():
    told = []

    run(plan("RIGHT", "WRONG"), progress=told.append)

    done = [one.done for one in told]
    assert done == sorted(done)
    assert len({one.total for one in told}) == 1
    assert told[0].remaining_s is None
    assert told[-1].done == told[-1].total - 1
    assert told[-1].remaining_s > 0


def test_without_its_device_a_row_has_a_certificate_of_its_shape_and_no_time():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    case = replace(CASE, request=replace(CASE.request, device="cuda"))

    found = run(plan("RIGHT", timed=(case,), implementations=("torch-eager",)))

    (agreement,), (row,) = found.agreements, found.timings
    assert (agreement.verdict, agreement.basis) == ("pass", "fake")
    assert (row.status, row.reasons) == ("unsupported", ("no CUDA device here",))


def left_behind() -> list[psutil.Process]:
    return [
        one
        for one in psutil.Process().children(recursive=True)
        if "bench.worker" in " ".join(one.cmdline())
    ]


def test_cancelling_is_heard_while_an_implementation_hangs_and_leaves_no_process():
    cancelled = threading.Event()
    threading.Timer(1.0, cancelled.set).start()
    before = time.monotonic()

    found = run(plan("RIGHT", "HANGING", time_limit_s=60), cancelled=cancelled)

    assert time.monotonic() - before < 30
    assert not found.finished
    assert left_behind() == []


def test_an_exception_of_the_progress_keeps_what_was_done(tmp_path):
    output = tmp_path / "run.json"

    def stop(progress):
        if progress.what.startswith("time "):
            raise RuntimeError("the page was closed")

    with pytest.raises(RuntimeError, match="page was closed"):
        run(plan("RIGHT"), progress=stop, output=output)

    assert [one.verdict for one in read(output, BenchRun).agreements] == ["pass"]
    assert left_behind() == []


def test_a_run_cancelled_at_any_step_is_resumed_without_doing_anything_twice(tmp_path):
    output = tmp_path / "run.json"
    all_of_it = plan("RIGHT", "WRONG", timed=(CASE, CAUSAL))
    seen: list[str] = []
    finished = False
    for _ in range(40):
        cancelled = threading.Event()
        steps = []

        def one_step(progress, cancelled=cancelled, steps=steps):
            steps.append(progress.what)
            if len(steps) == 3:
                cancelled.set()

        found = run(all_of_it, progress=one_step, cancelled=cancelled, output=output, resume=True)
        seen += steps
        assert read(output, BenchRun) == found
        if found.finished:
            finished = True
            break

    assert finished
    assert [row.rounds for row in found.timings if row.status == "timed"] == [
        (0, 0, 1, 1, 2, 2),
        (0, 0, 1, 1, 2, 2),
    ]
    certified = [what for what in seen if what.startswith("certified")]
    assert len(certified) == len(set(certified)) == 4


@pytest.mark.parametrize(
    ("schema", "lacking"),
    [
        (OLD_SCHEMAS[0], ("waited_s", "yardstick_s", "copy_yardstick_s")),
        (OLD_SCHEMAS[1], ("copy_yardstick_s",)),
    ],
)
def test_an_old_run_that_is_not_finished_takes_its_samples_anew(tmp_path, schema, lacking):
    output = tmp_path / "run.json"
    first = run(plan("RIGHT"), output=output)
    content = json.loads(output.read_text())
    for row in content["timings"]:
        for name in lacking:
            del row[name]
    output.write_text(json.dumps({**content, "schema": schema, "finished": False}))

    again = run(plan("RIGHT"), output=output, resume=True)

    assert again.agreements == first.agreements
    assert timing(again, "RIGHT").rounds == (0, 0, 1, 1, 2, 2)
    assert len(timing(again, "RIGHT").yardstick_s) == 6
    assert len(timing(again, "RIGHT").copy_yardstick_s) == 6


def test_a_finished_run_resumed_measures_nothing(tmp_path):
    output = tmp_path / "run.json"
    first = run(plan("RIGHT"), output=output)
    told = []

    again = run(plan("RIGHT"), output=output, resume=True, progress=told.append)

    assert told == []
    assert again.timings == first.timings
    assert again.environment.date_utc == first.environment.date_utc


def test_a_run_is_not_written_over(tmp_path):
    output = tmp_path / "run.json"
    output.write_text("mine")

    with pytest.raises(FileExistsError, match="choose another name, or go on with it by --resume"):
        run(plan("RIGHT"), output=output)

    assert output.read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"preset": "other"}, "its preset is other; got made"),
        ({"implementations": ("a",)}, "its implementations is"),
        ({"cases": ()}, "its cases is"),
    ],
)
def test_a_run_of_another_plan_is_not_resumed(tmp_path, change, words):
    output = tmp_path / "run.json"
    found = run(plan("REFUSING", timed=(), certified=(CASE,)), output=output)
    write(replace(found, agreements=(), **change), output)
    before = output.read_bytes()

    with pytest.raises(ValueError, match=words):
        run(plan("REFUSING", timed=(), certified=(CASE,)), output=output, resume=True)

    assert output.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\x00" * 99, b'{"schema": "attnpanel.bench-run/0"}']
)
def test_a_damaged_or_old_file_is_one_error_and_stays_as_it_is(tmp_path, content):
    output = tmp_path / "run.json"
    output.write_bytes(content)

    with pytest.raises(ResultFileError):
        run(plan("RIGHT"), output=output, resume=True)

    assert output.read_bytes() == content


def test_a_full_disk_is_one_error_and_the_file_keeps_what_it_had(tmp_path, monkeypatch):
    output = tmp_path / "run.json"
    real, written = bench.recording.write, []

    def until_full(found, path):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(found)
        real(found, path)

    monkeypatch.setattr(bench.recording, "write", until_full)
    monkeypatch.setattr(bench.recording, "WRITING_SHARE", 1e9)

    with pytest.raises(OSError, match=r"run.json can't be written \(No space left on device\)"):
        run(plan("RIGHT"), output=output)

    assert read(output, BenchRun) == written[-1]
    assert left_behind() == []


def test_where_nothing_can_be_written_nothing_is_measured(tmp_path):
    (tmp_path / "file").touch()
    told = []

    with pytest.raises(OSError, match="can't be written"):
        run(plan("RIGHT"), output=tmp_path / "file" / "run.json", progress=told.append)

    assert told == []


PARENT = """
import sys
from pathlib import Path
from tests.bench.test_running import plan
from bench.running import run
name, output = sys.argv[1:]
def tell(progress):
    print(progress.what, flush=True)
run(plan("RIGHT", name, time_limit_s=600), output=Path(output), progress=tell)
"""


@pytest.mark.parametrize("name", ["HANGING", "HOLDING"])
def test_a_killed_parent_leaves_its_file_and_no_process(tmp_path, name):
    output = tmp_path / "run.json"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, name, str(output)], stdout=subprocess.PIPE, text=True
    )
    for line in parent.stdout:
        if line.startswith("certified"):
            break
    time.sleep(1)
    children = psutil.Process(parent.pid).children(recursive=True)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    _, alive = psutil.wait_procs(children, timeout=10)
    assert len(children) == 2
    assert alive == []
    found = read(output, BenchRun)
    assert [one.verdict for one in found.agreements] == ["pass"]
    assert not found.finished


def test_the_file_is_json_with_its_schema(tmp_path):
    output = tmp_path / "run.json"
    run(plan("REFUSING", timed=(), certified=(CASE,)), output=output)

    assert json.loads(output.read_text())["schema"] == RUN_SCHEMA
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threads": 0}, "must be >= 1; got {'threads': 0, 'rounds': 3"),
        ({"row_budget_s": 0}, "must be positive; got 0 and 20"),
        ({"implementations": ()}, "implementations must be at least one"),
        ({"implementations": ("a", "a")}, r"got twice: \['a'\]"),
        ({"timed": (CASE, CASE)}, "cases must be at least one, each once"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        plan("RIGHT", **change)
