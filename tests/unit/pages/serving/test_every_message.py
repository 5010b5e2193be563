"""Hostile values for everything that a page could set or send: each page goes on, nothing raises.

Every kind of model of every page gets every property; what a page may set gets every value.
"""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest
from bokeh.model import Model
from bokeh.models import NumericInput, Select, Slider, ToggleButtonGroup

from attnpanel.bench.page.served import bench_page
from attnpanel.models.toy import toy_trace
from attnpanel.pages.registry import PAGES, SitePage
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.serving.values import PROPERTIES
from attnpanel.ui import Explanation
from attnpanel.ui.components import Styled, _properties_of
from attnpanel.ui.page_input import check_fields
from attnpanel.ui.refusals import REFUSALS, PageInputError
from tests.page_socket import PageSocket, encoded
from tests.unit.pages.serving.conftest import running

NAN = {"type": "number", "value": "nan"}
INFINITE = {"type": "number", "value": "-inf"}
MARKUP = "<img src=x onerror=alert(1)>"
HOSTILE = (
    None, True, -1, 0, 10**300, 0.5, NAN, INFINITE, "", MARKUP, "../../etc/passwd", "[" * 1_900,
    "a" * 100_000, "\ud800", [], [-1, 10**9], [None] * 10_000, {"trace": 0},
    json.loads("[" * 50 + "]" * 50), {"type": "bytes", "data": "H4sIAAAAAAACAwMAAAAAAA=="},
    {"type": "object", "name": "Div", "id": "forged", "attributes": {"text": MARKUP}},
)  # fmt: skip
EVENTS = (
    "button_click", "document_ready", "value_submit", "esm_event", "dom_event", "clear_input",
    "tap", "selectiongeometry", "axis_click", "menu_item_click",
)  # fmt: skip
PATHS = {
    "": "?source=toy",
    "prompt": "?source=prompt",
    "file": "?source=file&trace=toy",
    **{page.name: "" for page in PAGES[1:]},
    "bench": "",
}


def kinds_of(component):
    """A component's classes, all that there are."""
    for kind in component.__subclasses__():
        yield kind
        yield from kinds_of(kind)


COMPONENTS = {kind.__name__: kind for kind in kinds_of(Styled)}


def change(model, attr, value):
    return {"kind": "ModelChanged", "model": {"id": model}, "attr": attr, "new": encoded(value)}


def event(name, model, **values):
    entries = [["model", {"id": model}], *([key, encoded(each)] for key, each in values.items())]
    data = {"type": "event", "name": name, "values": {"type": "map", "entries": entries}}
    return {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": data}


def rows_of(kind):
    """What a page may set of a Bokeh model: by a property's name, the row that decides."""
    rows = [row for row in PROPERTIES if issubclass(kind, row.kind)]
    return {name: row for row in reversed(rows) for name in row.names}


def hostile_messages(models):
    """Yield lists of changes: those to each kind of model, a component's class or a widget's."""
    done = set()
    for number, model in models.items():
        attributes = model.get("attributes", {})
        component = COMPONENTS.get(str(attributes.get("class_name")))
        named = component or (model["name"], str(attributes.get("title")))
        if named in done:
            continue
        done.add(named)
        yield [event(name, number, value=MARKUP) for name in EVENTS]
        if component is None:
            kind = Model.model_class_reverse_map.get(model["name"], Model)
            rows = rows_of(kind)
            yield [change(number, name, 1) for name in kind.properties() if name not in rows]
            # One check may be for many kinds of models.
            fresh = [name for name, row in rows.items() if (row.kind, row.names, name) not in done]
            limits = (NumericInput, Slider, Select, ToggleButtonGroup)
            done |= {(r.kind, r.names, n) for n, r in rows.items() if r.kind not in limits}
            yield from ([change(number, name, value)] for name in fresh for value in HOSTILE)
            continue
        target, needed = attributes["data"]["id"], {}
        if component.Message is not None:
            needed = dict.fromkeys(component.Message.required, 1)
            for field in component.Message.param:
                for value in HOSTILE:
                    sent = {**needed, field: value}
                    yield [event("data_event", number, data=sent)]
        yield from ([change(target, name, v)] for name in component.page_sets for v in HOSTILE)
        yield [event("data_event", number, data=MARKUP)]
        yield [event("data_event", number, data={"no_field": 1})]


@pytest.mark.parametrize("name", sorted(COMPONENTS))
def test_a_page_sets_of_a_component_what_it_says_and_nothing_else(name):
    component = COMPONENTS[name]
    for parameter in {*component.param, "no_parameter"} - {*component.page_sets}:
        with pytest.raises(PageInputError, match="must not set"):
            check_fields(name, _properties_of(component), {parameter: 1})


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A server whose prompts and trainings do nothing: what they compute is tested elsewhere."""
    monkeypatch.setenv("ATTNPANEL_BENCH_RESULTS", str(tmp_path))
    monkeypatch.setattr("attnpanel.bench.page.served.live_error_card", lambda **_: Explanation())
    monkeypatch.setattr("attnpanel.models.prompts.trace_prompt", lambda *_, **__: toy_trace())
    return ServerSettings(traces={"toy": toy_trace()}, runs=tmp_path / "runs.sqlite3")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "variants" else pytest.mark.thorough)
        for name in PATHS
    ],
)
def test_a_page_goes_on_whatever_it_is_sent(name, settings, caplog):
    shown = {page.name: page for page in PAGES} | {
        "bench": SitePage("bench", "Bench", lambda _settings: bench_page())
    }
    at = name if name in shown else ""
    with (
        running(settings=settings, make=lambda _seen: shown[at].make(settings)) as server,
        caplog.at_level(logging.WARNING),
    ):
        page = PageSocket(server.port, f"/{PATHS[name]}")
        messages = list(hostile_messages(page.models))
        before = REFUSALS.count
        answers = [page.patch(*each) for each in messages]
        kinds = [answer["header"]["msgtype"] for answer in answers]
        after = page.ask("PULL-DOC-REQ", {})["header"]["msgtype"]
        page.close()

    assert after == "PULL-DOC-REPLY"
    assert len(messages) > 300
    assert kinds.count("ERROR") > len(messages) / 4
    assert REFUSALS.count - before >= kinds.count("ERROR")
    raised = [record for record in caplog.records if record.exc_info]
    assert [SimpleNamespace(text=each.getMessage(), of=each.exc_info[1]) for each in raised] == []
