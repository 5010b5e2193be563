"""A skip for want of a tool that `make test` brings is a failure under CI=true."""

from __future__ import annotations

import os
import subprocess
import sys

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
    (tmp_path / "test_skipping.py").write_text(SKIPPING)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command += ["-q", "-rfEs", "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(root)}

    ran = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )

    assert summary in ran.stdout, ran.stdout + ran.stderr
    assert "there is no `node` on PATH" in ran.stdout
