"""The page that is drawn without a session: who gets it, and what it consists of."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import threading
from urllib.parse import parse_qs, urlencode

import pytest

from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.static_page import Toy, static_page, toy_of
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.serving.auth import auth_options
from attnpanel.pages.serving.page_scripts import IMPORT, without_unused
from attnpanel.pages.serving.static_start import MOST_PAGES, StaticStart
from tests.page_socket import PageSocket
from tests.unit.pages.serving.conftest import panel_settings_kept, running

DRAWN = "<!DOCTYPE html><title>drawn alone</title>"


@pytest.fixture
def drawn(monkeypatch):
    """The arguments of each time that the page was made."""
    made = []

    def make(*arguments):
        made.append(arguments)
        return DRAWN

    monkeypatch.setattr("attnpanel.pages.server.static_page", make)
    return made


def get(port, path="/", **headers):
    """Return status, headers and content of an answer."""
    connection = http.client.HTTPConnection("localhost", port, timeout=300)
    connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def count(server):
    """How many sessions a server has."""
    return server.application.settings["attnpanel_sessions"].count


def test_it_is_made_once_sent_compressed_and_not_again_to_who_has_it(drawn):
    with running(static_start=True) as server:
        status, headers, content = get(server.port, "/?head=2")
        assert (status, content) == (200, DRAWN.encode())
        assert headers["Cache-Control"] == "no-cache"
        assert "frame-ancestors" in headers["Content-Security-Policy"]

        _, zipped, content = get(server.port, Accept_Encoding="gzip, br")
        assert gzip.decompress(content) == DRAWN.encode()
        assert (zipped["Content-Encoding"], zipped["Vary"]) == (
            "gzip",
            "Accept-Encoding, Accept-Language",
        )

        tags = {headers["Etag"]: "identity", zipped["Etag"]: "gzip"}
        assert len(tags) == 2
        for tag, encoding in tags.items():
            again = get(server.port, If_None_Match=tag, Accept_Encoding=encoding)
            assert (again[0], again[2]) == (304, b"")
        assert get(server.port, If_None_Match='"of an older version"')[0] == 200
        assert (len(drawn), count(server)) == (1, 0)


def test_a_full_server_still_sends_it(drawn):
    with running(static_start=True, settings=ServerSettings(max_sessions=1)) as server:
        session = PageSocket(server.port, "/?live=1")

        assert get(server.port)[2] == DRAWN.encode()
        status, _, content = get(server.port, "/?live=1")
        assert status == 503
        assert b"This server is full" in content
        session.close()


def test_where_it_cannot_be_made_each_visit_gets_a_session(monkeypatch, caplog):
    monkeypatch.setattr("attnpanel.pages.server.static_page", lambda *_: 1 / 0)
    with running(static_start=True) as server:
        assert b'"token":"' in get(server.port)[2]
    assert "each visit gets a session" in caplog.text


def test_only_who_has_signed_in_gets_it(drawn, tmp_path):
    users = tmp_path / "users.json"
    users.write_text('{"ada": "enchantress"}')
    with panel_settings_kept(), running(static_start=True, auth=auth_options(str(users))) as server:
        status, headers, content = get(server.port)
        assert (status, headers["Location"].partition("?")[0]) == (302, "./login")
        assert DRAWN.encode() not in content

        connection = http.client.HTTPConnection("localhost", server.port, timeout=300)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        right = urlencode({"username": "ada", "password": "enchantress"})
        connection.request("POST", "/login", right, form)
        cookies = connection.getresponse().headers.get_all("Set-Cookie")
        connection.close()
        (user,) = [cookie for cookie in cookies if cookie.startswith("user=")]
        _, headers, content = get(server.port, Cookie=user.partition(";")[0])
        assert content == DRAWN.encode()
        assert headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("query", "toy"),
    [
        ("", Toy()),
        ("source=toy&T=8&d_model=8&heads=4&seed=42&head=2&theme=dark&lesson=3", Toy()),
        ("head=<b>&temperature=nan&unknown=1", Toy()),
        ("T=12&heads=2&seed=0", Toy(T=12, heads=2, seed=0)),
        ("live", None),
        ("live=1&head=2", None),
        ("source=prompt", None),
        ("source=file&trace=a", None),
        ("source=Toy", None),
        ("T=65", None),
        ("T=0", None),
        ("T=08", None),
        ("T=-8", None),
        ("heads=3", None),
        ("seed=", None),
        ("seed=4294967296", None),
        ("head=1&head=2", None),
    ],
)
def test_an_address_of_a_small_toy_needs_no_session(query, toy):
    arguments = {
        name: [value.encode() for value in values]
        for name, values in parse_qs(query, keep_blank_values=True).items()
    }
    assert toy_of(ServerSettings(), arguments) == toy


def test_a_server_of_traces_opens_on_the_first_of_them():
    settings = ServerSettings(traces={"a": toy_trace()})
    assert toy_of(settings, {}) is None
    assert toy_of(settings, {"source": [b"toy"]}) == Toy()


def test_other_pages_are_made_one_at_a_time_and_the_oldest_is_dropped():
    made, hold = [], threading.Event()

    def make(key):
        made.append(key)
        if key == "held":
            hold.wait(60)
        return f"page {key}"

    async def use():
        start = StaticStart("/", lambda _arguments: None, make, "first", private=False)
        await start.prepare()
        held = asyncio.ensure_future(start.page("held"))
        await asyncio.sleep(0)
        assert await start.page("other") is None  # a session answers
        assert (await start.page("first")).plain == b"page first"
        hold.set()
        assert (await held).plain == b"page held"
        for number in range(MOST_PAGES):
            await start.page(number)
        for kept in ("first", 0, "held"):
            await start.page(kept)

    asyncio.run(use())
    assert made == ["first", "held", *range(MOST_PAGES), "held"]


@pytest.mark.slow
def test_the_page_has_the_toys_numbers_and_asks_for_nothing_from_elsewhere():
    toy = Toy(T=5, seed=7)
    library = "static/js/bokeh.min.js?v=1"
    page = static_page(ServerSettings(), "Explorer · attnpanel", [library], toy)

    assert '<script defer src="static/js/bokeh.min.js?v=1"></script>' in page
    for name, number in toy._asdict().items():
        assert f'"{name}", "{number}"' in page
    assert "cdn." not in page


def test_a_sessions_page_is_without_what_it_does_not_use():
    kept = '<script type="text/javascript" src="static/js/bokeh.min.js?v=1"></script>\n'
    page = (
        '<script type="esms-options">{"shimMode": true}</script>\n'
        '<script type="text/javascript" src="static/e/es-module-shims@^1.1/dist/'
        'es-module-shims.min.js"></script>\n'
        f'{kept}<script type="text/javascript" src="static/js/bokeh-gl.min.js?v=2"></script>\n'
    )
    assert without_unused(page) == IMPORT + kept
    assert without_unused(kept) == kept


def test_every_page_of_ours_is_lean_and_a_foreign_one_is_left_as_it_is(live):
    page = get(live.port)[2].decode()
    assert "bokeh.min.js" in page
    assert "bokeh-gl" not in page
    assert "es-module-shims" not in page
    assert IMPORT in page
