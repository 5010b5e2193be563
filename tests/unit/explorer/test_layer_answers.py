"""LayerAnswers: what Python says of layers too large for a page, beside the whole computation."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from attnpanel.analysis import entropy, mean_distance, rollout
from attnpanel.explorer import layer_answers
from attnpanel.explorer.layer_answers import LayerAnswers
from attnpanel.explorer.selection import overview_tile, pool, select, value_colours
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.transport import choices_of
from attnpanel.explorer.weight_scales import round_up
from attnpanel.ui.session_callbacks import SessionScheduler
from tests.hand_made import call, recorded, trace_of
from tests.unit.explorer.layer_questions import CAUSAL, asked

LONG = 2 * 512 + 3


def whole(one, head=0, *, batch=0):
    """The selection under CAUSAL."""
    seen = np.tri(one.query_len, one.key_len, dtype=bool) if one.live else None
    return select(one, head, batch, mask=seen, temperature=0.5, empty_rows="zero")


def cells(heatmap, name="values"):
    return np.frombuffer(heatmap[name], np.float32).reshape(heatmap["rows"], heatmap["columns"])


@pytest.mark.parametrize("aggregate", [False, True])
@pytest.mark.parametrize(
    "one", [call(0, batch=2), call(0, kv_heads=1, batch=2), recorded(0, batch=2)]
)
def test_a_row_is_that_of_the_whole_matrix(one, aggregate):
    choices = {"batch": 1, "head": 2, "aggregate": aggregate, "query_index": 3}
    row = asked(trace_of(one), "row", **choices, **(CAUSAL if one.live else {}))

    expected = whole(one, None if aggregate else 2, batch=1)
    np.testing.assert_array_equal(np.frombuffer(row["weights"], np.float32), expected.weights[3])
    np.testing.assert_array_equal(np.frombuffer(row["visible"], np.uint8), expected.visible[3])
    if one.live:
        np.testing.assert_array_equal(np.frombuffer(row["scores"], np.float32), expected.scores[3])
    else:
        assert row["scores"] is None


def test_the_matrices_are_pooled_and_masked_cells_unknown():
    one = call(0, heads=2, query_len=LONG)
    answer = asked(trace_of(one), "matrices", head=1, **CAUSAL)

    expected = whole(one, 1)
    heatmaps = answer["heatmaps"]
    for name, matrix in (("scores", expected.scores), ("weights", expected.weights)):
        shown = np.where(expected.visible, matrix, np.nan)
        np.testing.assert_array_equal(cells(heatmaps[name]), pool(shown, 512, 512))
    np.testing.assert_array_equal(cells(heatmaps["output"]), pool(expected.output, 512, 512))
    assert heatmaps["scores"]["high"] == round_up(np.abs(expected.scores).max())
    assert heatmaps["weights"]["high"] == 1
    assert heatmaps["output"]["high"] == round_up(np.abs(one.value[0, 1]).max())
    assert (answer["T"], answer["S"]) == (LONG, LONG)
    assert not np.frombuffer(answer["empty"], np.uint8).any()


def test_what_is_on_screen_is_answered_cell_by_cell():
    one = call(0, heads=2, query_len=LONG)
    answer = asked(trace_of(one), "matrices", viewport=[99.7, 130.2, 400.4, 420.1], **CAUSAL)

    expected = whole(one)
    shown = np.where(expected.visible, expected.weights, np.nan)[400:421, 100:131]
    np.testing.assert_array_equal(cells(answer["heatmaps"]["weights"]), shown)


def test_a_scale_per_row_has_the_exact_weights_beside_it():
    one = call(0)
    answer = asked(trace_of(one), "matrices", weight_scale="per row", skip_first=True, **CAUSAL)

    weights = np.where(np.tri(5, dtype=bool), whole(one).weights, np.nan)
    heatmap = answer["heatmaps"]["weights"]
    np.testing.assert_array_equal(cells(heatmap, "exact"), weights)
    relative = weights[1:] / np.nanmax(weights[1:, 1:], axis=1, keepdims=True)
    np.testing.assert_allclose(cells(heatmap)[1:], relative, rtol=1e-6)
    assert (answer["first"], heatmap["high"]) == (1, 1)


def test_a_rollout_is_the_row_of_the_layers_that_are_asked_for():
    trace = trace_of(*(call(at, heads=2, query_len=7) for at in range(3)))
    answer = asked(trace, "rollout", layers=(0, 2), layer=2, query_index=4, temperature=9.0)

    row = np.frombuffer(answer["row"])
    np.testing.assert_allclose(row, rollout(trace, layers=[0, 2])[4], atol=1e-12)


def test_empty_rows_are_named():
    answer = asked(trace_of(call(0)), "matrices", mask="padding", pad_len=3)

    assert np.frombuffer(answer["empty"], np.uint8).tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("head", [1, None])
def test_colours_are_those_of_the_values(head):
    one = call(0)
    answer = asked(trace_of(one), "colours", head=head or 0, aggregate=head is None, color_seed=3)

    expected = value_colours(one, head, 0, seed=3)
    np.testing.assert_array_equal(np.frombuffer(answer["colours"]), expected.ravel())
    assert asked(trace_of(recorded(0)), "colours")["colours"] is None


def test_numbers_are_those_of_the_whole_matrix():
    one = call(0)
    weights = whole(one, 1).weights

    answer = asked(trace_of(one), "numbers", head=1, **CAUSAL)
    assert (answer["entropy"], answer["distance"]) == (entropy(weights), mean_distance(weights))
    measured = answer["measured"]["entropy"]
    rows = [entropy(row[None]) for row in weights]
    np.testing.assert_allclose(np.frombuffer(measured["entropy"]), rows, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(np.frombuffer(measured["seen"]), np.arange(1, 1 + len(rows)))
    assert asked(trace_of(call(0, key_len=7)), "numbers")["distance"] is None


def test_positions_come_as_a_list():
    answer = asked(trace_of(call(0)), "numbers", mask="documents", starts=[2])

    np.testing.assert_array_equal(
        np.frombuffer(answer["measured"]["entropy"]["seen"]), [2, 2, 3, 3, 3]
    )


def test_the_tiles_of_the_layers_asked_for():
    calls = [call(0), call(1, heads=2, query_len=LONG), recorded(2)]
    answer = asked(trace_of(*calls), "tiles", layers=[1, 2])

    places = answer["tiles"]
    assert [place[:2] for place in places] == [[1, 0], [1, 1], [2, 0], [2, 1], [2, 2]]
    start = 0
    for layer, head, rows, columns in places:
        made = np.frombuffer(answer["values"], np.float32, rows * columns, start)
        options = {"mask": None, "temperature": 1.0, "empty_rows": "zero"}
        expected = overview_tile(calls[layer], head, 0, **options)
        np.testing.assert_array_equal(made.reshape(rows, columns), expected)
        start += made.nbytes
    assert start == len(answer["values"])


# -- who asks what, and when ----------------------------------------------------------------


class Served:
    """Stands for the way to a served page: questions are answered in a thread."""

    served = True

    def __call__(self, action):
        action()


class Slow:
    """Answers that are held up at their first row until `go` is set."""

    def __init__(self, monkeypatch):
        self.heard: list[tuple[str, int]] = []
        self.started, self.go, self.rest = (threading.Event() for _ in range(3))
        row = LayerAnswers._row

        def slow(answers, question):
            self.started.set()
            assert self.go.wait(60)
            return row(answers, question)

        monkeypatch.setattr(LayerAnswers, "_row", slow)
        self.answers = LayerAnswers(trace_of(call(0)), Served(), self.hear)
        self.state = choices_of(ExplorerState(trace_of(call(0))))
        self.ask("row", 1)
        assert self.started.wait(60)

    def ask(self, kind, number, **choices):
        state = self.state | choices
        self.answers.ask({"kind": kind, "id": number, "layers": [0], "state": state})

    def hear(self, answer):
        self.heard.append((answer["kind"], answer["id"]))
        if answer["kind"] == "tiles":
            self.rest.set()

    def all_heard(self):
        self.go.set()
        assert self.rest.wait(60)
        return self.heard


def test_what_the_reader_looks_at_is_answered_before_the_overview(monkeypatch):
    slow = Slow(monkeypatch)
    slow.ask("tiles", 2)
    slow.ask("matrices", 3)

    assert slow.all_heard() == [("row", 1), ("matrices", 3), ("tiles", 2)]


def test_a_newer_question_of_a_kind_takes_the_older_ones_place(monkeypatch):
    slow = Slow(monkeypatch)
    slow.ask("row", 2)
    slow.ask("matrices", 3)
    slow.ask("matrices", 4)
    slow.ask("tiles", 5)

    assert slow.all_heard() == [("matrices", 4), ("row", 2), ("tiles", 5)]


def test_a_dropped_question_is_not_answered(monkeypatch):
    slow = Slow(monkeypatch)
    slow.ask("matrices", 2)
    slow.answers.drop("matrices")
    slow.answers.drop("row")
    slow.ask("tiles", 3)

    assert slow.all_heard() == [("tiles", 3)]


def test_tiles_make_way_for_others_and_go_on_after_them(monkeypatch):
    heard = []
    trace = trace_of(call(0), call(1))
    answers = LayerAnswers(trace, SessionScheduler(), lambda answer: heard.append(answer["kind"]))
    state = choices_of(ExplorerState(trace))
    made = []

    def tile(call, head, *_, **__):
        made.append((call.index, head))
        if len(made) == 2:  # a reader moves a slider meanwhile
            answers.ask({"kind": "row", "id": 2, "layers": [0], "state": state})
        return np.zeros((1, 1), np.float32)

    monkeypatch.setattr("attnpanel.explorer.state.overview_tile", tile)
    answers.ask({"kind": "tiles", "id": 1, "layers": [0, 1], "state": state})

    assert heard == ["row", "tiles"]
    assert made == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]  # none of them twice


def test_what_cannot_be_computed_is_said():
    trace = trace_of(call(0))
    answer = asked(trace, "row", head=99)

    assert "head" in answer["error"].lower()
    assert len(asked(trace, "row", mask="x" * 10_000)["error"]) <= layer_answers.MAX_ERROR_CHARS
    assert asked(trace, "row", head=1).keys() == {"kind", "id", "weights", "scores", "visible"}
