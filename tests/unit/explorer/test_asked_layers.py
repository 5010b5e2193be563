"""A page asks about the layers of the trace that it shows, and of no other."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from attnpanel.explorer.layer_answers import KINDS
from tests.hand_made import call, recorded, trace_of, with_outputs
from tests.unit.explorer.layer_questions import CAUSAL, asked, question


def say(feed, message):
    feed._on_message(SimpleNamespace(data=message))


def test_the_page_is_answered_about_the_trace_it_shows(feed):
    say(feed, {"ask": question(feed)})
    assert feed.component.answer["id"] == 1

    old = question(feed, id=2)
    feed.state.trace = trace_of(call(2))
    feed.push()
    say(feed, {"ask": old})
    assert feed.component.answer["id"] == 1
    say(feed, {"ask": question(feed, id=3)})
    assert feed.component.answer["id"] == 3


HOSTILE = [
    {"kind": "_work"},
    {"kind": ["row"]},
    {"kind": None},
    {"id": "1"},
    {"id": 1.5},
    {"layers": [2]},
    {"layers": [-1]},
    {"layers": ["0"]},
    {"layers": [0] * 1000},
    {"layers": None},
    {"state": None},
    {"state": 5},
    {"trace": None},
    {"trace": []},
]


@pytest.mark.parametrize("changes", HOSTILE)
def test_a_question_that_is_none_is_not_answered(feed, changes):
    say(feed, {"ask": question(feed, **changes)})

    assert feed.component.answer == {}


@pytest.mark.parametrize("ask", [None, 5, "x", [], {}, {"kind": "row"}])
def test_what_is_no_question_is_ignored(feed, ask):
    say(feed, {"ask": ask})
    say(feed, {"drop": ask})
    say(feed, {"drop": "matrices"})

    assert feed.component.answer == {}


CHOICES = [
    {"head": 10**30},
    {"head": "1"},
    {"query_index": -1},
    {"temperature": float("nan")},
    {"temperature": 0},
    {"mask": "<script>"},
    {"mask": ["causal"]},
    {"window": 10**9, "mask": "window"},
    {"layer": 2},
    {"color_seed": -1},
]


@pytest.mark.parametrize("choices", CHOICES)
def test_choices_that_do_not_exist_are_answered_by_what_is_wrong(feed, choices):
    asked = question(feed)
    say(feed, {"ask": asked | {"state": asked["state"] | choices}})

    assert set(feed.component.answer) == {"kind", "id", "error"}


@pytest.mark.parametrize(
    "viewport", [[0, 1, 2], [0, 1, 2, float("nan")], [0, 1, 2, 1e999], [-9, 0, 1, 2], "x", 5]
)
def test_a_viewport_is_four_finite_numbers(feed, viewport):
    asked = question(feed, kind="matrices")
    say(feed, {"ask": asked | {"state": asked["state"] | {"viewport": viewport}}})

    assert feed.component.answer == {}


def test_every_kind_has_its_answer(feed):
    for kind in KINDS:
        asked = question(feed, kind=kind)
        say(feed, {"ask": asked | {"state": asked["state"] | {"pair": [0, 0]}}})

        assert feed.component.answer["kind"] == kind
        assert "error" not in feed.component.answer


@pytest.mark.parametrize(
    "one",
    [
        call(0, batch=2),
        call(0, batch=2, heads=6, kv_heads=2, bias=np.linspace(-1, 1, 5, dtype=np.float32)),
        call(0, batch=2, values=False),
    ],
    ids=["plain", "shared keys and a bias", "no values"],
)
def test_a_weight_is_explained_as_in_python(one):
    trace = trace_of(one)
    choices = {"batch": 1, "head": 2, "pair": [3, 1], "query_index": 0}
    answer = asked(trace, "why", **choices, **CAUSAL)

    mask = np.tri(5, dtype=bool)
    found = trace.explain(0, 2, 3, 1, batch=1, temperature=0.5, mask=mask)
    query, key = (np.frombuffer(answer[name], np.float64) for name in ("query", "key"))
    np.testing.assert_array_equal(query * key, found.score.products)
    bias = None if answer["bias"] is None else np.frombuffer(answer["bias"], np.float64).item()
    assert (bias is None) == (one.bias is None)
    assert (bias or 0) == found.score.bias
    if one.value is None:
        assert answer["written"] is None
        return
    for name, expected in (
        ("valueNorms", found.written.value_norms),
        ("norms", found.written.norms),
        ("shares", found.written.shares),
        ("output", found.written.output),
    ):
        got = np.frombuffer(answer["written"][name], np.float64)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("temperature", [1, 0.5])
def test_what_is_written_after_the_projection_is_as_in_python(temperature):
    trace = trace_of(with_outputs(call(0, batch=2)))
    answer = asked(trace, "why", batch=1, head=2, pair=[3, 1], temperature=temperature)["outputs"]

    found = trace.explain(0, 2, 3, 1, batch=1, temperature=temperature)
    norms = np.frombuffer(answer["norms"], np.float64)
    np.testing.assert_allclose(norms * found.weights, found.written.projected_norms, rtol=1e-6)
    for got, expected in (
        (answer["pair"], found.promoted.pair),
        (answer["row"], found.promoted.row),
    ):
        assert (got is None) == (expected is None)
        if expected is not None:
            assert [token for token, _ in got] == [token for token, _ in expected]
            np.testing.assert_allclose([x for _, x in got], [x for _, x in expected], rtol=1e-6)
    assert asked(trace_of(call(0)), "why", pair=[3, 1])["outputs"] is None


@pytest.mark.parametrize("pair", [[5, 0], [0, 5], [-1, 0], None])
def test_a_pair_outside_the_layer_is_refused(pair):
    assert "pair must lie in 5 x 5" in asked(trace_of(call(0)), "why", pair=pair)["error"]


def test_a_weight_without_query_and_key_is_refused():
    for one, choices in ((recorded(0), {}), (call(0), {"aggregate": True})):
        answer = asked(trace_of(one), "why", pair=[0, 0], **choices)
        assert answer["error"] == "a pair needs one head with queries and keys"
