"""A session's HTML is sent before the session is made, and its websocket waits for it."""

from __future__ import annotations

import asyncio
import re
import threading
from types import SimpleNamespace

import pytest
from bokeh.util.token import get_session_id

from attnpanel.pages.server_settings import ServerSettings
from tests.page_socket import PageSocket, request
from tests.unit.pages.serving.conftest import running, small_page
from tests.unit.pages.serving.test_sessions import ask_health, drop_closed

TOKEN = re.compile(r'"token":"([^"]+)"')


def page_of(port, path="/", head=""):
    return request(port, f"Host: localhost:{port}{head}", path).decode(errors="replace")


@pytest.fixture
def slow():
    """A server of three pages, whose sessions are made when `go` is set."""
    go = threading.Event()
    go.set()

    def make(seen):
        go.wait(60)
        return small_page(seen)

    with running(settings=ServerSettings(max_sessions=3), make=make) as server:
        PageSocket(server.port).close()
        drop_closed(server)
        yield SimpleNamespace(**vars(server), go=go)
        go.set()


def test_the_html_comes_before_the_session_and_the_websocket_waits_for_it(slow):
    slow.go.clear()
    html = page_of(slow.port)

    assert html.startswith("HTTP/1.1 200")
    assert "Cache-Control: no-store" in html
    assert ask_health(slow.port)["sessions"]["open"] == 1

    opened = []
    thread = threading.Thread(target=lambda: opened.append(PageSocket(slow.port)))
    thread.start()
    while ask_health(slow.port)["sessions"]["open"] < 2:
        pass
    assert opened == []
    slow.go.set()
    thread.join()
    (page,) = opened
    assert page.change(page.find(title="T"), "value", 9)["header"]["msgtype"] == "OK"
    page.close()


def test_each_has_a_session_of_its_own_with_its_language_and_address(slow):
    first, second = page_of(slow.port), page_of(slow.port, "/?lang=de")

    assert get_session_id(TOKEN.search(first)[1]) != get_session_id(TOKEN.search(second)[1])
    assert '<html lang="en"' in first
    assert '<html lang="de"' in second
    assert '<html lang="en"' in page_of(slow.port)


def test_those_that_are_being_made_count_and_a_full_server_refuses(slow):
    slow.go.clear()
    for _ in range(3):
        assert page_of(slow.port).startswith("HTTP/1.1 200")

    assert page_of(slow.port).startswith("HTTP/1.1 503")


def test_one_that_cannot_be_made_leaves_no_place_taken(slow, monkeypatch):
    (context,) = slow.application.applications.values()

    async def fail(_context, session_id, *_):
        # As far as Bokeh comes.
        context._pending_sessions[session_id] = asyncio.get_running_loop().create_future()
        raise RuntimeError("a fault of ours")

    with monkeypatch.context() as patch:
        patch.setattr(type(context), "create_session_if_needed", fail)
        assert page_of(slow.port).startswith("HTTP/1.1 200")
        assert ask_health(slow.port)["sessions"]["open"] == 0

    PageSocket(slow.port).close()
