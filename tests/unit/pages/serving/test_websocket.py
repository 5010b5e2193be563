"""Forged messages to a running server: refused before anything is done, told, counted."""

from __future__ import annotations

import base64
import gzip
import logging
import re

import pytest

from attnpanel.bench.page.served import bench_page
from attnpanel.pages.registry import SitePage
from attnpanel.ui import Explanation
from attnpanel.ui.refusals import REFUSALS, PageInputError, Refusals
from tests.page_socket import PageSocket, handshake, request, upgrade
from tests.unit.pages.serving.conftest import running

BOMB = base64.b64encode(gzip.compress(bytes(64_000_000))).decode()


@pytest.mark.parametrize("path", ["/ws"])
def test_a_websocket_by_another_name_is_refused_on_any_tornado(live, path):
    own = f"localhost:{live.port}"
    for host, origin, status in [
        (own, f"http://{own}", 101),
        (own, None, 101),
        ("evil.example", "http://evil.example", 403),
        (f"evil.example:{live.port}", f"http://evil.example:{live.port}", 403),
        (own, "http://evil.example", 403),
        (own, "null", 403),
        ("evil.example", f"http://{own}", 403),
    ]:
        assert (host, origin, upgrade(live.port, host, origin, path)) == (host, origin, status)


@pytest.mark.parametrize(
    "path", ["/", "/static/js/bokeh.min.js", "/favicon.ico", "/health", "/autoload.js", "/nothing"]
)
def test_every_address_refuses_another_host_and_carries_the_headers(live, path):
    refused = request(live.port, "Host: evil.example", path)
    allowed = request(live.port, f"Host: localhost:{live.port}", path)

    assert refused.startswith(b"HTTP/1.1 403")
    assert "not reached by the name “evil.example”".encode() in refused
    for answer in (refused, allowed):
        head = answer.partition(b"\r\n\r\n")[0].decode().lower()
        assert "x-content-type-options: nosniff" in head
        assert "referrer-policy: same-origin" in head
        assert "frame-ancestors 'self'" in head
        assert "set-cookie" not in head
    assert not allowed.startswith(b"HTTP/1.1 403")


def test_what_a_reader_does_arrives(page, live):
    assert page.change(page.find(title="T"), "value", 2048)["header"]["msgtype"] == "OK"
    page.change(page.find(title="Model"), "value", "large")
    _, data = page.component("Explanation")
    page.change(data, "text", "because")
    upload, _ = page.component("Upload")
    page.send(upload, {"type": "map", "entries": [["name", "a.txt"], ["size", 3]]})

    came = [live.seen.get(timeout=300) for _ in range(4)]
    assert sorted(came, key=str) == sorted(
        [
            ("value", 2048),
            ("value", "large"),
            ("text", "because"),
            ("message", {"name": "a.txt", "size": 3}),
        ],
        key=str,
    )


FORGED = {
    "above a number's bound": (lambda p: p.change(p.find(title="T"), "value", 30000), "from 1 to"),
    "below it": (lambda p: p.change(p.find(title="T"), "value", 0), "from 1 to 2048; got 0"),
    "no whole number": (lambda p: p.change(p.find(title="T"), "value", 2.5), "a whole number"),
    "not finite": (lambda p: p.change(p.find(title="T"), "value", float("nan")), "whole number"),
    "no number": (lambda p: p.change(p.find(title="T"), "value", "8"), "whole number; got '8'"),
    "huge": (lambda p: p.change(p.find(title="T"), "value", 10**300), "whole number"),
    "no option": (lambda p: p.change(p.find(title="Model"), "value", "/etc"), "its options"),
    "no button": (lambda p: p.change(p.find(labels=["a", "b"]), "active", 7), "from 0 to 1"),
    "too long": (lambda p: p.change(p.find(title="Prompt"), "value", "a" * 101), "100 characters"),
    "a component's text": (
        lambda p: p.change(p.component("Explanation")[1], "text", "a" * 20_001),
        "at most 20,000 characters",
    ),
    "what the page may not set": (
        lambda p: p.change(p.component("Upload")[1], "max_bytes", 10**9),
        "must not set Upload.max_bytes",
    ),
    "a field below its bound": (
        lambda p: p.send(p.component("Upload")[0], {"type": "map", "entries": [["size", -1]]}),
        "size",
    ),
    "an unknown field": (
        lambda p: p.send(p.component("Upload")[0], {"type": "map", "entries": [["x", 1]]}),
        "must not set Upload.x",
    ),
    "no fields": (lambda p: p.send(p.component("Explanation")[0], 1), "takes no int"),
    "a bomb": (
        lambda p: p.change(p.find(title="Prompt"), "value", {"type": "bytes", "data": BOMB}),
        "unpack to at most 34 MB",
    ),
    "bytes that are none": (
        lambda p: p.change(p.find(title="Prompt"), "value", {"type": "bytes", "data": "%%"}),
        "must be gzip as base64",
    ),
    "an array of long texts": (
        lambda p: p.change(
            p.find(title="Prompt"),
            "value",
            {
                "type": "ndarray",
                "dtype": "U100000000",
                "order": "little",
                "shape": [2],
                "array": ["a", "b"],
            },
        ),
        "must hold numbers",
    ),
    "another document": (lambda p: p.ask("PUSH-DOC", {"doc": {}}), "must not send messages"),
    "a new root": (
        lambda p: p.patch({"kind": "RootAdded", "model": {"id": p.find(title="T")}}),
        "must not send changes of the kind RootAdded",
    ),
    "no event": (lambda p: p.patch({"kind": "ModelChanged"}), "not a change that a page can make"),
    "nested too deep": (
        lambda p: p.change(p.find(title="Prompt"), "value", _nested(100)),
        "nested at most",
    ),
}


