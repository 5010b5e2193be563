"""Sessions that have ended are collected, and when."""

from __future__ import annotations

import asyncio
import gc
import weakref
from types import SimpleNamespace

import panel.io.document
import pytest
from bokeh.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.server.contexts import ApplicationContext

from attnpanel.pages.serving.garbage import MANY, MOST_ENDED, QUIET_S, Garbage, collect_seldom


class Cycle:
    """What only the collector frees."""

    def __init__(self):
        self.itself = self


@pytest.fixture
def old_cycle():
    """A weak reference to garbage that only a walk over everything finds."""
    cycle = Cycle()
    gc.collect()
    gc.disable()
    found = weakref.ref(cycle)
    del cycle
    yield found
    gc.enable()


@pytest.fixture
def server():
    """How many sessions are open, the last message's time and the present; and the garbage."""
    state = SimpleNamespace(open=0, last_used=0.0, now=100.0)
    state.garbage = Garbage(lambda: state.open, lambda: state.last_used, lambda: state.now)
    state.end = lambda: asyncio.run(state.garbage.on_session_destroyed(None))
    return state


def collects(server):
    """Whether it collects when it looks."""
    walks = []
    gc.callbacks.append(note := lambda phase, info: walks.append((phase, info["generation"])))
    server.garbage.look()
    gc.callbacks.remove(note)
    return ("start", 2) in walks


def test_a_session_that_has_ended_is_collected_once_when_nobody_works(server, old_cycle):
    assert not collects(server)
    server.end()
    server.last_used = server.now + 1
    for passed in (QUIET_S, 0.9):
        server.now += passed
        assert not collects(server)
        assert old_cycle() is not None
    server.now += 0.1
    assert collects(server)
    assert old_cycle() is None
    assert not collects(server)


@pytest.mark.usefixtures("old_cycle")
def test_bokeh_is_left_time_to_drop_a_session(server):
    server.end()
    server.now += QUIET_S - 0.1
    assert not collects(server)
    server.now += 0.1
    assert collects(server)


@pytest.mark.usefixtures("old_cycle")
@pytest.mark.parametrize("open_sessions", [0, 3 * MOST_ENDED])
def test_many_are_collected_whoever_works(server, open_sessions):
    server.open, server.last_used = open_sessions, server.now
    for _ in range(max(MOST_ENDED, open_sessions) - 1):
        server.end()
    server.now = server.last_used = server.now + QUIET_S
    server.end()
    assert not collects(server)
    server.now = server.last_used = server.now + QUIET_S
    assert collects(server)


@pytest.mark.usefixtures("old_cycle")
def test_what_pages_leave_behind_while_they_are_open_is_collected_too(server):
    for _ in range(11):
        gc.collect(1)
    assert collects(server)


@pytest.fixture
def interpreter(monkeypatch):
    """Undo what a server changes for the whole process."""
    monkeypatch.setattr(panel.io.document, "_garbage_collect", panel.io.document._garbage_collect)
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("interpreter")
def test_a_servers_sessions_are_counted_when_they_end():
    made = []
    context = ApplicationContext(Application(FunctionHandler(lambda _document: None)))
    loop = SimpleNamespace(add_callback=made.append)
    application = SimpleNamespace(applications={"/": context}, _clients=set(), io_loop=loop)
    collect_seldom(application)
    garbage = context.application.handlers[-1]

    async def use():
        session = await context.create_session_if_needed("one")
        await context._discard_session(session, lambda _session: True)

    asyncio.run(use())
    while garbage.ended != 1:
        pass
    assert gc.get_threshold()[2] == MANY
    assert len(made) == 1
