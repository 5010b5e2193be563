"""What the lab's page and report give of a run's weights, and what they say without them."""

import base64
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest

from attnpanel.pages.lab import report
from attnpanel.pages.lab.run_summary import kept_weights, live_info
from attnpanel.training.live_weights import MAX_BYTES, weight_layout
from attnpanel.training.records import Checkpoint
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.tasks import TASK_NAMES, TASKS, make_task


def ask(page, run, step):
    page._on_replay(SimpleNamespace(data={"weights_request": run, "weights_step": step}))


@pytest.fixture
def keep(store):
    """Keep weights of 0 at some steps of a run."""

    def keep(number, *steps):
        settings = store.run(number).settings
        weights = bytes(weight_layout(settings, make_task(settings.task))[1])
        kept = [Checkpoint(step, 0.25, weights) for step in steps]
        store.record(number, "training", max(steps), 0, checkpoints=kept)
        return weights

    return keep


@pytest.fixture
def sent(page, monkeypatch):
    """What is sent to the page."""
    got = []
    monkeypatch.setattr(page.replay, "_send_msg", got.append)
    return got


def test_the_page_says_where_weights_are_kept_as_they_come(page, add, keep, store):
    number = add("one")
    page.refresh()
    assert page.replay.kept == {
        "run": number,
        "steps": [],
        "reason": "A sequence can be typed here once the first weights of this run are kept.",
    }

    keep(number, 0, 3)
    page.refresh()

    assert page.replay.kept == {"run": number, "steps": [0, 3], "reason": ""}
    store.end(number, "done")
    keep(number, 7)  # as a training does before its end
    store.end(number, "done")
    page.refresh()
    assert page.replay.kept["steps"] == [0, 3, 7]


def test_an_ended_run_without_weights_says_why_nothing_can_be_typed(add, store):
    number = add("old", state="done")
    store.end(number, "done")
    reason = kept_weights(store, store.run(number))["reason"]
    assert reason.startswith("Nothing can be typed here: no weights of this run are kept.")


def test_weights_are_sent_when_the_page_asks(page, add, keep, sent):
    number = add("one")
    weights = keep(number, 0, 3)
    page.refresh()
    assert sent == []

    ask(page, number, 3)

    assert sent == [{"run": number, "step": 3, "error": 0.25, "weights": weights}]


@pytest.mark.parametrize(
    ("run", "step"), [(1, 1), (2, 0), (0, 0), ("1", 0), (1, "0"), (1, None), (1, [0]), (None, 0)]
)
def test_weights_that_are_not_kept_or_not_followed_are_not_sent(page, add, keep, sent, run, step):
    keep(add("one"), 0)
    page.refresh()
    ask(page, run, step)
    assert sent == []


def test_damaged_weights_are_refused_with_the_reason(page, add, keep, sent, store):
    number = add("one")
    keep(number, 0)
    page.refresh()
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute("UPDATE checkpoints SET weights = ?", (b"abc",))
    database.close()

    ask(page, number, 0)

    (message,) = sent
    assert (message["run"], message["step"]) == (number, 0)
    assert "bytes; got 3" in message["problem"]


def test_a_report_holds_the_weights_of_the_followed_run(add, keep, store, monkeypatch):
    followed, other = add("one"), add("two")
    weights = keep(followed, 0, 3)
    keep(other, 0)
    made = []
    monkeypatch.setattr(
        report, "TrainingReplay", lambda **options: made.append(options) or _Replay(**options)
    )

    report.render_training_report(store, [followed, other], None, "", followed)

    (options,) = made
    assert options["kept"]["steps"] == [0, 3]
    assert [each["step"] for each in options["weights"]] == [0, 3]
    assert base64.b64decode(options["weights"][1]["weights"]) == weights


_Replay = report.TrainingReplay


def test_a_report_grows_by_at_most_four_megabytes(keep, store, tmp_path):
    number = store.create(TrainingSettings())
    path = report.save_training_report(store, [number], tmp_path / "without.html")
    before = path.stat().st_size
    keep(number, *range(MAX_BYTES // 208_640))

    path = report.save_training_report(store, [number], tmp_path / "with.html")

    assert 3_800_000 < path.stat().st_size - before <= 4_010_000


@pytest.mark.parametrize("task", TASKS, ids=TASK_NAMES)
def test_each_task_offers_examples_of_its_own(task):
    about = live_info(TrainingSettings(task=task.name), task)

    sequences = [tuple(preset["ids"]) for preset in about["presets"]]
    assert len(set(sequences)) == len(sequences) >= 3
    for preset in about["presets"]:
        assert 1 <= len(preset["ids"]) <= task.length
        assert set(preset["ids"]) <= set(range(len(task.vocabulary)))
        # What can be known is the token after such a position, which must be in the sequence.
        assert all(position + 1 < len(preset["ids"]) for position in preset["scored"])
    assert len(about["labels"]) == len(about["vocabulary"]) == len(task.vocabulary)


def test_the_beginning_of_an_example_ends_where_its_answer_starts():
    task = make_task("copy")
    presets = live_info(TrainingSettings(task="copy"), task)["presets"]
    beginning = presets[-1]["ids"]
    assert [task.vocabulary[token] for token in beginning][-1] == "|"
    assert len(beginning) == 9
    assert presets[0]["scored"] == list(range(8, 15))
