"""The page that is drawn without a session: who gets it, and what it consists of."""

from __future__ import annotations

import gzip
import http.client
from urllib.parse import parse_qs, urlencode

import pytest

from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.static_page import TOY, draws_alone, static_page
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.serving.auth import auth_options
from attnpanel.pages.serving.page_scripts import IMPORT, without_unused
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
    connection = http.client.HTTPConnection("localhost", port, timeout=60)
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
        assert (zipped["Content-Encoding"], zipped["Vary"]) == ("gzip", "Accept-Encoding")

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

        connection = http.client.HTTPConnection("localhost", server.port, timeout=60)
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
    ("query", "alone"),
    [
        ("", True),
        ("source=toy&T=8&d_model=8&heads=4&seed=42&head=2&theme=dark&lesson=3", True),
        ("head=<b>&temperature=nan&unknown=1", True),
        ("live", False),
        ("live=1&head=2", False),
        ("source=prompt", False),
        ("source=file&trace=a", False),
        ("source=Toy", False),
        ("T=9", False),
        ("T=08", False),
        ("seed=", False),
        ("head=1&head=2", False),
    ],
)
def test_an_address_of_the_toy_needs_no_session(query, alone):
    arguments = {
        name: [value.encode() for value in values]
        for name, values in parse_qs(query, keep_blank_values=True).items()
    }
    assert draws_alone(ServerSettings(), arguments) is alone


def test_a_server_of_traces_opens_on_the_first_of_them():
    settings = ServerSettings(traces={"a": toy_trace()})
    assert not draws_alone(settings, {})
    assert draws_alone(settings, {"source": [b"toy"]})


@pytest.mark.slow
def test_the_page_has_the_toys_numbers_and_asks_for_nothing_from_elsewhere():
    page = static_page(ServerSettings(), "Explorer · attnpanel", ["static/js/bokeh.min.js?v=1"])

    assert '<script defer src="static/js/bokeh.min.js?v=1"></script>' in page
    for name, number in TOY.items():
        assert f'"{name}", "{number.decode()}"' in page
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
