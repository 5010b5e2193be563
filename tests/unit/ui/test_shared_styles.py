"""Equal stylesheets of a page are one model, and what they name by file is in them."""

from __future__ import annotations

import json
import re

import panel as pn
import pytest
from bokeh.document import Document
from bokeh.embed.util import standalone_docs_json_and_render_items
from bokeh.models import ImportedStyleSheet, InlineStyleSheet
from pyviz_comms import Comm

import attnpanel as ap
from attnpanel.pages.explorer.page import page
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.ui.page_status import with_status
from attnpanel.ui.shared_styles import _panel_sheet


@pytest.fixture(scope="module")
def root():
    """The Bokeh model of the first page, as it is served."""
    return with_status(page(ServerSettings())).get_root(Document())


def test_a_served_page_has_each_stylesheet_once_and_fetches_none(root):
    sheets = root.select({"type": InlineStyleSheet})
    texts = [sheet.css for sheet in sheets]

    assert len(set(texts)) == len(texts)
    assert sum(map(len, texts)) < 500_000
    assert not list(root.select({"type": ImportedStyleSheet}))


def test_a_page_that_is_open_is_left_as_it_is():
    view = with_status(pn.Column("one"))
    document = Document()
    document.add_root(view.get_root(document))
    kept = list(document.roots[0].stylesheets)

    view.append(pn.widgets.Button(label="two"))

    assert document.roots[0].stylesheets == kept


def test_no_stylesheet_names_a_file_once_it_is_inlined(monkeypatch):
    view = page(ServerSettings())
    monkeypatch.setattr(pn.viewable.Viewable, "_preprocessing_hooks", [])
    unshared = view.get_root(Document())
    urls = {sheet.url for sheet in unshared.select({"type": ImportedStyleSheet})}
    assert any("loading.css" in url for url in urls)

    for url in urls:
        text = _panel_sheet(re.sub(r"^.*/dist/|\?.*$", "", url))
        named = re.findall(r"""url\(\s*['"]?([^)'"]*)""", text)
        assert [name for name in named if not name.startswith(("data:", "#"))] == [], url


@pytest.mark.parametrize("make", [ap.Explorer, lambda trace: ap.Comparison(trace, trace)])
def test_another_host_gets_each_stylesheet_once_and_nothing_from_a_network(make):
    # As marimo and ipywidgets embed an object; marimo shows at most 8 MB, escaped.
    document = Document()
    root = pn.panel(make(ap.toy_trace()))._render_model(document, Comm())
    document.add_root(root)
    (written, _) = standalone_docs_json_and_render_items([root], suppress_callback_warning=True)
    written = json.dumps(written)

    assert len(written) < 1_500_000
    assert "https://cdn" not in written
