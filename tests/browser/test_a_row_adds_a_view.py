"""A row of the table of views and a module that draws it are all that a view needs.

The rows of tests/added_view_rows.py are added in a process of its own, before anything reads the
table, and the modules of tests/added_views.js are bundled with the page's own; there
tests/added_view_checks.py finds both views everywhere.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from attnpanel.kernels.javascript.node_process import find_node


@pytest.mark.thorough
def test_a_row_adds_a_view(root):
    if find_node() is None or not (root / "js" / "node_modules" / "esbuild").exists():
        pytest.skip("esbuild is not installed: `make js` brings it")
    plugins = ["-p", "no:cacheprovider", "-p", "tests.added_view_rows"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, "tests/added_view_checks.py"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
