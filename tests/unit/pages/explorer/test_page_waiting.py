"""A link to a prompt waits for it, and shows no other trace under its name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from attnpanel.models.intervention_spec import InterventionSpec
from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.page import Page
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.trace_sources.prompt import PromptRun, PromptSource


@pytest.fixture
def runs(monkeypatch):
    """Prompts that never end by themselves: what each would call, in order."""
    runs = []

    def start(self, text, _choices, **_options):
        runs.append(text)
        self._run.loading = True
        self._notify("busy", "Reading the prompt …")

    monkeypatch.setattr(PromptSource, "_start", start)
    return runs


def draw(page):
    """Have the page send what it sends when it has drawn the latest trace."""
    bridge = page.explorer.bridge
    assert page.explorer.waiting == (bridge.on_drawn is not None)
    old = {**bridge.component.state, "trace": -1}
    bridge._on_message(SimpleNamespace(data={"state": old}))
    assert page.explorer.waiting == (bridge.on_drawn is not None)  # another trace's
    bridge._on_message(SimpleNamespace(data={"state": dict(bridge.component.state)}))


def test_a_link_to_a_prompt_shows_no_toy_until_it_has_run(runs):
    page = Page(ServerSettings(), {"source": "prompt", "prompt": "It fits.", "token": "2"})

    assert runs == ["It fits."]
    assert page.explorer.waiting
    assert page._make_report() is None

    page._prompt._run.loading = False
    page._show(toy_trace(T=5), {})
    draw(page)
    assert not page.explorer.waiting
    assert page.explorer.state.query_index == 2
    assert page._make_report() is not None


@pytest.mark.parametrize("link", [{}, {"source": "toy", "T": "5"}])
def test_a_toy_is_there_at_once(link, runs):
    assert not Page(ServerSettings(), link).explorer.waiting


def test_a_prompt_that_fails_leaves_what_was_there(runs):
    page = Page(ServerSettings(), {"source": "prompt"})

    page._prompt._on_error("The model can't be loaded.")

    assert not page.explorer.waiting
    assert "What was shown before is still here." in page._notice.text


def test_another_prompt_leaves_the_one_before_in_view(runs):
    page = Page(ServerSettings(), {"source": "prompt"})
    page._prompt._run.loading = False
    page._show(toy_trace(T=5), {})
    draw(page)

    page._prompt.open()

    assert len(runs) == 2
    assert not page.explorer.waiting
    page._tabs.value = "Toy"
    page._tabs.value = "Prompt"
    assert page.explorer.waiting  # the toy is no answer to the prompt
    page._tabs.value = "Toy"
    draw(page)
    assert not page.explorer.waiting


def test_each_source_keeps_its_place(runs):
    page = Page(ServerSettings(), {"source": "prompt", "prompt": "It fits."})
    state = page.explorer.state

    def run_ends(text):
        page._prompt._run.loading = False
        page._prompt.last_run = PromptRun(text, "minilm", InterventionSpec())
        page._show(toy_trace(T=5), {"query_index": 1})

    run_ends("It fits.")
    state.choose(head=2, query_index=4, temperature=0.5)
    page._tabs.value = "Toy"
    assert (state.head, state.query_index, state.temperature) == (0, 2, 1)  # where it begins
    state.choose(head=3, query_index=7)

    page._tabs.value = "Prompt"
    run_ends("It fits.")
    assert (state.head, state.query_index, state.temperature) == (2, 4, 0.5)
    page._tabs.value = "Toy"
    assert (state.head, state.query_index) == (3, 7)
    page._tabs.value = "Prompt"
    run_ends("Another.")
    assert state.query_index == 1
