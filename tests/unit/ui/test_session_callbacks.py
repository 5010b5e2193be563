"""Callbacks for a session run in order, once its client has connected."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from types import SimpleNamespace

from tornado.ioloop import IOLoop

from attnpanel.ui.session_callbacks import SessionScheduler


def test_callbacks_wait_for_the_client_and_keep_their_order(waiting_page):
    calls, schedule = [], SessionScheduler()
    for name in "one", "two":
        schedule(lambda name=name: calls.append(name))
    assert waiting_page.ticks.empty()

    (connect,) = waiting_page.stands
    connect()
    schedule(lambda: calls.append("three"))

    while not waiting_page.ticks.empty():
        waiting_page.ticks.get()()
    assert calls == ["one", "two", "three"]


def test_nothing_runs_on_a_closed_session(waiting_page):
    schedule = SessionScheduler()
    schedule(lambda: None)
    waiting_page.session_context = None
    (connect,) = waiting_page.stands

    connect()
    schedule(lambda: None)

    assert waiting_page.ticks.empty()


def test_messages_are_handled_once_the_client_has_connected_and_then_at_once(waiting_page):
    calls, schedule = [], SessionScheduler()
    schedule.handle(lambda: calls.append("early"))
    assert calls == []

    (connect,) = waiting_page.stands
    connect()
    schedule.handle(lambda: calls.append("late"))
    assert calls == ["late"]

    waiting_page.ticks.get()()
    assert calls == ["late", "early"]


def test_without_a_server_messages_are_handled_at_once():
    calls = []
    SessionScheduler().handle(lambda: calls.append("now"))

    assert calls == ["now"]


def test_a_thread_leaves_the_document_to_its_event_loop(monkeypatch):
    """What another thread adds to a document is lost where Bokeh just ends a hold of its events."""
    by, ran = [], []
    document = SimpleNamespace(session_context=object())
    document.add_next_tick_callback = lambda act: (by.append(threading.get_ident()), act())
    state = SimpleNamespace(curdoc=document, onload=lambda act: act())
    monkeypatch.setattr("attnpanel.ui.session_callbacks.pn", SimpleNamespace(state=state))

    async def session():
        IOLoop.current()
        schedule = SessionScheduler()
        for name in "one", "two", "three":
            await asyncio.to_thread(schedule, partial(ran.append, name))
        await asyncio.sleep(0)

    asyncio.run(session())
    assert ran == ["one", "two", "three"]
    assert by == [threading.get_ident()] * 3


def test_a_session_made_in_a_thread_has_its_servers_event_loop(monkeypatch):
    calls: list = []
    loop = SimpleNamespace(add_callback=calls.append)
    context = SimpleNamespace(
        server_context=SimpleNamespace(application_context=SimpleNamespace(io_loop=loop))
    )
    document = SimpleNamespace(session_context=context, add_next_tick_callback=lambda act: act())
    state = SimpleNamespace(curdoc=document, onload=lambda act: act())
    monkeypatch.setattr("attnpanel.ui.session_callbacks.pn", SimpleNamespace(state=state))
    ran = []

    def session():
        SessionScheduler()(lambda: ran.append("now"))

    thread = threading.Thread(target=session)
    thread.start()
    thread.join()
    assert ran == []
    (call,) = calls
    call()
    assert ran == ["now"]
