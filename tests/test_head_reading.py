"""HeadReading: the numbers of all heads, computed when the page asks for them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from attnpanel.head_reading import HeadReading
from attnpanel.state import ExplorerState
from attnpanel.views.head_maps import head_maps
from tests.hand_made import call, trace_of


@pytest.fixture
def reading():
    return HeadReading(ExplorerState(trace_of(call(0, batch=2), call(1, batch=2))), "x")


def ask(reading, message):
    reading._on_message(SimpleNamespace(data=message))


def test_nothing_is_read_before_somebody_asks(reading):
    assert reading.component.numbers["values"] == {}


def test_each_sequence_is_read_when_it_is_asked_for(reading):
    whole = head_maps(reading.state.trace)
    ask(reading, {"maps": 1})
    assert reading.component.numbers["values"] == {"1": whole["values"]["1"]}

    ask(reading, {"maps": 0})
    assert reading.component.numbers["values"] == whole["values"]


@pytest.mark.parametrize("message", [{"maps": 2}, {"maps": -1}, {"maps": True}, {"maps": "0"}, []])
def test_what_no_page_asks_is_ignored(reading, message):
    ask(reading, message)

    assert reading.component.numbers["values"] == {}


def test_a_file_has_all_from_the_start(reading):
    reading.read_all()

    made = {name: part for name, part in reading.component.numbers.items() if name != "trace"}
    assert made == head_maps(reading.state.trace)


def test_numbers_of_a_trace_that_has_gone_are_dropped(reading):
    before = reading.component.numbers["trace"]
    old = head_maps(reading.state.trace)
    reading.state.trace = trace_of(call(3))
    reading.forget()

    reading._take(before, old)

    assert reading.component.numbers["values"] == {}
    assert reading.component.numbers["trace"] != before
