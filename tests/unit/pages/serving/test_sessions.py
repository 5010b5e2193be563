"""How many pages may be open, what is dropped, and what `/health` says of it."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest
from bokeh.util.token import generate_jwt_token, generate_session_id

from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.serving.health import health
from attnpanel.pages.serving.sessions import MAX_UNANSWERED, OpenSessions
from tests.page_socket import PageSocket, request, upgrade
from tests.unit.pages.serving.conftest import running


@pytest.fixture
def two():
    """A server that takes two pages."""
    with running(settings=ServerSettings(max_sessions=2)) as server:
        yield server


def ask_health(port):
    answer = request(port, f"Host: localhost:{port}", "/health")
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def drop_closed(server, *, still_open=0):
    """Have Bokeh drop sessions without a page now, which it does after 15 s by itself."""

    async def drop():
        while len(server.application._clients) > still_open:
            await asyncio.sleep(0)  # until the server has heard that the others were closed
        for context in server.application.applications.values():
            await asyncio.gather(*context._pending_sessions.values())
            await context._cleanup_sessions(0)

    future = asyncio.run_coroutine_threadsafe(drop(), server.loop)
    future.result(60)


def test_a_page_beyond_the_limit_is_told_and_there_is_room_when_one_has_gone(two):
    host = f"Host: localhost:{two.port}"
    assert ask_health(two.port)["sessions"] == {"open": 0, "most": 2}
    first, second = PageSocket(two.port), PageSocket(two.port)

    refused = request(two.port, host)
    assert refused.startswith(b"HTTP/1.1 503")
    assert b"Retry-After: 30" in refused
    assert b"This server is full: 2 pages are open, the most at a time." in refused
    said = ask_health(two.port)
    assert (said["status"], said["sessions"]) == ("full", {"open": 2, "most": 2})
    # Those that are open work on, and other addresses answer.
    assert first.change(first.find(title="T"), "value", 9)["header"]["msgtype"] == "OK"
    assert request(two.port, host, "/static/js/bokeh.min.js").startswith(b"HTTP/1.1 200")

    first.close()
    drop_closed(two, still_open=1)
    third = PageSocket(two.port)
    for page in (second, third):
        page.close()
    drop_closed(two)
    assert ask_health(two.port)["sessions"]["open"] == 0


def test_a_page_that_was_fetched_and_never_connected_is_dropped(two):
    for _ in range(2):
        assert request(two.port, f"Host: localhost:{two.port}").startswith(b"HTTP/1.1 200")
    assert ask_health(two.port)["sessions"]["open"] == 2

    drop_closed(two)

    assert ask_health(two.port)["sessions"]["open"] == 0


def test_a_token_whose_session_was_dropped_makes_none_where_there_is_no_room(two):
    signing = {"secret_key": two.application.secret_key, "signed": True}
    pages = [PageSocket(two.port) for _ in range(2)]
    host = f"localhost:{two.port}"

    # The handshake is accepted; then the connection is ended, and no session made.
    token = generate_jwt_token(generate_session_id(**signing), **signing)
    assert upgrade(two.port, host, f"http://{host}", token=token) == 101
    assert pages[0].change(pages[0].find(title="T"), "value", 7)["header"]["msgtype"] == "OK"
    assert ask_health(two.port)["sessions"]["open"] == 2

    for page in pages:
        page.close()
    drop_closed(two)


def test_health_says_version_load_and_uptime_and_nothing_else(live):
    said = ask_health(live.port)

    assert said.keys() == {
        "status",
        "server",
        "version",
        "uptime_s",
        "sessions",
        "queue",
        "prompts",
        "refused_messages",
    }
    assert said["status"] == "ok"
    assert said["queue"].keys() == {"workers", "running", "waiting"}
    assert said["uptime_s"] > 0
    assert health()["sessions"] is None


class Socket:
    """What the sweep sees of a connection."""

    def __init__(self, last_used=0.0, unanswered=0):
        self.last_used, self.unanswered, self.ended = last_used, unanswered, []
        self.ws_connection = object()

    def close(self, code, _reason):
        self.ended.append(code)

    def cut(self, why):
        assert why
        self.ended.append("cut")


def test_pages_that_nobody_uses_and_clients_that_do_not_answer_are_disconnected():
    application = SimpleNamespace(applications={})
    sessions = OpenSessions(application, 5, max_idle_s=100.0, clock=lambda: 150.0)
    used, idle = Socket(51.0), Socket(50.0)
    slow, stuck = Socket(149.0, MAX_UNANSWERED), Socket(149.0, MAX_UNANSWERED + 1)

    sessions.sweep([used, idle, slow, stuck])

    assert [each.ended for each in (used, idle, slow, stuck)] == [[], [1001], [], ["cut"]]


def test_the_sweep_ends_a_connection_of_a_running_server(live):
    page = PageSocket(live.port)
    (connection,) = live.application._clients
    socket = connection._socket
    assert socket.unanswered == 0
    used = socket.last_used
    page.change(page.find(title="T"), "value", 3)
    assert live.seen.get(timeout=300) == ("value", 3)
    assert socket.last_used > used

    socket.last_used = -1e9
    sessions = live.application.settings["attnpanel_sessions"]
    live.loop.call_soon_threadsafe(sessions.sweep, [socket])

    assert page.closed() == 1001
    page.close()
