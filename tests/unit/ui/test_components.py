"""The Python sides of the components written in JavaScript."""

from __future__ import annotations

import re
from functools import partial

import pytest
from bokeh.document import Document
from panel.models.esm import DataEvent

from attnpanel.pages.lab import components as lab_components
from attnpanel.ui import comparison_component, components, head_maps_component
from attnpanel.ui import explorer_component as browser_driver
from attnpanel.ui import notes_component as annotations_component
from attnpanel.ui.components import Caption, Interaction, Styled, TokenStrip, Upload

MODULES = (
    annotations_component,
    browser_driver,
    comparison_component,
    components,
    head_maps_component,
    lab_components,
)
COMPONENTS = [
    member
    for module in MODULES
    for member in vars(module).values()
    if isinstance(member, type)
    and issubclass(member, Styled)
    and member.__module__ == module.__name__
]


def test_every_module_has_a_bundle_name_so_that_no_browser_transpiles_it():
    components = [TokenStrip(), Caption(), Caption(text="other"), Interaction()]
    models = [component.get_root(Document()) for component in components]

    names = [model.bundle for model in models]
    assert None not in names
    assert names[1] == names[2]
    assert len(set(names)) == 3


def test_a_message_sent_before_the_client_has_connected_is_handled_afterwards(waiting_page):
    received, upload = [], Upload()
    upload.on_msg(lambda event: received.append(event.data))
    send = partial(upload._process_event, DataEvent(model=None, data={"refused": "early"}))

    send()
    assert received == []

    for connect in waiting_page.stands:
        connect()
    waiting_page.ticks.get_nowait()()
    assert received == [{"refused": "early"}]

    send()
    assert received == [{"refused": "early"}] * 2


@pytest.mark.parametrize("component", [component for component in COMPONENTS if component._esm])
def test_a_component_has_a_bundle_that_exports_render(component):
    assert re.search(r"export\{[^{}]*\w as render\};\s*$", component._esm)
