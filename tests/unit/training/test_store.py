import sqlite3
import time
from contextlib import closing

import numpy as np
import pytest

from attnpanel.trace import Trace
from attnpanel.trace.call import AttentionCall
from attnpanel.training.database import default_path
from attnpanel.training.frames import pack_frame
from attnpanel.training.records import Point, RunStoreError
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.store import RunStore


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "folder" / "runs.sqlite3")


@pytest.fixture
def trace():
    arrays = {name: np.zeros((1, 2, 3, 5), np.float16) for name in ("query", "key")}
    return Trace([AttentionCall("blocks.0", 0, causal="top_left", **arrays)])


def change(store, sql, *values):
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute(sql, values)
    database.close()


def test_what_was_stored_is_there_when_the_file_is_opened_again(store, trace, tmp_path):
    trace.save(tmp_path / "t.safetensors")
    number = store.create(TrainingSettings(seed=7), "mine", text="words")
    points = [Point(0, 0.5, 2.0, 0.25), Point(3, 1.5, 1.0, 0.75)]
    keyframe = (3, [[0.5, 0.25]], pack_frame(trace), (tmp_path / "t.safetensors").read_bytes())
    assert store.record(number, "training", 3, 1.25, points, [keyframe]) == "train"

    again = RunStore(store.path)

    run = again.run(number)
    assert (run.name, run.settings, run.state) == ("mine", TrainingSettings(seed=7), "training")
    assert (run.step, run.seconds, run.ended) == (3, 1.25, False)
    assert again.points(number) == points
    assert again.points(number, after=0) == points[1:]
    (kept,) = again.keyframes(number)
    assert (kept.step, kept.answers, kept.frame.length) == (3, [[0.5, 0.25]], 3)
    assert again.trace(number, 3).calls[0].heads == 2
    assert again.text(number) == "words"


def test_the_newest_run_comes_first_and_is_called_after_its_settings(store):
    store.create(TrainingSettings())
    store.create(TrainingSettings(attends=False, task="sort"))

    assert [run.name for run in store.runs()] == [
        "sort · 2 layers without attention · d 64 · seed 0",
        "induction · 2 × 4 heads · d 64 · seed 0",
    ]


def test_a_run_is_renamed_and_deleted_with_all_that_belongs_to_it(store):
    kept, gone = store.create(TrainingSettings()), store.create(TrainingSettings())
    for number in (kept, gone):
        store.record(number, "training", 0, 0, [Point(0, 1, 1, 0)])

    store.rename(kept, "  a\nname ")
    store.delete(gone)

    assert [run.name for run in store.runs()] == ["a name"]
    assert store.points(gone) == []
    assert len(store.points(kept)) == 1
    with pytest.raises(RunStoreError, match=f"there is no run {gone}; it may have been deleted"):
        store.run(gone)


@pytest.mark.parametrize("name", ["", " ", "x" * 81, "\ud800", 7])
def test_a_name_that_is_none_is_refused(store, name):
    number = store.create(TrainingSettings())
    with pytest.raises(ValueError, match="a run's name must"):
        store.rename(number, name)


def test_a_request_is_returned_when_the_training_writes(store):
    number = store.create(TrainingSettings())
    store.request(number, "pause")
    assert store.record(number, "training", 1, 0) == "pause"

    store.delete(number)

    assert store.record(number, "training", 2, 0) == "stop"


def test_an_end_is_not_written_over(store):
    number = store.create(TrainingSettings())
    store.end(number, "done")
    store.end(number, "failed", "too late")

    assert (store.run(number).state, store.run(number).reason) == ("done", "")


def test_a_training_silent_for_long_is_interrupted_and_a_waiting_one_is_not(store):
    number = store.create(TrainingSettings())
    assert store.run(number).state == "waiting"

    change(store, "UPDATE runs SET heard = ?", time.time() - 3600)

    assert store.run(number).state == "interrupted"
    assert store.run(number).ended


def test_the_number_of_stored_runs_is_limited(store, monkeypatch):
    monkeypatch.setattr("attnpanel.training.store.MAX_RUNS", 2)
    store.create(TrainingSettings())
    store.create(TrainingSettings())

    with pytest.raises(RunStoreError, match=r"the store holds 2 runs, .* delete some first"):
        store.create(TrainingSettings())


def test_a_full_disk_is_reported_and_the_store_is_unchanged(store, monkeypatch):
    number = store.create(TrainingSettings())
    pages = 0

    def limited(*arguments, **options):
        database = connect(*arguments, **options)
        database.execute(f"PRAGMA max_page_count = {pages}")
        return database

    connect = sqlite3.connect
    monkeypatch.setattr("attnpanel.training.database.sqlite3.connect", limited)
    pages = 1  # SQLite takes it for as many as there are
    points = [Point(step, 1, 1, 1) for step in range(5000)]

    with pytest.raises(OSError, match=r"runs\.sqlite3 cannot be used: database or disk is full"):
        store.record(number, "training", 5, 1, points)

    assert (store.run(number).step, store.points(number)) == (0, [])