def _only_this_arrives(page, live):
    """The connection goes on, and no callback has run before."""
    assert page.change(page.find(title="T"), "value", 9)["header"]["msgtype"] == "OK"
    assert live.seen.get(timeout=300) == ("value", 9)


def _nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_message_does_nothing_is_told_and_counted(page, live, caplog, name):
    forge, rule = FORGED[name]
    before = REFUSALS.count

    with caplog.at_level(logging.WARNING):
        reply = forge(page)
        text = page.told()

    assert rule in text
    if reply["header"]["msgtype"] == "ERROR":
        assert rule in reply["content"]["text"]
    assert REFUSALS.count == before + 1
    assert all(record.exc_info is None for record in caplog.records)
    _only_this_arrives(page, live)


def test_a_forged_message_to_the_benchs_page_does_nothing(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("ATTNPANEL_BENCH_RESULTS", str(tmp_path))
    # The error map would compute in a thread.
    monkeypatch.setattr("attnpanel.bench.page.served.live_error_card", lambda **_: Explanation())
    other = tmp_path / "bench.py"
    other.write_text("")
    apps = {"ben": str(other)}  # whose address the bench's begins with
    bench = SitePage("bench", "Bench", lambda _settings: bench_page())
    with running(apps=apps, further=[bench]) as server:
        host = f"Host: localhost:{server.port}"
        policies = [
            b"default-src" in request(server.port, host, path) for path in ("/bench", "/ben")
        ]
        page = PageSocket(server.port, "/bench")
        theme = page.component("PageTheme")[1]
        with caplog.at_level(logging.WARNING):
            replies = [
                page.change(theme, "dark", None),
                page.change(theme, "explorer_id", "a"),
                page.change(page.find(title="Preset"), "value", {"type": "bytes", "data": BOMB}),
            ]
        assert page.told()
        page.close()

    assert [reply["header"]["msgtype"] for reply in replies] == ["ERROR"] * 3
    assert all(record.exc_info is None for record in caplog.records)
    assert policies == [True, False]


def test_one_bad_change_refuses_all_of_its_message(page, live):
    number, model = page.find(title="T"), page.find(title="Model")
    good = {"kind": "ModelChanged", "model": {"id": model}, "attr": "value", "new": "large"}
    bad = {"kind": "ModelChanged", "model": {"id": number}, "attr": "value", "new": 30000}

    assert page.patch(good, bad)["header"]["msgtype"] == "ERROR"
    assert "from 1 to 2048" in page.told()
    _only_this_arrives(page, live)


def test_what_no_page_needs_to_set_changes_nothing(page, live):
    number = page.find(title="T")

    assert page.change(number, "high", 10**6)["header"]["msgtype"] == "OK"
    assert page.change(number, "value", 30000)["header"]["msgtype"] == "ERROR"
    _only_this_arrives(page, live)


@pytest.mark.parametrize(
    "frames",
    [
        ("{}", "{}", "{}"),
        ("[" * 100_000, "{}", "{}"),
        ("no JSON", "{}", "{}"),
        ('{"msgtype": "PATCH-DOC", "msgid": "1"}', "{}", "[" * 3_000_000),
    ],
)
def test_what_is_no_message_ends_the_connection_alone(page, live, caplog, frames):
    with caplog.at_level(logging.WARNING):
        page.raw(*frames)
        assert page.closed() == 1008

    assert all(record.exc_info is None for record in caplog.records)
    assert upgrade(live.port, f"localhost:{live.port}", None) == 101


def test_what_follows_a_refused_message_is_dropped(page, live, caplog):
    before = REFUSALS.count
    page.raw("no JSON", "{}", "{}", *['{"no": "header"}', "{}", "{}"] * 200)
    assert page.closed() == 1008

    PageSocket(live.port).close()  # the server has handled what came before
    assert REFUSALS.count == before + 1
    assert len([name for name, *_ in caplog.record_tuples if name.startswith("bokeh")]) == 0


def test_a_page_asks_for_its_document_a_few_times_at_most(page, live):
    kinds = [page.ask("PULL-DOC-REQ", {})["header"]["msgtype"] for _ in range(6)]

    assert kinds == ["PULL-DOC-REPLY"] * 3 + ["ERROR"] * 3  # opening the page was the first
    assert "4 times at most" in page.told()
    _only_this_arrives(page, live)


def test_a_page_that_was_sent_keeps_no_empty_defaults(page, live):
    number = page.find(title="T")
    (context,) = live.application.applications.values()
    models = (each.document.models.get_by_id(number) for each in context.sessions)
    (model,) = [model for model in models if model is not None]

    assert "js_event_callbacks" not in model._unstable_default_values


def test_a_connection_whose_ping_failed_ends_without_a_traceback(live, caplog):
    before = set(live.application._clients)
    page = PageSocket(live.port)
    (connection,) = live.application._clients - before
    # What Bokeh does where a ping finds the connection closed, while messages wait to be read.
    live.loop.call_soon_threadsafe(live.application.client_lost, connection)
    page.raw(*['{"msgid": "1", "msgtype": "PULL-DOC-REQ"}', "{}", "{}"] * 2)
    page.close()

    PageSocket(live.port).close()
    assert all(record.exc_info is None for record in caplog.records)


def test_a_frame_above_the_limit_ends_the_connection(page, live):
    before = REFUSALS.count
    page.raw("x" * 6_000_000)
    page.closed()
    assert REFUSALS.count == before  # it was not even taken in
    assert upgrade(live.port, f"localhost:{live.port}", None) == 101


def test_a_page_that_can_unpack_gets_its_document_compressed(page, live):
    compressed = PageSocket(live.port, compressed=True)

    came, unpacked = compressed.sizes
    assert compressed.find(title="T")
    assert came < unpacked / 2
    assert page.sizes[0] > unpacked / 2
    compressed.close()


@pytest.mark.parametrize(
    ("offers", "is_taken"),
    [
        ("permessage-deflate", True),
        ("permessage-deflate; client_max_window_bits", True),
        ("permessage-deflate; client_max_window_bits=10; server_no_context_takeover", True),
        ("permessage-deflate; server_max_window_bits=10", False),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", True),
        ("permessage-deflate; unheard_of", False),
        ("x-permessage-deflate", False),
        (';,=;"', False),
    ],
)
def test_compression_is_agreed_on_without_a_context_or_not_at_all(live, offers, is_taken):
    host = f"Host: localhost:{live.port}"
    protocol = "Sec-WebSocket-Protocol: bokeh, none"

    head = handshake(live.port, host, protocol, f"Sec-WebSocket-Extensions: {offers}")

    assert head.startswith("HTTP/1.1 101")
    answers = re.findall(r"(?im)^sec-websocket-extensions: (.*)\r$", head)
    agreed = "permessage-deflate; server_no_context_takeover"
    assert answers == ([agreed] if is_taken else [])


def test_a_frame_that_unpacks_above_the_limit_ends_the_connection(live):
    compressed = PageSocket(live.port, compressed=True)
    before = REFUSALS.count  # with what the tests before sent
    compressed.raw("x" * 6_000_000)  # 6 kB as it is sent
    assert compressed.closed() == 1009
    compressed.close()
    assert REFUSALS.count == before
    assert upgrade(live.port, f"localhost:{live.port}", None) == 101


def test_a_token_of_nobody_ends_the_connection_without_a_traceback(live, caplog):
    PageSocket(live.port).close()  # the server has handled what the tests before sent
    before = REFUSALS.count

    assert upgrade(live.port, f"localhost:{live.port}", None) == 101

    PageSocket(live.port).close()  # the server has handled what came before
    assert REFUSALS.count == before + 1
    assert all(record.exc_info is None for record in caplog.records)


def test_a_flood_of_refusals_is_a_handful_of_lines(caplog):
    refusals = Refusals()
    with caplog.at_level(logging.WARNING, "attnpanel"):
        for _ in range(1000):
            refusals.refuse(None, PageInputError("line\nbreak"))

    assert refusals.count == 1000
    assert len(caplog.records) == 10
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_a_fault_of_ours_is_told_and_logged_whole(page, caplog):
    event = {
        "type": "event",
        "name": "button_click",
        "values": {"type": "map", "entries": [["model", {"id": page.find(label="Fail")}]]},
    }
    with caplog.at_level(logging.ERROR):
        page.patch({"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": event})
        assert page.told() == "This failed on the server (ZeroDivisionError); its log says why."

    (record,) = [each for each in caplog.records if each.name == "attnpanel"]
    assert record.exc_info[0] is ZeroDivisionError
