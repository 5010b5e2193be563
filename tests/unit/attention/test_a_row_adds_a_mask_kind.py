"""A row of the table of masks is all that a kind needs.

The rows of tests/added_mask_rows.py are added in a process of its own, before anything reads the
table, as a row in the file would be; there tests/added_mask_checks.py finds them everywhere.
"""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.thorough
@pytest.mark.slow
def test_a_row_adds_a_mask_kind(root):
    plugins = ["-p", "no:cacheprovider", "-p", "tests.added_mask_rows"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, "tests/added_mask_checks.py"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
