"""Copies of models are equal to what was copied, and independent of it."""

from __future__ import annotations

import re
import threading

import pytest
from bokeh.core.json_encoder import serialize_json
from bokeh.core.serialization import Serializer
from bokeh.document import Document

from attnpanel.explorer.figures import _template as explorer_template
from attnpanel.explorer.views import VIEWS
from attnpanel.pages.compare.figures import _template as comparison_template
from attnpanel.pages.lab.curves import CHARTS
from attnpanel.pages.lab.curves import _template as chart_template
from attnpanel.ui.model_copies import EXPLORER_ID


def as_json(content):
    """A figure, or figures, as the page gets them, with ids by their order."""
    text = serialize_json(Serializer(deferred=False).encode(content))
    ids = {}
    return re.sub(
        r'"id":"([^"]+)"', lambda found: f'"id":{ids.setdefault(found[1], len(ids))}', text
    )


@pytest.fixture(params=["explorer", "comparison", "chart"])
def template(request):
    return {
        "explorer": lambda: explorer_template(VIEWS, "en"),
        "comparison": lambda: comparison_template("en"),
        "chart": lambda: chart_template(CHARTS[0], "en"),
    }[request.param]()


def plots_of(content):
    return list(content.values()) if isinstance(content, dict) else [content]


@pytest.mark.thorough(but=1)
def test_a_page_gets_the_same_as_by_bokehs_serializer(template, monkeypatch):
    from attnpanel.ui import figures

    copy = template.copy(EXPLORER_ID)
    by_bokeh = figures.Deserializer().decode(
        figures._renamed(Serializer(deferred=False).encode(copy))
    )

    assert as_json(copy) == as_json(by_bokeh)
    assert as_json(template.copy("mine")) == as_json(copy).replace(EXPLORER_ID, "mine")


def test_copies_share_nothing_and_keep_what_holds_them_together(template):
    first, second = template.copy("one"), template.copy("two")
    models = [{m for plot in plots_of(each) for m in plot.references()} for each in (first, second)]

    assert not models[0] & models[1]
    assert len({model.id for each in models for model in each}) == sum(map(len, models))
    before = as_json(second)
    for plot in plots_of(first):
        plot.tags.append("changed")
        plot.renderers[0].data_source.data = {"x": [1]}
    assert as_json(second) == before


def test_a_copy_tells_its_document_of_changes_in_a_list(template):
    plot = plots_of(template.copy())[0]
    document, changes = Document(), []
    document.add_root(plot)
    document.on_change(changes.append)

    plot.tags.append("changed")
    plot.x_range.update(name="an axis")

    assert [(event.model, event.attr) for event in changes] == [
        (plot, "tags"),
        (plot.x_range, "name"),
    ]


@pytest.mark.thorough(but=1)
def test_threads_copy_at_once(template):
    wanted, made = as_json(template.copy("same")), []

    def copy():
        made.extend(as_json(template.copy("same")) for _ in range(3))

    threads = [threading.Thread(target=copy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [wanted] * 12
