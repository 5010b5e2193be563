"""What visitors cause to be logged is short and bounded, and says why a connection ended."""

from __future__ import annotations

import logging
import socket
import time

import pytest

from attnpanel.pages.serving import websocket
from attnpanel.pages.serving.bounded_log import LONGEST, MOST_LINES, BoundedLog
from tests.page_socket import PageSocket, request


def test_a_flood_is_a_bounded_number_of_lines_and_a_count(caplog):
    now = [0.0]
    log = BoundedLog(most=3, clock=lambda: now[0])
    for _ in range(1000):
        log.write("again")
    now[0] = 61.0
    log.write("later")

    said = [record.getMessage() for record in caplog.records]
    assert said == ["again"] * 3 + ["left out 997 more lines like these", "later"]


def test_what_a_terminal_obeys_is_escaped(caplog):
    BoundedLog().write("\x1b[31m\nred")
    assert caplog.messages == [r"\x1b[31m\nred"]


def test_a_long_address_is_cut(live, caplog):
    host = f"Host: localhost:{live.port}"
    for path in ("/" + "a" * 5000, "/health"):  # logged when the next one is answered
        request(live.port, host, path)

    (line,) = [text for text in caplog.messages if text.startswith("404")]
    assert line == f"404 GET (127.0.0.1) /{'a' * 200}"[:200]


def test_paths_that_lead_out_are_said_in_bounded_lines(live, caplog):
    host = f"Host: localhost:{live.port}"
    for _ in range(100):
        request(live.port, host, "/static/../../" + "a" * 500)

    assert 0 < len(caplog.records) <= MOST_LINES + 1
    assert {len(text) for text in caplog.messages} == {LONGEST}


@pytest.fixture
def said(caplog, monkeypatch):
    """Wait for a line that says why a connection ended; return it."""
    monkeypatch.setattr(websocket, "CONNECTIONS", BoundedLog())

    def said():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for record in caplog.records:
                if "a page's connection ended" in record.getMessage():
                    return record.getMessage()
            time.sleep(0.01)
        raise AssertionError([record.getMessage() for record in caplog.records])

    with caplog.at_level(logging.WARNING):
        yield said


def wire(page):
    """The socket below a page's connection."""
    return page._socket.protocol.stream.socket


def test_a_connection_that_breaks_off_is_said(live, said):
    page = PageSocket(live.port)
    wire(page).shutdown(socket.SHUT_RDWR)
    assert said() == "a page's connection ended cut: no closing message came"
    page.close()


def test_why_the_server_ended_it_is_said(live, said):
    page = PageSocket(live.port)
    page.raw("x" * 6_000_000)
    assert said() == "a page's connection ended by the server, 1009: message too big"
    page.close()


def test_a_refused_message_that_ends_it_is_said_however_many_came_before(live, said):
    page = PageSocket(live.port)
    page.raw("no JSON", "{}", "{}")
    assert said() == "a page's connection ended by the server, 1008: a message was refused"
    page.close()


def test_why_the_page_ended_it_is_said(live, said):
    page = PageSocket(live.port)

    async def leave():
        page._socket.close(3000, "Expected text\nfragment")

    page._wait(leave)
    assert said() == "a page's connection ended by the page, 3000: Expected text\\nfragment"
    page.close()


def test_a_reader_who_leaves_is_not_said(live, caplog):
    for _ in range(2):  # the server has heard of the first when the second is open
        PageSocket(live.port).close()
    assert "connection ended" not in caplog.text
