"""The unit tests of js/test, which need Node.js and no browser."""

from __future__ import annotations

import subprocess

import pytest

from attnpanel.kernels.javascript.node_process import find_node


def test_the_javascript_unit_tests_pass(root):
    node = find_node()
    if node is None:
        pytest.skip("no Node.js: `make install` brings it")
    tests = sorted((root / "js" / "test").glob("*.test.js"))
    assert tests

    ran = subprocess.run(
        [node, "--test", *tests], capture_output=True, encoding="utf-8", check=False
    )

    if ran.returncode:
        pytest.fail(f"{ran.stdout}\n{ran.stderr}", pytrace=False)
