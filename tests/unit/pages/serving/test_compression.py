"""Libraries go out as gzip to browsers that take it, and unchanged to everybody else."""

from __future__ import annotations

import gzip
from http.client import HTTPConnection

import pytest
from bokeh.settings import settings

from attnpanel.ui.shared_styles import PANEL_DIST

BOKEH = "/static/js/bokeh.min.js"
PANEL = "/static/extensions/panel/panel.min.js"


@pytest.fixture
def ask(live):
    """Send a request; return status, headers and body."""

    def ask(path, method="GET", **headers):
        connection = HTTPConnection("localhost", live.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, body

    return ask


@pytest.mark.parametrize(
    ("path", "file"),
    [
        (BOKEH, settings.bokehjs_path() / "js" / "bokeh.min.js"),
        (PANEL, PANEL_DIST / "panel.min.js"),
    ],
)
def test_a_library_is_compressed_for_who_takes_gzip(ask, path, file):
    status, headers, body = ask(path, Accept_Encoding="br, gzip")
    plain_status, plain_headers, plain = ask(path)

    assert (status, plain_status) == (200, 200)
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Length"] == str(len(body))
    assert headers["Content-Type"] == plain_headers["Content-Type"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Encoding" not in plain_headers
    assert gzip.decompress(body) == plain == file.read_bytes()
    assert len(body) < len(plain) / 2


def test_what_is_unchanged_is_not_sent_again(ask):
    _, headers, _ = ask(BOKEH, Accept_Encoding="gzip")
    _, plain_headers, _ = ask(BOKEH)

    assert headers["Etag"] != plain_headers["Etag"]
    again = ask(BOKEH, Accept_Encoding="gzip", If_None_Match=headers["Etag"])
    assert (again[0], again[2]) == (304, b"")
    assert ask(BOKEH, If_None_Match=plain_headers["Etag"])[0] == 304


def test_a_part_of_a_file_is_of_the_file_itself(ask):
    status, headers, body = ask(BOKEH, Accept_Encoding="gzip", Range="bytes=0-9")

    assert (status, headers["Content-Encoding"], len(body)) == (206, None, 10)


@pytest.mark.parametrize("path", ["/static/js/none.js", "/static/../../../etc/passwd.js"])
def test_what_is_not_there_is_404(ask, path):
    assert ask(path, Accept_Encoding="gzip")[0] in (403, 404)


def test_only_the_head_is_sent_where_only_the_head_is_asked_for(ask):
    status, headers, body = ask(BOKEH, method="HEAD", Accept_Encoding="gzip")

    assert (status, body, headers["Content-Encoding"]) == (200, b"", "gzip")
