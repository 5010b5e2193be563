"""The model of a finished run: it is restored exactly, and damaged files are refused."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from attnpanel.training import store as store_module
from attnpanel.training.checkpoint import load_checkpoint, trace_run
from attnpanel.training.database import SCHEMA
from attnpanel.training.loop import fixed_example
from attnpanel.training.records import Checkpoint, RunStoreError
from attnpanel.training.runner import run_training
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.store import RunStore
from attnpanel.training.tasks import make_task

torch = pytest.importorskip("torch")
TINY = TrainingSettings(d_model=8, heads=2, layers=1, steps=10, batch=3)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs.sqlite3")


@pytest.fixture
def number(store):
    number = store.create(TINY)
    run_training(store, number)
    return number


def test_the_loaded_model_is_the_one_that_the_run_ended_with(store, number):
    task = make_task(TINY.task)
    example = task.labels(fixed_example(TINY, task).tokens[0, :-1])

    again = trace_run(store, number, " ".join(example))

    last = store.trace(number, TINY.steps)
    assert again.query_tokens == last.query_tokens
    for head in range(2):
        np.testing.assert_array_equal(again.calls[0].weights(head), last.calls[0].weights(head))


def test_a_stopped_run_keeps_what_it_had_learned_by_then(store, monkeypatch):
    monkeypatch.setattr("attnpanel.training.runner.WRITE_EVERY_S", 0.0)
    number = store.create(TINY)
    run_training(
        store, number, on_progress=lambda step, _point: step == 4 and store.request(number, "stop")
    )

    assert load_checkpoint(store, number).norm.weight.shape == (8,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must have 1 to 32 tokens; got 0"),
        ("a " * 33, "must have 1 to 32 tokens; got 33"),
        ("a <b>", "separated by spaces; got '<b>'"),
    ],
)
def test_a_text_that_the_model_cannot_read_is_an_error(store, number, text, said):
    with pytest.raises(ValueError, match=said):
        trace_run(store, number, text)


def test_the_baseline_has_no_attention(store):
    number = store.create(TrainingSettings(attends=False))
    with pytest.raises(ValueError, match="run 1 is the baseline without attention"):
        trace_run(store, number, "a")


@pytest.mark.parametrize("weights", [b"", b"x" * 99, None])
def test_damaged_weights_are_an_error(store, number, weights):
    if weights is None:  # another model's
        other = store.create(TrainingSettings(d_model=16, heads=1, layers=1, steps=10, batch=3))
        run_training(store, other)
        weights = store.model_bytes(other)
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute("UPDATE models SET weights = ?", (weights,))
    database.close()

    with pytest.raises(RunStoreError, match="the weights of run 1 are damaged"):
        trace_run(store, number, "a")


def test_a_run_without_weights_is_an_error(store):
    number = store.create(TINY)

    with pytest.raises(RunStoreError, match="no weights of run 1 are kept"):
        store.model_bytes(number)
    with pytest.raises(RunStoreError, match="there is no run 2"):
        store.model_bytes(2)


def test_the_oldest_models_are_deleted_to_make_room(store, monkeypatch):
    monkeypatch.setattr(store_module, "MAX_MODELS", 10)
    numbers = [store.create(TINY) for _ in range(3)]
    for number in numbers:
        store.save_model(number, 1, b"four")

    with pytest.raises(RunStoreError, match="deleted to make room for newer ones"):
        store.model_bytes(1)
    assert [store.model_bytes(number) for number in numbers[1:]] == [b"four", b"four"]


def test_a_deleted_run_keeps_no_model(store):
    number = store.create(TINY)
    store.save_model(number, 1, b"four")
    store.delete(number)
    store.save_model(number, 1, b"four")

    with pytest.raises(RunStoreError, match="there is no run 1"):
        store.model_bytes(number)


def test_a_file_of_version_1_is_upgraded(tmp_path):
    path = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(path)) as database, database:
        for statement in (*SCHEMA, "PRAGMA user_version = 1"):
            database.execute(statement)
        database.execute(
            "INSERT INTO runs VALUES (7, 'old', ?, NULL, 'then', 'done', 'train', '', 3, 1.0, 0)",
            (TINY.to_json(),),
        )
    database.close()

    store = RunStore(path)

    assert (store.run(7).name, store.run(7).owner) == ("old", "")
    store.save_model(7, 3, b"four")
    assert RunStore(path).model_bytes(7) == b"four"
    assert store.record(7, "done", 3, 1.0, checkpoints=[Checkpoint(3, 0.5, b"four")]) == "train"
    assert store.checkpoint_steps(7) == [3]
