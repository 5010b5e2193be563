"""The lab's page: the list of runs, their curves, the replay, and who may change what."""

import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest

from attnpanel.pages.lab.curves import COLOURS
from attnpanel.pages.lab.page import LabPage
from attnpanel.pages.lab.run_summary import NO_BREAK, replay_info, run_status
from attnpanel.pages.lab.session import lab_page
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.training.settings import TrainingSettings


def press(page, action, run, **more):
    page._on_list(SimpleNamespace(data={"do": action, "run": run, **more}))


def row(page, run):
    return next(row for row in page.list.runs if row["id"] == run)


def lines(page, chart, part="lines"):
    return page.plots[chart]._sources[part].data


@pytest.fixture
def sent_frames(page, monkeypatch):
    """The frames sent to the page: (run, step, whether more follow)."""
    got = []
    monkeypatch.setattr(
        page.replay,
        "send_frame",
        lambda run, picture, *, more: got.append((run, picture.step, more)),
    )
    return got


def test_a_page_without_runs_says_what_it_will_show(page):
    assert page.list.runs == []
    assert list(page.replay.about) == ["empty"]
    assert (page._no_curves.visible, page._charts.visible) == (True, False)
    assert not page.notice.visible


def test_the_curves_of_the_newest_runs_are_drawn_each_in_its_colour(trainings, add):
    numbers = [add(name, attends=name != "base") for name in ("old", "base", "new", "newest")]

    page = LabPage(trainings)

    assert [row(page, number)["shown"] for number in numbers] == [False, True, True, True]
    shown = lines(page, "loss")
    assert shown["xs"] == [[0, 3], [0, 3]]
    assert shown["ys"] == [[1, 4], [1, 4]]
    assert len({*shown["color"], *lines(page, "loss", "dashed")["color"]}) == 3
    assert shown["width"][1] > shown["width"][0]  # the followed run
    # The best head's weight on the answer; the baseline has none.
    assert lines(page, "answer")["ys"] == [[0.25, 0.25], [0.25, 0.25]]
    assert lines(page, "answer", "dashed")["ys"] == []
    assert lines(page, "loss", "points")["text"][1] == "step 3: 4.000"
    assert page.plots["loss"].figure.x_range.end == 30


def test_the_accuracy_of_a_run_is_shown_without_its_curves(page, add):
    number = add("one", state="done", accuracy=0.75)
    page.refresh()
    press(page, "show", number, on=False)

    assert row(page, number)["words"] == f"#1 · done · step 3 of 30 · accuracy 0.75 · 2{NO_BREAK}s"
    assert lines(page, "loss")["xs"] == []


def test_an_ended_run_that_is_not_drawn_shows_its_accuracy_and_can_be_drawn(trainings, add):
    old, *_ = [add(name, state="done") for name in ("old", "b", "c", "d")]
    page = LabPage(trainings)
    assert "accuracy 0.25" in row(page, old)["words"]

    press(page, "show", old, on=True)

    assert len(lines(page, "loss")["xs"]) == 4


def test_new_points_and_frames_are_drawn_at_the_next_refresh(page, add, sent_frames):
    number = add("one", steps=(0,))
    page.refresh()
    page._on_replay(SimpleNamespace(data={"frames_request": number}))

    add.more(number, (6, 15), accuracy=0.75)
    page.refresh()

    assert lines(page, "accuracy")["ys"] == [[0.25, 0.75, 0.75]]
    assert lines(page, "answer")["ys"] == [[0.25, 0.25, 0.5]]
    assert row(page, number)["progress"] == 0.5
    assert row(page, number)["words"] == (
        f"#1 · training · step 15 of 30 · accuracy 0.75 · 2{NO_BREAK}s · about 2{NO_BREAK}s left"
    )
    assert sent_frames == [(number, 0, False), (number, 6, True), (number, 15, False)]


