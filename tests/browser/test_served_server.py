"""The server itself: several visitors, and a port that is taken."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.browser.acting import choose, position
from tests.browser.reading import differing, open_explorer, settle, snapshot

pytest_plugins = ["tests.browser.opened"]


@pytest.mark.thorough
def test_two_pages_at_once_do_not_disturb_each_other(toy, served, page):
    choose(toy, Head=0, Token=1, Mask="none", Mean_of_heads=False)
    open_explorer(page, served)
    before = snapshot(toy)

    choose(page, Head=3, Token=6, Mask="causal")
    settle(toy)
    assert differing(before, snapshot(toy)) == set()
    assert (position(toy, "Head"), position(toy, "Token")) == (0, 1)

    others = snapshot(page)
    choose(toy, Head=1, Token=2)
    settle(page)
    assert differing(others, snapshot(page)) == set()
    assert (position(page, "Head"), position(page, "Token")) == (3, 6)


def test_a_taken_port_is_one_clear_line(root):
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "attnpanel", "serve", "--port", str(port)]
        ended = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=300, check=False
        )

    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert str(port) in line
    assert "choose another" in line
