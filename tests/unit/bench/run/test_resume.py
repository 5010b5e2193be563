"""Saving and resuming a run: no result is lost, no step is repeated, no file is overwritten."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

import attnpanel.bench.run.recording
from attnpanel.bench.run.execute import run
from attnpanel.bench.run.old_schemas import OLD_SCHEMAS
from attnpanel.bench.run.records import RUN_SCHEMA, BenchRun
from attnpanel.bench.run.serialization import ResultFileError, read, write
from tests.unit.bench.run.fake_plans import CASE, CAUSAL, plan, timing, worker_processes

pytestmark = [
    pytest.mark.slow,  # whole runs, each implementation in a process of its own
    pytest.mark.usefixtures("children_without_torch"),
]


@pytest.fixture(scope="module")
def finished_file(tmp_path_factory, children_without_torch):
    """The file of a finished run of one kernel; copy it before changing it."""
    output = tmp_path_factory.mktemp("finished") / "run.json"
    run(plan("RIGHT"), output=output)
    return output


@pytest.fixture
def output(finished_file, tmp_path):
    """A copy of the finished run's file."""
    return Path(shutil.copy(finished_file, tmp_path))


@pytest.mark.thorough
def test_a_run_cancelled_at_any_step_resumes_without_repeating_a_step(tmp_path):
    output = tmp_path / "run.json"
    whole = plan("RIGHT", "WRONG", timed=(CASE, CAUSAL))
    reported: list[str] = []
    done: list[str] = []
    # Attempt n is cancelled at the start of its n-th step, so the step may or may not be done, but
    # those before it are. Some attempt has fewer steps left than its number and finishes.
    for limit in range(1, 30):
        cancelled = threading.Event()
        taken: list[str] = []

        def cancel_at_limit(progress, cancelled=cancelled, taken=taken, limit=limit):
            taken.append(progress.what)
            if len(taken) == limit:
                cancelled.set()

        found = run(
            whole, progress=cancel_at_limit, cancelled=cancelled, output=output, resume=True
        )
        reported += taken
        done += taken[:-1] if cancelled.is_set() else taken
        assert read(output, BenchRun) == found
        assert found.finished or len(taken) >= limit
        if found.finished:
            break

    assert found.finished
    assert limit > 5  # one attempt or more was cancelled at each of the kinds of steps
    assert [row.rounds for row in found.timings if row.status == "timed"] == [
        (0, 0, 1, 1, 2, 2),
        (0, 0, 1, 1, 2, 2),
    ]
    certified = [what for what in reported if what.startswith("certified")]
    assert len(certified) == len(set(certified)) == 4
    assert sum(what.startswith("time ") for what in done) <= 6  # three rounds of two cases


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize(
    ("schema", "lacking"),
    [
        (OLD_SCHEMAS[0], ("waited_s", "yardstick_s", "copy_yardstick_s")),
        (OLD_SCHEMAS[1], ("copy_yardstick_s",)),
    ],
)
def test_an_unfinished_run_of_an_old_schema_repeats_its_samples(output, schema, lacking):
    first = read(output, BenchRun)
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


def test_a_finished_run_resumed_measures_nothing(output):
    first = read(output, BenchRun)
    steps = []

    again = run(plan("RIGHT"), output=output, resume=True, progress=steps.append)

    assert steps == []
    assert again.timings == first.timings
    assert again.environment.date_utc == first.environment.date_utc


def test_an_existing_file_is_not_overwritten(tmp_path):
    output = tmp_path / "run.json"
    output.write_text("mine")

    with pytest.raises(FileExistsError, match="choose another name, or continue it with --resume"):
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
def test_a_run_of_another_plan_is_not_resumed(output, change, words):
    found = read(output, BenchRun)
    write(replace(found, agreements=(), timings=(), **change), output)
    before = output.read_bytes()

    with pytest.raises(ValueError, match=words):
        run(plan("RIGHT"), output=output, resume=True)

    assert output.read_bytes() == before


@pytest.mark.parametrize(
    ("field", "change", "words"),
    [
        ("machine", {"gpu 0": "name Abacus; driver_version 1"}, "its machine is"),
        ("machine", {"blas libscipy_openblas": "0.1"}, "its machine is"),
        ("machine", {"sources": "123456789abc"}, "its machine is"),
        ("environment", {"dirty": None}, "its dirty is None"),
        ("environment", {"commit": "abc"}, "its commit is abc"),
        ("environment", {"thread_variables": {"OMP_NUM_THREADS": "99"}}, "its thread_variables is"),
    ],
)
def test_a_run_of_another_machine_or_tree_is_not_resumed(output, field, change, words):
    content = json.loads(output.read_text())
    content[field] |= change
    output.write_text(json.dumps({**content, "finished": False}))

    with pytest.raises(ValueError, match=words):
        run(plan("RIGHT"), output=output, resume=True)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\x00" * 99, b'{"schema": "attnpanel.bench-run/0"}']
)
def test_a_damaged_or_unknown_file_is_refused_and_kept(tmp_path, content):
    output = tmp_path / "run.json"
    output.write_bytes(content)

    with pytest.raises(ResultFileError):
        run(plan("RIGHT"), output=output, resume=True)

    assert output.read_bytes() == content


def test_a_full_disk_is_one_error_and_keeps_the_last_file(tmp_path, monkeypatch):
    output = tmp_path / "run.json"
    original, written = attnpanel.bench.run.recording.write, []

    def until_full(found, path):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(found)
        original(found, path)

    monkeypatch.setattr(attnpanel.bench.run.recording, "write", until_full)
    monkeypatch.setattr(attnpanel.bench.run.recording, "WRITING_SHARE", 1e9)

    with pytest.raises(OSError, match=r"run.json can't be written \(No space left on device\)"):
        run(plan("RIGHT"), output=output)

    assert read(output, BenchRun) == written[-1]
    assert worker_processes() == []


def test_nothing_is_measured_if_the_file_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    steps = []

    with pytest.raises(OSError, match="can't be written"):
        run(plan("RIGHT"), output=tmp_path / "file" / "run.json", progress=steps.append)

    assert steps == []


def test_the_file_is_json_with_its_schema(finished_file):
    assert json.loads(finished_file.read_text())["schema"] == RUN_SCHEMA
    assert list(finished_file.parent.iterdir()) == [finished_file]
