"""The served page offers to measure heads only where it has the model that made the trace."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from attnpanel.models import prompts
from attnpanel.models.intervene.output_change import embedding_change
from attnpanel.models.intervention_spec import INTERVENTION_KINDS
from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.page import Page
from attnpanel.pages.server_settings import ServerSettings

KNOCKED_OUT = next(kind.label for kind in INTERVENTION_KINDS if kind.name == "out")
UNCHANGED = INTERVENTION_KINDS[0].label


@pytest.fixture
def running(monkeypatch):
    """Stands in for the model, which ends its run when told."""
    made = SimpleNamespace(trace=toy_trace(seed=3), may_end=threading.Event())

    def trace_prompt(*_text, **_options):
        assert made.may_end.wait(60)
        return made.trace

    def change_prompt(*_text, **_options):
        assert made.may_end.wait(60)
        states = made.trace.calls[0].query[0, 0]
        return prompts.PromptChange(
            toy_trace(seed=4), made.trace, embedding_change(states, states + 1)
        )

    def end():
        made.may_end.set()
        # The next run begins when the one before it has ended.
        while runs := [each for each in threading.enumerate() if each.name == "attnpanel-prompt"]:
            runs[0].join(60)

    made.end = end
    monkeypatch.setattr(prompts, "trace_prompt", trace_prompt)
    monkeypatch.setattr(prompts, "change_prompt", change_prompt)
    monkeypatch.setattr("attnpanel.models.continuation.writer_of", lambda *_: None)
    return made


@pytest.fixture
def page(running):
    """A page on which the prompt “First.” through the model “two” is running."""
    settings = ServerSettings(models=("one", "two"), max_tokens=99)
    return Page(settings, {"source": "prompt", "prompt": "First.", "model": "two"})


def test_a_prompt_is_measured_as_it_was_run_whatever_the_fields_hold_by_now(
    page, running, monkeypatch
):
    asked = []
    monkeypatch.setattr(prompts, "measure_prompt", lambda *what, **how: asked.append((what, how)))
    page._prompt._text.value, page._prompt._model.value = "Second.", "one"
    running.end()
    reading, trace = page.explorer.head_maps, running.trace
    assert reading.component.heads == trace.calls[0].heads

    reading._measure(trace, print)

    assert asked == [((trace, "First.", "two"), {"max_tokens": 99, "progress": print})]
    address = page.explorer.address
    assert (address["prompt"], address["model"]) == ("First.", "two")


def test_a_changed_run_is_not_measured_whatever_is_chosen_meanwhile(page, running):
    page._prompt.change._kind.value = KNOCKED_OUT
    page._prompt.open()
    page._prompt.change._kind.value = UNCHANGED

    running.end()

    assert page.explorer.state.trace is running.trace
    assert page.explorer.head_maps.component.heads == 0
    assert page.explorer.address["change"] == "out,all,all"
    assert len(page.change.view) == 1


def test_a_change_of_a_trace_that_cannot_be_shown_is_not_shown(page, running, monkeypatch):
    def refuse(**_start):
        raise ValueError("no")

    running.end()
    monkeypatch.setattr(page.explorer.state, "choose", refuse)
    page._prompt.change._kind.value = KNOCKED_OUT

    page._prompt.open()
    running.end()

    assert page._notice.text == "This trace can't be shown: no"
    assert len(page.change.view) == 0


def test_another_source_takes_the_offer_back(page, running):
    running.end()
    assert page.explorer.head_maps.component.heads > 0

    page._tabs.value = "Toy"

    assert page.explorer.head_maps.component.heads == 0