def test_curves_that_failed_to_draw_are_drawn_at_the_next_refresh(page, add, monkeypatch):
    add("one")
    plot = page.plots["accuracy"]
    with monkeypatch.context() as broken:
        broken.setattr(plot, "write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            page.refresh()

    page.refresh()

    assert lines(page, "accuracy")["xs"] == [[0, 3]]
    assert (page._no_curves.visible, page._charts.visible) == (False, True)


def test_a_press_refreshes_the_page_under_the_document_lock(page, add, monkeypatch):
    number = add("one")
    page.refresh()
    scheduled = []
    monkeypatch.setattr(
        "panel.state.execute", lambda call, schedule: scheduled.append((call, schedule))
    )

    press(page, "show", number, on=False)

    assert scheduled == [(page.refresh, True)]


def test_a_trace_is_offered_while_a_frame_is_shown(page, add):
    add("one")
    page.refresh()
    assert not page._trace.visible

    page.replay.step = 0
    assert page._trace.visible
    page.replay.step = -1
    assert not page._trace.visible


def test_no_frames_are_sent_before_the_page_asks(page, add, sent_frames):
    add("one")
    page.refresh()
    page.refresh()

    assert sent_frames == []


def test_following_another_run_restarts_the_replay(page, add, sent_frames):
    first, second = add("first"), add("second")
    page.refresh()
    page._on_replay(SimpleNamespace(data={"frames_request": second}))
    sent_frames.clear()

    press(page, "follow", first)
    page.refresh()
    assert page.replay.about["run"] == first
    assert sent_frames == []
    page._on_replay(SimpleNamespace(data={"frames_request": first}))

    assert sent_frames == [(first, 0, True), (first, 3, False)]
    assert row(page, first)["followed"]
    assert not row(page, second)["followed"]


def test_a_run_is_hidden_paused_renamed_and_deleted(page, store, add):
    number = add("one")
    page.refresh()
    assert row(page, number)["can"] == ["pause", "stop", "rename"]

    press(page, "show", number, on=False)
    assert lines(page, "loss")["xs"] == []
    press(page, "show", number, on=True)
    assert lines(page, "loss")["xs"] == [[0, 3]]
    press(page, "pause", number)
    assert store.run(number).requested == "pause"
    assert "pausing" in row(page, number)["words"]
    press(page, "rename", number, name="other")
    assert row(page, number)["name"] == "other"
    assert lines(page, "loss", "points")["name"] == ["#1 other", "#1 other"]
    assert page._about.subtitle == "#1 other"
    store.end(number, "stopped")
    page.refresh()
    assert row(page, number)["can"] == ["rename", "delete"]
    press(page, "delete", number)
    assert page.list.runs == []
    assert list(page.replay.about) == ["empty"]
    assert lines(page, "loss")["xs"] == []


def test_a_run_that_another_tab_deletes_disappears(trainings, add, store):
    kept, gone = add("kept"), add("gone")
    one, other = LabPage(trainings), LabPage(trainings)

    press(one, "delete", gone)
    press(other, "pause", gone)
    other.refresh()

    assert [run["id"] for run in other.list.runs] == [kept]
    assert other.replay.about["run"] == kept
    assert not other.notice.visible


def test_a_run_keeps_its_colour_whatever_else_is_drawn(page, add):
    one, other = add("one"), add("other")
    page.refresh()
    before = row(page, other)["colour"]

    press(page, "show", one, on=False)
    press(page, "show", other, on=False)
    press(page, "show", other, on=True)

    assert row(page, other)["colour"] == before == COLOURS[other - 1]


def test_runs_that_share_a_default_colour_get_and_keep_different_ones(page, add):
    numbers = [add(f"run {index}") for index in range(9)]
    page.refresh()
    for number in numbers[1:8]:
        press(page, "show", number, on=False)
    press(page, "show", numbers[0], on=True)
    press(page, "show", numbers[8], on=True)
    first, last = (row(page, numbers[place])["colour"] for place in (0, 8))
    assert first != last

    for name in ("colours", "again"):
        press(page, "show", numbers[8], on=False)
        press(page, "show", numbers[8], on=True)
        assert row(page, numbers[8])["colour"] == last, name


def test_only_the_browser_that_started_a_run_can_change_it(trainings, store):
    mine, other = (LabPage(trainings, shared=False) for _ in range(2))
    mine.visitor.key, other.visitor.key = "a" * 32, "b" * 32
    mine._start(TrainingSettings(), None)
    for page in (mine, other):
        page.refresh()

    for what in ("pause", "stop", "delete"):
        press(other, what, 1)
    press(other, "rename", 1, name="theirs")
    assert [(run.name, run.requested) for run in store.runs()] == [
        (TrainingSettings().title, "train")
    ]
    assert row(other, 1)["can"] == []
    press(other, "show", 1, on=False)
    assert not row(other, 1)["shown"]

    assert row(mine, 1)["can"] == ["stop", "rename"]
    press(mine, "stop", 1)
    assert store.run(1).requested == "stop"
    assert "a" * 32 not in store.run(1).owner


def test_nobody_can_change_a_run_from_the_shell_on_an_unshared_server(trainings, add, store):
    add("one")
    page = LabPage(trainings, shared=False)
    assert row(page, 1)["can"] == []

    page.visitor.key = "short"
    press(page, "delete", 1)

    assert len(store.runs()) == 1


def test_the_model_is_offered_once_the_run_has_ended(page, add, store):
    number = add("one")
    page.refresh()
    assert not page._model.visible

    store.save_model(number, 3, b"weights")
    store.end(number, "done")
    page.refresh()

    assert page._model.visible
    assert page._make_model() == b"weights"


def test_at_most_as_many_curves_as_there_are_colours(page, add):
    numbers = [add(f"run {index}") for index in range(10)]
    page.refresh()
    for number in numbers:
        press(page, "show", number, on=True)

    assert [row(page, number)["shown"] for number in numbers] == [False] * 2 + [True] * 8


@pytest.mark.parametrize(
    "data",
    [
        None,
        "stop",
        {},
        {"do": "stop"},
        {"do": "stop", "run": "1"},
        {"do": "stop", "run": True},
        {"do": "stop", "run": 99},
        {"do": "fly", "run": 1},
        {"do": ["stop"], "run": 1},
        {"do": "rename", "run": 1, "name": "x" * 500},
        {"frames_request": 99},
    ],
)
def test_invalid_messages_change_no_run(page, store, add, data):
    add("one")
    page.refresh()

    page._on_list(SimpleNamespace(data=data))
    page._on_replay(SimpleNamespace(data=data))

    assert [(run.name, run.requested) for run in store.runs()] == [("one", "train")]


def test_a_started_run_is_followed(page, trainings):
    page.form.start()

    assert trainings.started == [(TrainingSettings(), None)]
    assert row(page, 1)["followed"]
    assert page.replay.about["steps"] == 600
    assert not page.form.problem.visible


def test_a_damaged_store_is_reported_until_it_works_again(page, store, add):
    number = add("one")
    page.refresh()

    def write(state):
        with closing(sqlite3.connect(store.path)) as database, database:
            database.execute("UPDATE runs SET state = ?", (state,))
        database.close()

    write("<script>")
    page.refresh()
    assert page.notice.visible
    assert page.notice.text.startswith(f"Run {number} is damaged")

    write("done")
    page.refresh()
    assert not page.notice.visible


def test_a_file_that_is_no_store_gives_a_page_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("panel.state.cache", {})
    path = tmp_path / "notes.txt"
    path.write_text("no runs at all " * 100)

    view = lab_page(ServerSettings(runs=path))

    texts = [part.text for part in view.select() if hasattr(part, "text")]
    assert any("is no store of runs" in text for text in texts)


def test_the_replay_knows_the_example_and_the_positions_of_its_answers(store, add):
    about = replay_info(store.run(add("one")), None)

    tokens = about["tokens"]
    assert len(tokens) == 32
    for query, key in about["answers"][:5]:
        # What follows the symbol now is what stood at the answer's place, one after it before.
        assert tokens[key - 1] == tokens[query] or key == 0
    assert "baseline" in replay_info(store.run(add("base", attends=False)), None)["empty"]


def test_the_status_of_a_failed_run_has_the_reason(store, add):
    number = add("one")
    store.end(number, "failed", "the loss is no number any more")

    status = run_status(store.run(number), None)

    assert status.startswith("#1 · failed · step 3 of 30")
    assert status.endswith(". The loss is no number any more.")
