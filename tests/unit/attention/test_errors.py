"""What is said of an error of the operating system: the file, the reason, what to do."""

import errno

import pytest

from attnpanel.__main__ import main
from attnpanel.attention.errors import os_error_text


@pytest.mark.parametrize(
    ("error", "path", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "a.html", "a.html: no space left on "
         "device; free some space, or choose a folder on another disk"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "b"), None, "b: no such file "
         "or directory; check the path, and that its folder exists"),
        (OSError(errno.EXDEV, "Cross-device link", "a", None, "b"), None,
         "a and b: cross-device link"),
        (OSError(errno.EMFILE, "Too many open files"), None, "too many open files; close some "
         "files or pages, or raise the limit (ulimit -n)"),
        (OSError("a sentence of our own"), None, "a sentence of our own"),
    ],
)  # fmt: skip
def test_an_error_names_its_file_and_what_to_do(error, path, text):
    assert os_error_text(error, path) == text


@pytest.mark.posix
def test_the_command_line_says_so_in_one_line(tmp_path, capsys):
    missing = tmp_path / "none.safetensors"
    assert main(["report", str(missing), "-o", str(tmp_path / "a.html")]) == 1
    said = capsys.readouterr().err
    assert said == (
        f"attnpanel: {missing}: no such file or directory; check the path, and that its folder "
        "exists\n"
    )
    notes = tmp_path / "notes.json"
    notes.write_text('{"schema": 1}')
    assert main(["report", str(notes), "-o", str(tmp_path / "a.html")]) == 1
    assert "notes.json: " in (said := capsys.readouterr().err)
    assert "JSON, such as notes" in said
