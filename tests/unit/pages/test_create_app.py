"""Pages of the package in a server of one's own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import panel as pn
import pytest
from bokeh.document import Document
from panel.io.state import set_curdoc

from attnpanel.pages import create_app
from attnpanel.pages.registry import PAGES
from attnpanel.pages.server_settings import ServerSettings
from tests.page_socket import PageSocket, request

SCRIPT = """
import panel as pn
import attnpanel as ap
from attnpanel.bench.page.served import bench_page
from attnpanel.pages import create_app

pn.extension()
trace = ap.toy_trace()
explorers = pn.Tabs(("One head", ap.Explorer(trace)), ("Another", ap.Explorer(trace, head=1)))
both = ap.Comparison(trace, trace)
pages = pn.Tabs(("Lab", create_app("lab")), ("Bench", bench_page()))
pn.template.FastListTemplate(title="Mine", main=[explorers, both, pages]).servable()
"""


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize("page", [one.title.lower() for one in PAGES])
def test_each_page_can_be_served_by_a_script(page, monkeypatch, tmp_path):
    monkeypatch.setenv("ATTNPANEL_RUNS", str(tmp_path / "runs.sqlite3"))
    monkeypatch.setattr(pn.state, "cache", {})
    document = Document()

    with set_curdoc(document):
        create_app(page).server_doc(document)

    classes = {name for model in document.models for name in getattr(model, "css_classes", ())}
    assert "attn-page-status" in classes


def test_settings_are_those_of_the_server(monkeypatch):
    seen = []
    row = PAGES[1].__class__("", "Fake", lambda settings: seen.append(settings) or pn.Column())
    monkeypatch.setattr("attnpanel.pages.registry.PAGES", (row,))
    settings = ServerSettings()

    create_app("fake", settings)

    assert seen == [settings]


def test_an_unknown_page_is_an_error():
    with pytest.raises(ValueError, match=r"page must be one of explorer, compare.*; got 'fly'"):
        create_app("fly")


@pytest.mark.thorough
def test_all_fit_into_a_template_that_panel_reloads_when_it_changes(tmp_path):
    log = tmp_path / "log"
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-W", "ignore", "-m", "panel", "serve", "mine.py", "--autoreload"]
    environment = {**os.environ, "ATTNPANEL_RUNS": str(tmp_path / "runs.sqlite3")}
    with log.open("w") as written:
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=tmp_path,
            stdout=written,
            stderr=written,
            env=environment,
        )
    try:
        while "Bokeh app running" not in log.read_text():
            assert server.poll() is None, log.read_text()
        page = PageSocket(port, "/mine")
        shown = [model.get("attributes", {}) for model in page.models.values()]
        page.close()
        names = [one["class_name"] for one in shown if "class_name" in one]
        assert names.count("BrowserDriver") == 2
        assert {"ComparisonDriver", "RunList", "RunProgress"} <= set(names)

        script.write_text(SCRIPT.replace("Mine", "Mine, changed"))
        while b"<title>Mine, changed" not in request(port, f"Host: localhost:{port}", "/mine"):
            assert server.poll() is None, log.read_text()
    finally:
        server.terminate()
        server.wait(timeout=300)
    assert "Traceback" not in log.read_text()
