"""HeadReading: the numbers of all heads, computed when the page asks for them."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
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


def wait_until(reading, condition):
    """Return once the card holds what it should: what works beside it writes into it."""
    there = threading.Event()
    watcher = reading.component.param.watch(
        lambda *_: there.set() if condition() else None, ["numbers", "measuring", "runs"]
    )
    assert condition() or there.wait(60)
    reading.component.param.unwatch(watcher)


def test_importance_is_measured_when_it_is_asked_for_and_is_one_more_map(reading):
    def measure(trace, tell):
        tell(0.25, "Knocking out")
        trace.head_importance = [np.full(3, 0.5), np.full(3, 0.125)]

    said = []
    reading.component.param.watch(lambda event: said.append(event.new), "measuring")
    ask(reading, {"maps": 1})
    reading.offer(measure)
    assert reading.component.runs == 6

    ask(reading, {"measure": True})
    wait_until(reading, lambda: len(reading.component.numbers["maps"]) == 8)

    values = reading.component.numbers["values"]
    assert values["1"][-1] == [[0.5] * 3, [0.125] * 3]
    assert {"fraction": 0.25, "text": "Knocking out"} in said
    assert (reading.component.runs, reading.component.measuring) == (0, {})


def test_without_a_model_nothing_is_measured(reading):
    ask(reading, {"measure": True})

    assert (reading.component.runs, reading.component.measuring) == (0, {})


def test_what_a_model_raises_is_said(reading):
    def measure(_trace, _tell):
        raise ValueError("no such module")

    reading.offer(measure)
    ask(reading, {"measure": True})
    wait_until(reading, lambda: "No such module." in reading.component.measuring.get("text", ""))

    assert reading.component.runs == 6


def test_who_stops_it_or_goes_to_another_trace_ends_it(reading):
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def measure(trace, tell):
        begun.set()
        go_on.wait(60)
        try:
            tell(0.5, "on")
        finally:
            ended.set()
        trace.head_importance = [np.zeros(3), np.zeros(3)]

    reading.offer(measure)
    ask(reading, {"measure": True})
    assert begun.wait(60)
    ask(reading, {"measure": False})
    go_on.set()

    assert ended.wait(60)
    assert reading.component.measuring == {}
    assert reading.state.trace.head_importance is None
