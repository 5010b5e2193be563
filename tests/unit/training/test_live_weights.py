"""The weights that a run keeps for the page: which steps, how many bytes, what is refused."""

import itertools
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from attnpanel.training import live_weights, runner
from attnpanel.training import store as store_module
from attnpanel.training.live_weights import (
    MAX_BYTES,
    check_weights,
    describe_model,
    pack_model,
    weight_layout,
    weight_steps,
)
from attnpanel.training.loop import make_model
from attnpanel.training.records import Checkpoint, RunStoreError
from attnpanel.training.runner import run_training
from attnpanel.training.settings import BOUNDS, TrainingSettings
from attnpanel.training.store import RunStore
from attnpanel.training.tasks import make_task

torch = pytest.importorskip("torch")
TINY = TrainingSettings(d_model=8, heads=2, layers=1, steps=10, batch=3)
TASK = make_task(TINY.task)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs.sqlite3")


def numbers_of(data, settings, task, name):
    """Return one array of packed weights."""
    tensors, _ = weight_layout(settings, task)
    (about,) = (tensor for tensor in tensors if tensor["name"] == name)
    count = int(np.prod(about["shape"]))
    return np.frombuffer(data, about["dtype"], count, about["at"]).reshape(about["shape"])


@pytest.mark.parametrize(
    ("width", "layers", "steps", "task"),
    [*itertools.product([8, 64, 128, 256], [1, 6], [10, 600, 20_000], ["copy", "text"])],
)
def test_the_weights_of_a_run_fit_into_their_bytes(width, layers, steps, task):
    settings = TrainingSettings(d_model=width, heads=4, layers=layers, steps=steps, task=task)
    size = weight_layout(settings, make_task(task))[1]

    kept = weight_steps(settings, make_task(task))

    assert steps in kept
    assert kept <= set(range(steps + 1))
    assert len(kept) * size <= MAX_BYTES or kept == {steps}
    if len(kept) > 1:
        assert 0 in kept


def test_the_default_run_keeps_every_fourth_keyframe_and_the_last():
    # 208,640 bytes fit 14 times into 3 MB; a keyframe is every 12th of 600 steps.
    assert sorted(weight_steps(TrainingSettings(), TASK)) == [*range(0, 577, 48), 600]


def test_the_largest_model_is_kept_once():
    largest = {name: BOUNDS[name][1] for name in ("heads", "d_model", "layers")}
    settings = TrainingSettings(**largest, steps=50)
    assert weight_steps(settings, TASK) == {50}
    assert weight_layout(settings, TASK)[1] < 9_600_000


def test_the_arrays_are_those_of_the_model():
    model = make_model(TINY, TASK)
    error, data = pack_model(model, TINY, TASK, np.array([[1, 2, 3]]))

    fused = model.blocks[0].attention.query_key_value.weight.detach().half().numpy()
    for place, name in enumerate(("query", "key", "value")):
        np.testing.assert_array_equal(
            numbers_of(data, TINY, TASK, f"0.{name}.weight"), fused[8 * place : 8 * place + 8]
        )
    up = numbers_of(data, TINY, TASK, "0.up.bias")
    np.testing.assert_array_equal(up, model.blocks[0].mlp[0].bias.detach().half().numpy())
    norm = numbers_of(data, TINY, TASK, "0.feed_forward_norm.weight")
    assert norm.dtype == np.float32
    assert 0 < error < 1e-3


def test_the_error_is_the_largest_change_of_a_probability():
    model = make_model(TINY, TASK)
    tokens = np.array([[1, 2, 3, 4]])
    error, _ = pack_model(model, TINY, TASK, tokens)

    rounded = make_model(TINY, TASK)
    rounded.load_state_dict(
        {
            name: value if "norm" in name or "before_" in name else value.half().float()
            for name, value in model.state_dict().items()
        }
    )
    with torch.no_grad():
        one, other = (each(torch.tensor(tokens)).softmax(-1).numpy() for each in (model, rounded))
    np.testing.assert_allclose(error, np.abs(one - other).max(), rtol=0, atol=1e-6)


