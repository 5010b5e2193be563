"""SIGTERM to a server at work: pages and two trainings end with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attnpanel.training.store import RunStore
from tests.page_socket import PageSocket

pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[4]
PAGES = 1
TRAININGS = 2


@pytest.fixture
def server(tmp_path):
    """A server of its own process; yields the process, its port and its runs."""
    runs, log = tmp_path / "runs.sqlite3", tmp_path / "log"
    command = [sys.executable, "-m", "attnpanel", "serve", "--port", "0", "--runs", str(runs)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=file, text=True, env=environment
        )
    address = process.stdout.readline()
    assert address.startswith("attnpanel: http://"), log.read_text()
    yield process, int(address.strip().strip("/").rpartition(":")[2]), runs, log
    process.kill()
    process.wait()


def click(page, label):
    event = {
        "type": "event",
        "name": "button_click",
        "values": {"type": "map", "entries": [["model", {"id": page.find(label=label)}]]},
    }
    page.patch({"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": event})


@pytest.mark.thorough
@pytest.mark.posix
@pytest.mark.slow
def test_a_server_at_work_ends_with_its_trainings_and_says_nothing(server):
    process, port, path, log = server
    lab, pages = PageSocket(port, "/lab"), [PageSocket(port, "/?live") for _ in range(PAGES)]
    for _ in range(TRAININGS):
        click(lab, "Start")
    store = RunStore(path)
    while not all(run.step > 0 for run in store.runs()) or len(store.runs()) < TRAININGS:
        assert all(run.reason == "" for run in store.runs())
        lab.ask("SERVER-INFO-REQ", {})
        time.sleep(0.1)  # the trainings have a lower priority than a loop that only asks

    process.stdout.close()  # as by `| head -1`: nobody reads what is printed
    process.terminate()

    assert process.wait(timeout=300) == 0
    assert {run.state for run in store.runs()} <= {"stopped", "done"}
    assert "Traceback" not in log.read_text()
    for page in (lab, *pages):
        page.close()