def test_a_file_that_holds_no_runs_is_refused_and_left_as_it_is(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database, " * 100)
    with pytest.raises(RunStoreError, match=r"notes\.txt is no store of runs"):
        RunStore(text)
    assert text.read_text().startswith("not a database")

    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as database, database:
        database.execute("CREATE TABLE recipes (x)")
    database.close()
    with pytest.raises(RunStoreError, match="of another program"):
        RunStore(other)


def test_runs_of_another_version_are_an_error(store):
    change(store, "PRAGMA user_version = 9")

    with pytest.raises(RunStoreError, match="another version of attnpanel"):
        RunStore(store.path)


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        RunStore(tmp_path / "file" / "runs.sqlite3")


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("UPDATE runs SET state = ?", "<script>"),
        ("UPDATE runs SET settings = ?", '{"task": "induction"}'),
        ("UPDATE runs SET settings = ?", "[" * 9000),
        ("UPDATE runs SET step = ?", "many"),
        ("UPDATE runs SET heard = ?", "never"),
    ],
)
def test_a_damaged_row_is_one_clear_error(store, sql, value):
    store.create(TrainingSettings())
    change(store, sql, value)

    with pytest.raises(
        RunStoreError, match=r"run 1 is damaged \(.+\); `attnpanel runs --delete 1`"
    ):
        store.runs()
    store.delete(1)
    assert store.runs() == []


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("UPDATE pictures SET answers = ?", "{}"),
        ("UPDATE pictures SET answers = ?", "[[1], [null]]"),
        ("UPDATE pictures SET answers = ?", "not json"),
        ("UPDATE pictures SET frame = ?", b"xx"),
        ("UPDATE pictures SET frame = ?", None),
        ("UPDATE pictures SET frame = ?", "text"),
    ],
)
def test_a_damaged_keyframe_is_one_clear_error(store, trace, sql, value):
    number = store.create(TrainingSettings())
    store.record(number, "training", 0, 0, (), [(0, [], pack_frame(trace), b"no trace")])
    if value is None:
        sql, value = "UPDATE pictures SET frame = zeroblob(?)", 3
    change(store, sql, value)

    with pytest.raises(RunStoreError, match="run 1 is damaged"):
        store.keyframes(number)
    with pytest.raises(ValueError, match="run 1, step 0"):
        store.trace(number, 0)


def test_runs_are_stored_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("ATTNPANEL_RUNS", str(tmp_path / "a.db"))
    assert default_path() == tmp_path / "a.db"

    monkeypatch.delenv("ATTNPANEL_RUNS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("os.name", "posix")
    assert default_path() == tmp_path / "attnpanel" / "runs.sqlite3"


@pytest.mark.posix
def test_a_new_store_can_be_read_by_its_owner_alone(store):
    assert store.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.posix
def test_a_store_that_is_there_keeps_its_permissions(store):
    store.path.chmod(0o640)
    RunStore(store.path)
    assert store.path.stat().st_mode & 0o777 == 0o640


@pytest.fixture
def locked(store):
    """Keep the file locked as another program does that has not ended its transaction."""
    with closing(sqlite3.connect(store.path)) as other, other:
        other.execute("BEGIN EXCLUSIVE")
        yield other
        other.rollback()


def test_a_locked_store_is_tried_once_in_two_seconds_and_loses_nothing(store, locked, monkeypatch):
    opened = []
    connect = sqlite3.connect

    def counted(*arguments, **options):
        opened.append(options)
        return connect(*arguments, **options)

    now = time.monotonic()
    monkeypatch.setattr("attnpanel.training.store.time.monotonic", lambda: now)
    monkeypatch.setattr("attnpanel.training.database.sqlite3.connect", counted)
    with pytest.raises(OSError, match=r"runs\.sqlite3 are in use by another program"):
        RunStore(store.path, wait_s=0.01)
    locked.rollback()
    impatient = RunStore(store.path, wait_s=0.01)
    locked.execute("BEGIN EXCLUSIVE")
    opened.clear()

    for _ in range(50):  # as many visitors
        with pytest.raises(OSError, match="are in use by another program"):
            impatient.runs()
    assert opened == [{"timeout": 0.01}]

    locked.rollback()
    with pytest.raises(OSError, match="in use"):
        impatient.create(TrainingSettings())
    now += 3
    number = impatient.create(TrainingSettings())
    assert [run.id for run in impatient.runs()] == [number]