def test_the_baseline_has_no_attention_to_pack():
    settings = TrainingSettings(attends=False)
    names = {tensor["name"] for tensor in describe_model(settings, TASK)["tensors"]}
    assert describe_model(settings, TASK)["heads"] == 0
    assert not any("query" in name or "attention" in name for name in names)
    assert "1.up.weight" in names


def test_a_weight_beyond_16_bits_is_refused():
    model = make_model(TINY, TASK)
    with torch.no_grad():
        model.norm.weight[0] = 1e30  # kept in 32 bits
        pack_model(model, TINY, TASK, np.array([[1]]))
        model.next_token.weight[0, 0] = 70_000
    with pytest.raises(ValueError, match="must be at most 65504"):
        pack_model(model, TINY, TASK, np.array([[1]]))
    with torch.no_grad():
        model.next_token.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="must be at most 65504"):
        pack_model(model, TINY, TASK, np.array([[1]]))


def test_bytes_that_are_no_weights_are_refused():
    _, data = pack_model(make_model(TINY, TASK), TINY, TASK, np.array([[1]]))
    assert check_weights(data, TINY, TASK) == data
    with pytest.raises(ValueError, match=f"must have {len(data)} bytes; got 3"):
        check_weights(b"abc", TINY, TASK)
    with pytest.raises(ValueError, match=r"words holds a number that is not finite"):
        check_weights(b"\0\x7c" + data[2:], TINY, TASK)


def test_a_run_keeps_weights_at_its_steps_the_last_as_its_model(store):
    number = store.create(TINY)
    run_training(store, number)

    assert store.checkpoint_steps(number) == list(range(11))
    last = store.checkpoint(number, 10)
    assert last.error is not None
    assert 0 < last.error < 1e-3
    state = live_weights.weights_of_file(store.model_bytes(number), TINY, TASK)
    assert last.weights == state
    assert store.checkpoint(number, 0).weights != last.weights
    with pytest.raises(RunStoreError, match="no weights of run 1 are kept at step 11"):
        store.checkpoint(number, 11)


def test_a_stopped_run_keeps_the_weights_it_had_then(store, monkeypatch):
    monkeypatch.setattr(runner, "WRITE_EVERY_S", 0.0)
    monkeypatch.setattr(live_weights, "MAX_BYTES", 0)  # at the last step alone
    number = store.create(TINY)
    run_training(
        store, number, on_progress=lambda step, _point: step == 4 and store.request(number, "stop")
    )

    assert store.checkpoint_steps(number) == [5]
    kept = store.checkpoint(number, 5)
    assert kept.step == store.run(number).step
    assert kept.error is not None  # not the model that the run ended with, as of an older version


def test_a_run_of_an_older_version_has_the_weights_it_ended_with(store):
    number = store.create(TINY)
    run_training(store, number)
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute("DELETE FROM checkpoints")
    database.close()

    assert store.checkpoint_steps(number) == [10]
    old = store.checkpoint(number, 10)
    assert old.error is None
    assert old.weights == live_weights.weights_of_file(store.model_bytes(number), TINY, TASK)


@pytest.mark.parametrize("table", ["checkpoints", "models"])
def test_damaged_weights_are_an_error(store, table):
    number = store.create(TINY)
    run_training(store, number)
    with closing(sqlite3.connect(store.path)) as database, database:
        if table == "models":
            database.execute("DELETE FROM checkpoints")
        database.execute(f"UPDATE {table} SET weights = ?", (b"x" * 99,))  # noqa: S608
    database.close()

    with pytest.raises(RunStoreError, match="run 1 is damaged"):
        store.checkpoint(number, 10)


def test_the_weights_of_the_oldest_runs_make_room(store, monkeypatch):
    monkeypatch.setattr(store_module, "MAX_CHECKPOINTS", 10)
    numbers = [store.create(TINY) for _ in range(3)]
    for number in numbers:
        store.record(
            number, "training", 1, 0, checkpoints=[Checkpoint(step, 0.0, b"ab") for step in (0, 1)]
        )

    assert [store.checkpoint_steps(number) for number in numbers] == [[], [0, 1], [0, 1]]
    store.delete(2)
    assert store.checkpoint_steps(2) == []
