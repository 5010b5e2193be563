"""The choices in a URL: parsing and restoring."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnpanel.explorer.address import ADDRESS, address_for_page, apply_address
from attnpanel.explorer.state import ExplorerState
from attnpanel.models.toy import toy_trace
from tests.hand_made import call, trace_of, varied_traces
from tests.unit.explorer.test_state import assert_inside

TRACES = varied_traces()
some = settings(max_examples=40, deadline=None)


def test_a_link_written_today_is_read_tomorrow():
    # Links are kept and shared: their names are a promise.
    link = {
        "layer": "1", "head": "1", "mean": "1", "token": "2", "temperature": "0.5",
        "mask": "window", "pad": "2", "window": "4", "align": "bottom_right", "empty": "nan",
        "batch": "1", "paint": "7", "scale": "per row", "nosink": "1",
    }  # fmt: skip
    trace = trace_of(call(0), call(1, batch=2, heads=2, query_len=3, key_len=11))
    state = ExplorerState(trace)

    assert apply_address(state, link) == []

    expected = {
        "layer": 1, "head": 1, "aggregate": True, "query_index": 2, "temperature": 0.5,
        "mask": "window", "pad_len": 2, "window": 4, "align": "bottom_right", "empty_rows": "nan",
        "batch": 1, "color_seed": 7, "weight_scale": "per row", "skip_first": True,
    }  # fmt: skip
    assert {name: getattr(state, name) for name in expected} == expected


HOSTILE = [
    *["-1", "99999999999999999999999", "9" * 5000, "1.5", "1e3", "", " ", "NaN", "None", "true"],
    *["0x1", "</script><img src=x onerror=alert(1)>", "\x00", "٣٣٣٣", "__class__", "1;2", "[1]"],
]


@pytest.mark.parametrize(
    ("short", "text"),
    [
        (short, text)
        for short in ADDRESS
        for text in HOSTILE
        # An empty list of document starts is one document, and of lines all heads.
        if short != "temperature" and not (short in ("starts", "lines") and not text.strip())
    ],
    ids=lambda part: ascii(part)[:24],
)
def test_a_hostile_link_is_one_sentence_and_changes_nothing(short, text):
    if short == "paint" and text in ("1e3", "٣٣٣٣"):
        text = "-7"  # any whole number is a seed
    state = ExplorerState(toy_trace(T=5))
    before = {name: getattr(state, name) for name in ADDRESS.values()}

    (problem,) = apply_address(state, {short: text})

    assert problem.startswith(f"{state.param[ADDRESS[short]].label}: “")
    assert problem.endswith("” does not apply here.")
    assert len(problem) < 100
    assert {name: getattr(state, name) for name in ADDRESS.values()} == before


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "0", "-1", "1e9", "1e-9", "", "one"])
def test_a_temperature_without_meaning_is_refused(text):
    state = ExplorerState(toy_trace(T=5))

    assert apply_address(state, {"temperature": text}) != []
    assert state.temperature == 1.0


@some
@given(st.dictionaries(st.sampled_from([*ADDRESS, "nosuch"]), st.text(max_size=8)))
def test_any_link_leaves_a_state_that_can_be_shown(texts):
    state = ExplorerState(TRACES["layers differ"])

    problems = apply_address(state, texts)

    assert len(problems) <= len(texts)
    assert_inside(state)


def test_the_page_gets_the_table_with_labels_and_options():
    rows = {row["name"]: row for row in address_for_page()}

    assert {name: row["address"] for name, row in rows.items()} == {
        name: short for short, name in ADDRESS.items()
    }
    assert rows["aggregate"] == {
        "address": "mean",
        "name": "aggregate",
        "label": "Mean of heads",
        "options": ["0", "1"],
        "optional": True,
    }
    assert rows["empty_rows"]["options"] == ["zero", "uniform", "nan"]
    # Numbers have bounds, and a trace decides which masks there are.
    assert [rows[name]["options"] for name in ("head", "window", "mask")] == [None] * 3
