"""HeadMapsBridge: the numbers of all heads, computed when the page asks for them."""

from __future__ import annotations

import threading
from queue import Queue
from types import SimpleNamespace

import numpy as np
import pytest

from attnpanel.explorer.head_metrics import HeadMapsBridge
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views.head_maps import head_maps
from tests.hand_made import call, trace_of


@pytest.fixture
def reading():
    return HeadMapsBridge(ExplorerState(trace_of(call(0, batch=2), call(1, batch=2))), "x")


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
        lambda *_: there.set() if condition() else None, ["numbers", "measuring", "heads"]
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
    assert reading.component.heads == 6

    ask(reading, {"measure": True})
    wait_until(reading, lambda: len(reading.component.numbers["maps"]) == 8)

    values = reading.component.numbers["values"]
    assert values["1"][-1] == [[0.5] * 3, [0.125] * 3]
    assert {"fraction": 0.25, "text": "Knocking out"} in said
    assert (reading.component.heads, reading.component.measuring) == (0, {})


def test_without_a_model_nothing_is_measured(reading):
    ask(reading, {"measure": True})

    assert (reading.component.heads, reading.component.measuring) == (0, {})


def test_what_a_model_raises_is_said(reading):
    def measure(_trace, _tell):
        raise ValueError("no such module")

    reading.offer(measure)
    ask(reading, {"measure": True})
    wait_until(reading, lambda: "No such module." in reading.component.measuring.get("text", ""))

    assert reading.component.heads == 6
    reading.offer(lambda trace, _tell: setattr(trace, "head_importance", [np.ones(3)] * 2))
    reading.component.measuring = {"text": "Importance can't be measured. No such module."}
    ask(reading, {"measure": True})
    wait_until(reading, lambda: reading.component.heads == 0)


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


@pytest.fixture
def session(monkeypatch):
    """A page's session, whose ticks are run by who takes them."""
    made = SimpleNamespace(session_context=object(), ticks=Queue(), at_its_end=[])
    made.add_next_tick_callback = made.ticks.put
    state = SimpleNamespace(
        curdoc=made,
        on_session_destroyed=made.at_its_end.append,
        onload=lambda act: act(),  # the page stands
    )
    for module in ("explorer.head_metrics", "ui.session_callbacks"):
        monkeypatch.setattr(f"attnpanel.{module}.pn", SimpleNamespace(state=state))
    loop = SimpleNamespace(add_callback=lambda callback: callback())
    at_once = SimpleNamespace(current=lambda **_: loop)
    monkeypatch.setattr("attnpanel.ui.session_callbacks.IOLoop", at_once)
    return made


@pytest.fixture
def reads(monkeypatch):
    """What is computed, and how many at a time; each waits until it may go on."""
    made = SimpleNamespace(batches=[], now=0, most=0)
    made.begun, made.go_on = threading.Event(), threading.Event()

    def slow(trace, batches):
        made.batches += batches
        made.now += 1
        made.most = max(made.most, made.now)
        maps = head_maps(trace, batches)
        made.begun.set()
        assert made.go_on.wait(60)
        made.now -= 1
        return maps

    monkeypatch.setattr("attnpanel.explorer.head_metrics.head_maps", slow)
    return made


def test_a_page_that_asks_again_and_again_is_read_once_and_one_after_another(session, reads):
    reading = HeadMapsBridge(ExplorerState(trace_of(call(0, batch=2), call(1, batch=2))), "x")
    for _ in range(20):
        ask(reading, {"maps": 0})
        ask(reading, {"maps": 1})
    reads.go_on.set()

    for _ in range(2):
        session.ticks.get(timeout=300)()

    assert (reads.batches, reads.most) == ([0, 1], 1)
    assert set(reading.component.numbers["values"]) == {"0", "1"}


def test_a_page_that_is_closed_measures_and_reads_no_more(session, reads):
    reading = HeadMapsBridge(ExplorerState(trace_of(call(0, batch=2), call(1, batch=2))), "x")
    begun, closed, ended = threading.Event(), threading.Event(), threading.Event()

    def measure(_trace, tell):
        begun.set()
        assert closed.wait(60)
        try:
            tell(0.5, "on")
        except ValueError:
            ended.set()

    reading.offer(measure)
    ask(reading, {"measure": True})
    ask(reading, {"maps": 0})
    ask(reading, {"maps": 1})
    assert begun.wait(60)

    (leave,) = session.at_its_end
    leave(None)
    closed.set()
    reads.go_on.set()

    assert ended.wait(60)
    session.ticks.get(timeout=300)()  # what was being read
    assert reads.batches == [0]


def test_numbers_begun_before_importance_was_known_do_not_take_it_away(reading):
    serial = reading.component.numbers["trace"]
    early = head_maps(reading.state.trace)
    reading.state.trace.head_importance = [np.full(3, 0.5), np.full(3, 0.125)]
    late = head_maps(reading.state.trace, [0])

    reading._take(serial, late)
    reading._take(serial, early)

    assert len(reading.component.numbers["maps"]) == 8
    assert reading.component.numbers["values"] == late["values"]


def test_a_sequence_that_is_read_while_importance_is_measured_has_it_afterwards(session, reads):
    reading = HeadMapsBridge(ExplorerState(trace_of(call(0, batch=2), call(1, batch=2))), "x")
    ask(reading, {"maps": 0})
    assert reads.begun.wait(60)
    reading.state.trace.head_importance = [np.full(3, 0.5), np.full(3, 0.125)]
    reading._measured(None)
    reads.go_on.set()

    for _ in range(2):
        session.ticks.get(timeout=300)()

    assert len(reading.component.numbers["values"]["0"]) == 8
