import sqlite3
import time

import pytest

from attnpanel.training.settings import TrainingSettings
from attnpanel.training.starting import Trainings
from attnpanel.training.store import RunStore

pytest.importorskip("torch")

LIMIT_S = 120
LONG = TrainingSettings(d_model=8, heads=2, steps=20_000, batch=3)


@pytest.fixture
def trainings(tmp_path):
    trainings = Trainings(RunStore(tmp_path / "runs.sqlite3"), most=1)
    yield trainings
    trainings.close()


def until(condition):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_training_goes_on_in_its_own_process_one_at_a_time_and_ends_with_the_server(trainings):
    store = trainings.store
    number = trainings.start(LONG, "long")
    with pytest.raises(ValueError, match="1 trainings go on here, which is the most"):
        trainings.start(LONG)
    until(lambda: store.points(number))

    trainings.close()

    assert store.run(number).state == "stopped"
    assert 0 < store.run(number).step < 20_000


def test_a_process_that_dies_leaves_its_run_failed_and_room_for_another(trainings, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    number = trainings.start(LONG)

    def failed():
        trainings.look_after()
        return trainings.store.run(number).ended

    until(failed)

    run = trainings.store.run(number)
    assert (run.state, run.reason) == ("failed", "the training's process ended: status 1")
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with pytest.raises(OSError, match="/no/such/python"):
        trainings.start(LONG)
    assert "no process could be started" in trainings.store.runs()[0].reason


def test_what_stopped_a_process_is_told_where_it_could_not_be_written(trainings):
    # As on a full disk: the store takes no points any more.
    with sqlite3.connect(trainings.store.path) as database:
        database.execute("ALTER TABLE points RENAME TO gone")
    database.close()
    number = trainings.start(LONG)

    def failed():
        trainings.look_after()
        return trainings.store.run(number).ended

    until(failed)

    reason = trainings.store.run(number).reason
    assert reason.startswith("the training's process ended: OSError: the runs in ")
    assert reason.endswith("can't be used: no such table: points")
