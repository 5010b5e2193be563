"""Saving a trace: the whole file, or the older one."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys

import numpy as np
import pytest

from attnpanel.trace import AttentionCall, Trace
from attnpanel.trace import file_format as trace_file
from attnpanel.trace.trace import TraceFileError
from tests.unit.trace.trace_files import assert_same, full_trace


@pytest.mark.parametrize("failing", ["save_file", "_read_outline"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_older_file_and_nothing_else(
    tmp_path, monkeypatch, failing, error
):
    path = tmp_path / "kept.trace"
    path.write_bytes(b"older")

    def fail(*args):
        raise error

    monkeypatch.setattr(trace_file, failing, fail)
    with pytest.raises(type(error)):
        full_trace().save(path)

    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [
        ("kept.trace", b"older")
    ]


@pytest.mark.posix
def test_a_save_killed_before_the_end_leaves_the_older_file(tmp_path):
    path = tmp_path / "kept.trace"
    path.write_bytes(b"older")
    # Killed at the last moment: everything is written, nothing is replaced.
    program = """
import os, pathlib, signal, sys
from attnpanel.trace.trace import Trace
pathlib.Path.replace = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
Trace().save(sys.argv[1])
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)

    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"older"


def test_saving_into_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        full_trace().save(tmp_path / "none" / "a.trace")
    with pytest.raises(IsADirectoryError):
        full_trace().save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_os_error(tmp_path, monkeypatch):
    def fail(*args):
        raise trace_file.SafetensorError("no space left")

    monkeypatch.setattr(trace_file, "save_file", fail)
    with pytest.raises(OSError, match="no space left"):
        full_trace().save(tmp_path / "a.trace")


@pytest.mark.posix
def test_a_new_file_keeps_the_permissions_of_the_old_one(tmp_path):
    fresh, private = tmp_path / "fresh.trace", tmp_path / "private.trace"
    private.touch()
    private.chmod(0o600)
    before = os.umask(0o027)
    try:
        full_trace().save(fresh)
        full_trace().save(private)
    finally:
        os.umask(before)

    assert stat.S_IMODE(fresh.stat().st_mode) == 0o640
    assert stat.S_IMODE(private.stat().st_mode) == 0o600


@pytest.mark.posix
def test_saving_through_a_link_keeps_the_link(tmp_path):
    target, link = tmp_path / "target.trace", tmp_path / "link.trace"
    link.symlink_to(target)
    full_trace().save(link)

    assert link.is_symlink()
    assert_same(Trace.load(target), full_trace())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_trace_that_could_not_be_loaded_is_not_saved(tmp_path, bad):
    query = np.full((1, 1, 1, 1), bad, dtype=np.float32)
    trace = Trace([AttentionCall("l", 0, query=query, key=query)])

    with pytest.raises(
        TraceFileError, match=rf"a.trace: calls\[0\].query must be finite .* got {bad}"
    ):
        trace.save(tmp_path / "a.trace")
    assert list(tmp_path.iterdir()) == []


def test_more_tokens_than_the_calls_have_positions_are_not_saved(tmp_path):
    trace = full_trace()
    # Seven keys, and the last generated token, which is never an input of the model.
    trace.set_tokens([["a"] * 8])
    trace.save(tmp_path / "a.trace")
    trace.set_tokens([["a"] * 9])
    with pytest.raises(TraceFileError, match=r"query_tokens\[0\] must be a list of at most 8; got"):
        trace.save(tmp_path / "b.trace")
    trace.set_tokens([["a"]] * 3)
    with pytest.raises(TraceFileError, match=r"query_tokens must be a list of at most 2; got 3"):
        trace.save(tmp_path / "c.trace")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.trace"]
