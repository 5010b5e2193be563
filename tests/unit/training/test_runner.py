import pytest

from attnpanel.training import runner
from attnpanel.training.runner import run_training
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.store import RunStore

pytest.importorskip("torch")

TINY = TrainingSettings(d_model=8, heads=2, steps=12, batch=3)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs.sqlite3")


@pytest.fixture(autouse=True)
def at_every_step(monkeypatch):
    """Write at every step, so that a test needs few steps."""
    monkeypatch.setattr(runner, "WRITE_EVERY_S", 0.0)


def test_a_run_is_trained_to_its_end_and_stored(store):
    number = store.create(TINY)
    steps = []

    assert (
        run_training(store, number, on_progress=lambda step, _point: steps.append(step)) == "done"
    )

    run = store.run(number)
    assert (run.state, run.step) == ("done", 12)
    assert steps == list(range(13))
    assert [point.step for point in store.points(number)] == list(range(13))
    keyframes = store.keyframes(number)
    assert [keyframe.step for keyframe in keyframes] == list(range(13))
    assert (len(keyframes[0].answers), len(keyframes[0].answers[0])) == (2, 2)
    assert store.trace(number, 12).calls[1].heads == 2


def test_a_run_is_stopped_by_whoever_asks(store):
    number = store.create(TINY)

    def tell(step, _point):
        if step == 4:
            store.request(number, "stop")

    assert run_training(store, number, on_progress=tell) == "stopped"

    # A request takes effect at the next step that is written.
    assert (store.run(number).state, store.run(number).step) == ("stopped", 5)


def test_a_paused_run_waits_and_continues_where_it_was(store, monkeypatch):
    number = store.create(TINY)
    paused = []

    def tell(step, _point):
        if step == 4:
            store.request(number, "pause")

    def while_waiting(_seconds):
        paused.append((store.run(number).state, store.run(number).step))
        if len(paused) == 3:
            store.request(number, "train")

    monkeypatch.setattr("time.sleep", while_waiting)

    assert run_training(store, number, on_progress=tell) == "done"

    # It records the pause, and keeps recording it so that it does not count as interrupted.
    assert paused == [("training", 5), ("paused", 5), ("paused", 5)]
    assert [point.step for point in store.points(number)] == list(range(13))


def test_a_run_that_stays_paused_is_stopped(store, monkeypatch):
    monkeypatch.setattr(runner, "PAUSE_LIMIT_S", -1)
    number = store.create(TINY)
    store.request(number, "pause")

    assert run_training(store, number) == "stopped"

    assert store.run(number).reason.startswith("It was paused for")


def test_a_deleted_run_ends(store):
    number = store.create(TINY)

    def tell(step, _point):
        if step == 4:
            store.delete(number)

    assert run_training(store, number, on_progress=tell) == "stopped"

    assert store.runs() == []


def test_a_cancelled_run_ends(store):
    number = store.create(TINY)

    assert run_training(store, number, cancelled=lambda: True) == "stopped"
    assert store.run(number).state == "stopped"


def test_a_run_that_takes_too_long_fails_and_keeps_what_it_did(store):
    number = store.create(TINY)

    with pytest.raises(ValueError, match="may train for 0 minutes"):
        run_training(store, number, limit_s=0)

    assert store.run(number).state == "failed"
    assert "Choose fewer steps" in store.run(number).reason
    assert len(store.points(number)) >= 1


def test_an_interrupted_run_is_stopped(store):
    number = store.create(TINY)

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(store, number, on_progress=interrupt)

    assert store.run(number).state == "stopped"


def test_any_error_is_stored_as_the_reason(store, monkeypatch):
    number = store.create(TINY)

    def broken(*_):
        raise MemoryError("no room")
        yield

    monkeypatch.setattr(runner, "train", broken)

    with pytest.raises(MemoryError):
        run_training(store, number)

    assert (store.run(number).state, store.run(number).reason) == ("failed", "MemoryError: no room")


def test_a_given_text_is_what_is_learned(store):
    text = "abcab" * 400
    number = store.create(
        TrainingSettings(task="text", d_model=8, heads=1, steps=10, batch=2), text=text
    )

    run_training(store, number)

    assert set(store.trace(number, 10).query_tokens[0]) == {"a", "b", "c"}
