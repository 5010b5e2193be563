"""Work of a page in a thread: what it has for the page comes when the page stands, in order."""

from __future__ import annotations

from queue import Queue
from types import SimpleNamespace

import pytest

from attnpanel.page_work import PageWork, ToPage


@pytest.fixture
def session(monkeypatch):
    """A page whose browser has not yet said that it shows it, and whose ticks nobody runs."""
    made = SimpleNamespace(session_context=object(), ticks=Queue(), stands=[])
    made.add_next_tick_callback = made.ticks.put
    state = SimpleNamespace(curdoc=made, onload=made.stands.append)
    monkeypatch.setattr("attnpanel.page_work.pn", SimpleNamespace(state=state))
    return made


def test_what_is_said_before_the_page_stands_waits_and_keeps_its_order(session):
    said, to_page = [], ToPage()
    for word in "one", "two":
        to_page(lambda word=word: said.append(word))
    assert session.ticks.empty()

    (stands,) = session.stands
    stands()
    to_page(lambda: said.append("three"))

    while not session.ticks.empty():
        session.ticks.get()()
    assert said == ["one", "two", "three"]


def test_nothing_is_done_on_a_page_that_is_gone(session):
    to_page = ToPage()
    to_page(lambda: None)
    session.session_context = None
    (stands,) = session.stands

    stands()
    to_page(lambda: None)

    assert session.ticks.empty()


def test_work_that_ends_before_the_page_stands_is_shown_then(session):
    shown = Queue()
    PageWork("attnpanel-test").start(
        lambda tell: tell("begun") or "made", done=shown.put, failed=shown.put, told=shown.put
    )
    (stands,) = session.stands

    stands()
    for _ in range(2):
        session.ticks.get(timeout=60)()

    assert [shown.get_nowait() for _ in range(2)] == ["begun", "made"]


def test_what_a_page_asks_for_before_it_stands_is_done_when_it_does_and_later_at_once(session):
    done, to_page = [], ToPage()
    to_page.answer(lambda: done.append("early"))
    assert done == []

    (stands,) = session.stands
    stands()
    to_page.answer(lambda: done.append("late"))
    assert done == ["late"]

    session.ticks.get()()
    assert done == ["late", "early"]


def test_where_no_server_is_a_page_is_answered_at_once():
    done = []
    ToPage().answer(lambda: done.append("now"))

    assert done == ["now"]
