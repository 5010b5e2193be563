"""The components written in JavaScript, as Python hands them to a page."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

import pytest
from bokeh.document import Document
from panel.models.esm import DataEvent

from attnpanel.browser import (
    annotations_component,
    browser_driver,
    comparison_component,
    components,
    head_maps_component,
)
from attnpanel.browser.components import Interaction, Styled, TokenStrip, Upload, Words
from attnpanel.lab import components as lab_components

HOMES = (
    annotations_component,
    browser_driver,
    comparison_component,
    components,
    head_maps_component,
    lab_components,
)
COMPONENTS = [
    one
    for home in HOMES
    for one in vars(home).values()
    if isinstance(one, type) and issubclass(one, Styled) and one.__module__ == home.__name__
]


def test_modules_run_as_they_are_written_and_each_is_kept_by_its_own_name():
    made = [TokenStrip(), Words(), Words(text="other"), Interaction()]
    models = [component.get_root(Document()) for component in made]

    # Panel translates what has no bundle's name, in every reader's browser.
    names = [model.bundle for model in models]
    assert None not in names
    assert names[1] == names[2]
    assert len(set(names)) == 3


def test_a_component_that_speaks_before_its_page_stands_is_answered_when_it_does(waiting_page):
    heard, upload = [], Upload()
    upload.on_msg(lambda event: heard.append(event.data))
    speak = partial(upload._process_event, DataEvent(model=None, data="early"))

    speak()
    assert heard == []

    for stands in waiting_page.stands:
        stands()
    waiting_page.ticks.get_nowait()()
    assert heard == ["early"]

    speak()
    assert heard == ["early", "early"]


def test_the_modules_of_a_component_have_no_name_twice(tmp_path):
    for component in COMPONENTS:
        source = component._esm
        if not source:  # what others begin with
            continue
        text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
        module = tmp_path / f"{component.__name__}.mjs"
        module.write_text(text, encoding="utf-8")

        checked = subprocess.run(
            ["node", "--check", module], capture_output=True, text=True, check=False
        )

        if checked.returncode:
            pytest.fail(f"{component.__name__}: {checked.stderr}")
    assert len(list(tmp_path.iterdir())) > 15
