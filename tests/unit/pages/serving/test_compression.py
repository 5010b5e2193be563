"""Libraries go out as gzip to browsers that take it, and unchanged to everybody else."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest
from bokeh.settings import settings

from attnpanel.pages.serving.compression import CompressedFile, CompressedFiles
from attnpanel.ui.shared_styles import PANEL_DIST

BOKEH = "/static/js/bokeh.min.js"
PANEL = "/static/extensions/panel/panel.min.js"


@pytest.fixture
def ask(live):
    """Send a request; return status, headers and body."""

    def ask(path, method="GET", **headers):
        connection = HTTPConnection("localhost", live.port, timeout=300)
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


def test_a_library_is_read_and_compressed_once_however_many_ask_at_once(ask, monkeypatch):
    made, compress = [], CompressedFile.of
    begun = threading.Barrier(4)

    def noted(path):
        made.append(path)
        return compress(path)

    monkeypatch.setattr(CompressedFile, "of", noted)

    def asking(_):
        begun.wait()
        return ask("/static/js/bokeh-gl.min.js", Accept_Encoding="gzip")[::2]

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(asking, range(4)))

    assert [status for status, _body in answers] == [200]
    assert len(made) == 1


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


COMPONENT = "/components/panel.layout.card/Card"


@pytest.mark.parametrize(
    "path",
    [
        "/static/js/none.js",
        "/static/../../../etc/passwd.js",
        "/static/js/%00.js",
        "/static/js/bokeh.min.js%00",
        "/static/extensions/panel/%00.css",
        "/components/../../etc/passwd",
        "/components//Card/_stylesheets/card.css",
        "/components/os/environ/x/y",
        f"{COMPONENT}/_css/%00",
        f"{COMPONENT}/_resources/",
        f"{COMPONENT}/__init__/card.py",
        f"{COMPONENT}/_stylesheets/../../../../../../etc/passwd",
    ],
)
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_what_is_not_there_is_404(ask, caplog, path, encoding):
    assert ask(path, Accept_Encoding=encoding)[0] in (403, 404)
    assert all(record.exc_info is None for record in caplog.records)


def test_no_address_has_a_module_imported(ask, tmp_path, monkeypatch):
    (tmp_path / "attnpanel_never_imported.py").write_text("raise SystemExit(1)")
    monkeypatch.syspath_prepend(tmp_path)

    assert ask("/components/attnpanel_never_imported/a/_css/b.css")[0] == 404
    assert ask(BOKEH)[0] == 200  # the server is still there


def test_only_the_head_is_sent_where_only_the_head_is_asked_for(ask):
    status, headers, body = ask(BOKEH, method="HEAD", Accept_Encoding="gzip")

    assert (status, body, headers["Content-Encoding"]) == (200, b"", "gzip")


@pytest.mark.parametrize(("seconds", "name", "looks"), [(1e9, "tables", 1), (0, "widgets", 3)])
def test_a_file_is_looked_for_once_in_a_while(ask, monkeypatch, seconds, name, looks):
    found, find = [], CompressedFiles._find
    monkeypatch.setattr("attnpanel.pages.serving.compression.LOOK_S", seconds)
    monkeypatch.setattr(CompressedFiles, "_find", lambda self: found.append(self) or find(self))

    answers = [ask(f"/static/js/bokeh-{name}.min.js", Accept_Encoding="gzip") for _ in range(3)]

    assert [status for status, *_ in answers] == [200] * 3
    assert len(found) == looks
