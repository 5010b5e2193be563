"""Pages of the package in a server of one's own."""

from __future__ import annotations

import panel as pn
import pytest
from bokeh.document import Document
from panel.io.state import set_curdoc

from attnpanel.pages import create_app
from attnpanel.pages.registry import PAGES
from attnpanel.pages.server_settings import ServerSettings


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
