"""What Python has for a page that does not stand yet comes when it stands, in order."""

from __future__ import annotations

from attnpanel.to_page import ToPage


def test_what_is_said_before_the_page_stands_waits_and_keeps_its_order(waiting_page):
    said, to_page = [], ToPage()
    for word in "one", "two":
        to_page(lambda word=word: said.append(word))
    assert waiting_page.ticks.empty()

    (stands,) = waiting_page.stands
    stands()
    to_page(lambda: said.append("three"))

    while not waiting_page.ticks.empty():
        waiting_page.ticks.get()()
    assert said == ["one", "two", "three"]


def test_nothing_is_done_on_a_page_that_is_gone(waiting_page):
    to_page = ToPage()
    to_page(lambda: None)
    waiting_page.session_context = None
    (stands,) = waiting_page.stands

    stands()
    to_page(lambda: None)

    assert waiting_page.ticks.empty()


def test_what_a_page_asks_for_before_it_stands_is_done_when_it_does_and_later_at_once(waiting_page):
    done, to_page = [], ToPage()
    to_page.answer(lambda: done.append("early"))
    assert done == []

    (stands,) = waiting_page.stands
    stands()
    to_page.answer(lambda: done.append("late"))
    assert done == ["late"]

    waiting_page.ticks.get()()
    assert done == ["late", "early"]


def test_where_no_server_is_a_page_is_answered_at_once():
    done = []
    ToPage().answer(lambda: done.append("now"))

    assert done == ["now"]
