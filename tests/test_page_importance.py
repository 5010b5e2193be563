"""The served page offers to measure heads only where it has the model that made the trace."""

from __future__ import annotations

import pytest

from attnpanel.choosers import PromptChooser, Settings
from attnpanel.page import Page
from attnpanel.sources import prompts
from attnpanel.sources.toy import toy_trace


@pytest.fixture
def page(monkeypatch):
    """A page whose prompts show nothing by themselves."""
    monkeypatch.setattr(PromptChooser, "open", lambda _self: None)
    page = Page(Settings(models=("one", "two"), max_tokens=99), {})
    assert page.explorer.reading.component.runs == 0  # the toy has no model
    page._tabs.value = "Prompt"
    return page


def test_a_prompt_can_be_measured_by_its_own_model(page, monkeypatch):
    asked = []
    monkeypatch.setattr(prompts, "measure_prompt", lambda *what, **how: asked.append((what, how)))
    page._prompt._text.value, page._prompt._model.value = "A text.", "two"
    trace = toy_trace(seed=3)
    page._show(trace, {})
    reading = page.explorer.reading
    assert reading.component.runs == trace.calls[0].heads

    reading._measure(trace, print)

    assert asked == [((trace, "A text.", "two"), {"max_tokens": 99, "progress": print})]


def test_another_source_takes_the_offer_back(page):
    page._show(toy_trace(seed=3), {})
    page._tabs.value = "Toy"

    assert page.explorer.reading.component.runs == 0
