"""A Panel app without attention: one file, live, that asks for nothing; and explorers in an app."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from attnpanel.ui.standalone_app import save_standalone
from docs.examples.offline_app import app


@pytest.mark.slow
def test_a_linked_slider_moves_a_component_without_a_server(tmp_path, open_page):
    path = save_standalone(app(), tmp_path / "pendulum.html", title="A pendulum")
    page = open_page(offline=True)
    page.goto(path.as_uri())
    canvas = page.locator("canvas[title='A pendulum']")
    expect(canvas).to_have_attribute("data-reach", "120")  # 120 pixels a metre

    page.locator(".noUi-handle").first.press("ArrowRight")

    expect(canvas).to_have_attribute("data-reach", "132")
    assert page.title() == "A pendulum"
