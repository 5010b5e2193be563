"""Nobody gets into a session that somebody else's request made."""

from __future__ import annotations

import re

import pytest
from bokeh.util.token import generate_jwt_token, generate_session_id, get_session_id

from tests.page_socket import PageSocket, request, upgrade


def token_of(port, path="/", head=""):
    html = request(port, f"Host: localhost:{port}{head}", path).decode(errors="replace")
    return re.search(r'"token":"([^"]+)"', html)[1]


def test_a_session_that_a_link_or_header_names_is_not_the_one_it_leads_to(live):
    theirs = token_of(live.port)
    name = get_session_id(theirs)

    for path, head in [
        (f"/?bokeh-session-id={name}", ""),
        (f"/?bokeh-token={theirs}", ""),
        (f"/?bokeh-token={theirs}&bokeh-session-id={name}", ""),
        ("/?bokeh-session-id=chosen", ""),
        ("/", f"\r\nBokeh-Session-Id: {name}"),
    ]:
        assert get_session_id(token_of(live.port, path, head)) not in (name, "chosen")


def test_no_script_takes_its_servers_address_from_a_request(live):
    path = "/autoload.js?bokeh-autoload-element=1&bokeh-absolute-url=http://evil.example"
    answer = request(live.port, f"Host: localhost:{live.port}", path)

    assert answer.startswith(b"HTTP/1.1 404")
    assert b"evil.example" not in answer


@pytest.mark.parametrize(
    ("extra", "options"),
    [
        ({}, {}),
        ({"arguments": {"T": 8}, "headers": [], "cookies": 1}, {}),
        ({"arguments": {"T": 8}}, {"signed": True, "secret_key": b"guessed"}),
    ],
)
def test_a_token_of_ones_own_makes_no_session(live, caplog, extra, options):
    names = {name: options[name] for name in options}
    token = generate_jwt_token(generate_session_id(**names), extra_payload=extra, **options)
    sessions = live.application.settings["attnpanel_sessions"]
    PageSocket(live.port).close()
    before = sessions.count

    assert upgrade(live.port, f"localhost:{live.port}", None, token=token) == 101

    page = PageSocket(live.port)  # the server has handled what came before
    assert sessions.count == before + 1
    page.close()
    assert all(record.exc_info is None for record in caplog.records)
