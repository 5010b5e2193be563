"""Atomic writes, and what killed processes leave behind."""

import errno
import os
import time

import pytest

from attnpanel.trace.atomic_write import ABANDONED_S, atomic_write, atomic_write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")

    def fail():
        with atomic_write(target) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(tmp_path):
    abandoned, written, other = (
        tmp_path / name for name in (".attnpanel-01.tmp", ".attnpanel-02.tmp", "mine.tmp")
    )
    for path in (abandoned, written, other):
        path.write_text("half")
    long_ago = time.time() - ABANDONED_S - 60
    for path in (abandoned, other):
        os.utime(path, (long_ago, long_ago))

    atomic_write_text(tmp_path / "file.txt", ["new"])

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".attnpanel-02.tmp",
        "file.txt",
        "mine.tmp",
    ]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_an_error_of_the_system_names_the_file_that_was_asked_for(tmp_path, code):
    target = tmp_path / "file.txt"

    def pieces():
        yield "half"
        raise OSError(code, os.strerror(code))  # as write() raises it, without a name

    with pytest.raises(OSError, match=r"file\.txt") as caught:
        atomic_write_text(target, pieces())

    assert (caught.value.errno, caught.value.filename) == (code, str(target))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_or_is_a_file_is_named_without_the_temporary_file(tmp_path):
    (tmp_path / "file").write_text("")
    for target, kind in [
        (tmp_path / "none" / "a", FileNotFoundError),
        (tmp_path / "file" / "a", NotADirectoryError),
        (tmp_path, IsADirectoryError),
    ]:
        with pytest.raises(kind) as caught:
            atomic_write_text(target, ["new"])
        assert caught.value.filename == str(target)
