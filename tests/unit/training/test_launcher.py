import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from attnpanel.training.database import BusyError
from attnpanel.training.launcher import Trainings
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.store import RunStore

pytest.importorskip("torch")
pytestmark = pytest.mark.slow  # trains in processes of their own

LIMIT_S = 300  # importing PyTorch at low priority takes minutes on a busy machine
LONG = TrainingSettings(d_model=8, heads=2, steps=20_000, batch=3)


@pytest.fixture
def trainings(tmp_path):
    trainings = Trainings(RunStore(tmp_path / "runs.sqlite3"), max_running=1)
    yield trainings
    trainings.close()


def until(condition):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.thorough
def test_a_training_runs_in_its_own_process_and_ends_with_the_server(trainings):
    store = trainings.store
    number = trainings.start(LONG, "long")
    with pytest.raises(ValueError, match="1 trainings run here, which is the most"):
        trainings.start(LONG)
    until(lambda: store.points(number))

    trainings.close()

    assert store.run(number).state == "stopped"
    assert 0 < store.run(number).step < 20_000


def test_a_process_that_dies_leaves_its_run_failed_and_room_for_another(trainings, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    number = trainings.start(LONG)

    def failed():
        trainings.collect_finished()
        return trainings.store.run(number).ended

    until(failed)

    run = trainings.store.run(number)
    assert (run.state, run.reason) == ("failed", "the training's process ended: status 1")
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with pytest.raises(OSError, match="/no/such/python"):
        trainings.start(LONG)
    assert "no process could be started" in trainings.store.runs()[0].reason


@pytest.mark.thorough
def test_the_end_of_a_process_that_cannot_write_is_recorded(trainings):
    # As on a full disk: points can no longer be written.
    with closing(sqlite3.connect(trainings.store.path)) as database, database:
        database.execute("ALTER TABLE points RENAME TO gone")
    database.close()
    number = trainings.start(LONG)

    def failed():
        trainings.collect_finished()
        return trainings.store.run(number).ended

    until(failed)

    reason = trainings.store.run(number).reason
    assert reason.startswith("the training's process ended: OSError: the runs in ")
    assert reason.endswith("cannot be used: no such table: points")


def test_processes_that_do_not_end_are_killed_together(trainings, monkeypatch):
    monkeypatch.setattr("attnpanel.training.launcher.GRACE_S", 0.1)
    sleeping = [
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) for _ in range(2)
    ]
    trainings._processes = dict(enumerate(sleeping, start=1))

    trainings.close()

    assert [process.returncode for process in sleeping] == [-signal.SIGKILL] * 2


def test_an_end_that_a_busy_store_could_not_take_is_recorded_later(trainings, monkeypatch):
    number = trainings.store.create(LONG)
    trainings._processes[number] = subprocess.Popen([sys.executable, "-c", "1 / 0"], stderr=-1)
    trainings._processes[number].wait()

    def busy(*_arguments):
        raise BusyError(trainings.store.path)

    with monkeypatch.context() as patch:
        patch.setattr(trainings.store, "end", busy)
        for _ in range(2):
            with pytest.raises(OSError, match="in use by another program"):
                trainings.collect_finished()
    trainings.collect_finished()

    assert trainings.store.run(number).reason.endswith("ZeroDivisionError: division by zero")
    assert trainings._processes == {}
