"""Connections that send nothing, too much or are too many: others are served meanwhile."""

from __future__ import annotations

import re
import socket
from contextlib import suppress

import pytest

from attnpanel.pages.serving import connections
from attnpanel.pages.serving.connections import MAX_BODY_BYTES, most_connections
from attnpanel.pages.serving.sessions import MAX_SOCKETS
from tests.page_socket import TIMEOUT_S, PageSocket, handshake_head, request
from tests.unit.pages.serving.conftest import running


def opened(port, sent=b""):
    """A connection on which so much was sent."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    connection.sendall(sent)
    return connection


def answer(connection):
    """All that comes until the server ends it."""
    came = b""
    with connection, suppress(ConnectionResetError):  # it had not read all that was sent
        while part := connection.recv(65536):
            came += part
    return came


def test_beyond_the_limit_the_connection_unused_for_longest_is_closed(monkeypatch, caplog):
    monkeypatch.setattr(connections, "most_connections", lambda: 5)
    with running() as server:
        host = f"Host: localhost:{server.port}"
        page = PageSocket(server.port)
        waiting = [opened(server.port, b"GET / HTTP/1.1\r\nX: ") for _ in range(4)]
        answered = opened(server.port, f"GET /health HTTP/1.1\r\n{host}\r\n\r\n".encode())
        assert answered.recv(65536).startswith(b"HTTP/1.1 200")
        for _ in range(20):
            assert request(server.port, host, "/health").startswith(b"HTTP/1.1 200")
            waiting.append(opened(server.port, b"GET / HTTP/1.1\r\nX: "))

        assert [answer(each) for each in waiting[:16]] == [b""] * 16
        assert page.change(page.find(title="T"), "value", 9)["header"]["msgtype"] == "OK"
        page.close()
    assert "5 connections are open: closed the one unused for longest" in caplog.text
    for each in (*waiting[16:], answered):
        each.close()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: ", b"\r\n"])
def test_a_request_that_does_not_come_is_given_up(monkeypatch, sent):
    monkeypatch.setattr(connections, "IDLE_S", 0.05)
    with running() as server:
        assert answer(opened(server.port, sent)) == b""


@pytest.mark.parametrize("host", ["localhost:{port}", "evil.example"])
def test_a_body_that_does_not_come_is_given_up(monkeypatch, host):
    monkeypatch.setattr(connections, "BODY_S", 0.05)
    with running() as server:
        head = f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\n"
        assert answer(opened(server.port, head.format(port=server.port).encode())) == b""


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (f"Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n", 400),
        (f"Transfer-Encoding: chunked\r\n\r\n{MAX_BODY_BYTES + 1:x}\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n", 400),
        (f"Content-Length: {MAX_BODY_BYTES}\r\n\r\n{'a' * MAX_BODY_BYTES}", 405),
    ],
)
def test_a_body_beyond_the_limit_is_not_read(live, body, status):
    head = f"POST /health HTTP/1.1\r\nHost: localhost:{live.port}\r\nConnection: close\r\n"
    came = answer(opened(live.port, (head + body).encode()))
    assert came.startswith(f"HTTP/1.1 {status}".encode())


def test_a_page_has_a_few_connections_at_most(live):
    host = f"Host: localhost:{live.port}"
    (token,) = re.findall(r'"token":"([^"]+)"', request(live.port, host).decode())
    head = handshake_head(host, f"Sec-WebSocket-Protocol: bokeh, {token}")

    def connected():
        """A further connection of the page; None where it is refused."""
        connection, came = opened(live.port, head), b""
        while b"ACK" not in came and b"refused" not in came:
            came += connection.recv(4096)
        return connection if b"ACK" in came else connection.close()

    pages = [connected() for _ in range(MAX_SOCKETS)]
    assert None not in pages
    assert connected() is None
    pages.pop().close()
    while (page := connected()) is None:  # until the server has heard that one is gone
        pass
    for each in (*pages, page):
        each.close()


def test_as_many_connections_as_files_may_be_open(monkeypatch):
    resource = pytest.importorskip("resource")
    for files, most in [(1024, 896), (200, 100), (resource.RLIM_INFINITY, connections.MOST)]:
        monkeypatch.setattr(resource, "getrlimit", lambda _what, files=files: (files, files))
        assert most_connections() == most
