"""What the tests' own rules leave out: a skip under CI=true, and thorough tests in `make test`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPING = """
import pytest

@pytest.mark.skipif(True, reason="there is no `node` on PATH")
def test_node(): pass

@pytest.fixture
def browser(): pytest.skip("no Chromium or Chrome was found")

def test_browser(browser): pass

def test_device(): pytest.skip("there is a CUDA device")

@pytest.mark.xfail(reason="Firefox has no such key")
def test_known(): assert False
"""


@pytest.mark.parametrize(
    ("ci", "summary"),
    [("true", "1 skipped, 1 xfailed, 2 errors"), ("", "3 skipped, 1 xfailed")],
)
def test_only_under_ci_a_missing_tool_fails_the_test(root, tmp_path, ci, summary):
    told = told_of(SKIPPING, root, tmp_path, ci=ci)

    assert summary in told
    assert "there is no `node` on PATH" in told


THOROUGH = """
import pytest

pytestmark = pytest.mark.thorough

def test_of_a_thorough_file(): pass

@pytest.mark.thorough(but=2)
@pytest.mark.parametrize("row", [1, 2, 3])
def test_rows(row): assert row < 3

@pytest.mark.thorough(every=2)
@pytest.mark.parametrize("row", [1, 2, 3])
def test_other_rows(row): assert row != 2
"""


def test_thorough_tests_are_left_out_where_asked_but_for_the_rows_they_keep(root, tmp_path):
    assert "4 passed, 3 deselected" in told_of(THOROUGH, root, tmp_path, "--not-thorough")
    assert "2 failed, 5 passed" in told_of(THOROUGH, root, tmp_path)


def told_of(tests: str, root: Path, folder: Path, *options: str, ci: str = "") -> str:
    """Run tests under the rules of tests/conftest.py; return what pytest says."""
    (folder / "test_made.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command += ["-q", "-rfEs", "-c", os.devnull, "--rootdir", str(folder), *options, str(folder)]
    ran = subprocess.run(
        command,
        env={**os.environ, "CI": ci, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ran.stdout + ran.stderr
