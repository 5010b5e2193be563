"""The page that compares: what it opens with, and that it lives on whatever a model does."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from attnpanel.comparison import READY
from attnpanel.models import prompts
from attnpanel.models.intervene.output_change import embedding_change
from attnpanel.models.intervention_spec import InterventionSpec, parse_intervention
from attnpanel.models.toy import toy_trace
from attnpanel.pages.compare import page as compare_page
from attnpanel.pages.compare.page import OWN_PROMPTS, QUESTION, ComparePage
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.trace import Trace


class Inline:
    """A thread that has ended when it has been started."""

    def __init__(self, target, **_options):
        self.start = target


@pytest.fixture
def asked(monkeypatch):
    """The prompts that were run; each gives the toy with its words as tokens."""
    texts: list[str] = []

    def trace_prompt(text, **_options):
        texts.append(text)
        words = text.rstrip(".").split()
        toy = toy_trace(T=len(words), d_model=4, heads=2)
        return Trace(toy.calls, query_tokens=[words], source="prompt")

    monkeypatch.setattr(prompts, "trace_prompt", trace_prompt)
    monkeypatch.setattr(threading, "Thread", Inline)
    return texts


def test_it_opens_with_the_first_ready_pair(asked):
    page = ComparePage(ServerSettings(), {})

    assert asked == [READY[0].first, READY[0].second]
    assert page.comparison.body.visible
    assert page.comparison.driver.given["address"] == {"ready": READY[0].name}


def test_one_prompt_on_both_sides_is_run_once(asked):
    page = ComparePage(
        ServerSettings(),
        {"ready": "temperatures"},
    )

    assert len(asked) == 1
    assert page.comparison.traces[0] is page.comparison.traces[1]


@pytest.fixture
def changes(asked, monkeypatch):
    """The changes that were run; each gives the toy before and another toy after."""
    made = []

    def change_prompt(text, **options):
        made.append(
            {k: v for k, v in options.items() if k not in ("model", "max_tokens", "progress")}
        )
        words = text.rstrip(".").split()
        before, after = (
            Trace(
                toy_trace(T=len(words), d_model=6, heads=3, seed=seed).calls, query_tokens=[words]
            )
            for seed in (1, 2)
        )
        states = np.eye(len(words))
        return prompts.PromptChange(before, after, embedding_change(states, states[::-1]))

    monkeypatch.setattr(prompts, "change_prompt", change_prompt)
    return made


def test_a_ready_change_is_chosen_in_the_form_run_and_said(asked, changes):
    page = ComparePage(ServerSettings(), {"ready": "switched-off"})

    assert asked == []
    assert changes == [{"layer": 0, "head": 2, "scale": 0.0}]
    assert page._change.chosen() == parse_intervention("out,0,2")
    assert page.comparison.driver.given["changed"] == "layer 0, head 2 knocked out"
    assert page.comparison.driver.given["address"] == {"ready": "switched-off"}
    assert page._outcome.text.startswith("The text's embedding moves")


def test_a_change_of_one_s_own_is_made_on_b_and_a_link_brings_it_back(asked, changes):
    page = ComparePage(ServerSettings(), {"a": "one two", "b": "one three"})
    page._change.choose(parse_intervention("key,0,1,1"))
    page._compare_own()

    assert changes == [{"layer": 0, "head": 1, "hide_keys": 1}]
    assert page.comparison.driver.given["changed"] == "layer 0, head 1 without key 1 “three”"
    # A is another sentence: what becomes of the output is no matter of the change alone.
    assert page._outcome.text == ""
    address = page.comparison.driver.given["address"]
    assert address == {"a": "one two", "b": "one three", "change": "key,0,1,1"}

    again = ComparePage(ServerSettings(), address)
    assert again._change.chosen() == page._change.chosen()
    assert changes[1] == changes[0]


def test_a_change_in_a_link_that_is_none_is_told_and_the_rest_is_compared(asked, changes):
    page = ComparePage(ServerSettings(), {"a": "one two", "b": "one three", "change": "magic"})

    assert changes == []
    assert page.comparison.body.visible
    assert "none that this page knows" in page._notice.text


def test_attention_in_a_file_is_not_changed(asked, changes):
    settings = ServerSettings(traces={"my.trace": toy_trace(T=2, d_model=4, heads=2)})
    page = ComparePage(settings, {"a": "one", "b": "-", "from_b": "my.trace", "change": "out,0,0"})

    assert changes == []
    assert "choose a model for B" in page._notice.text


def test_the_question_and_the_change_are_of_what_is_compared(asked, changes):
    page = ComparePage(ServerSettings(), {"ready": "switched-off"})

    page._ready.value = OWN_PROMPTS
    assert page._question.text == QUESTION

    page._change.choose(InterventionSpec())
    page._compare_own()
    assert page.comparison.driver.given["changed"] == ""


def test_prompts_of_one_s_own_open_at_a_token_of_both(asked):
    page = ComparePage(ServerSettings(), {"a": "one two three", "b": "two three"})

    assert page.comparison.state["row"] in (1, 2)


def test_a_link_with_prompts_opens_them(asked):
    page = ComparePage(ServerSettings(), {"a": "one two", "b": "one three"})

    assert asked == ["one two", "one three"]
    assert page.comparison.driver.given["address"] == {"a": "one two", "b": "one three"}
    assert page._ready.value == OWN_PROMPTS


@pytest.mark.parametrize(
    ("link", "lacks"), [({"a": "one two"}, "B"), ({"b": "one", "a": " "}, "A")]
)
def test_a_link_with_one_prompt_says_which_it_lacks(asked, link, lacks):
    page = ComparePage(ServerSettings(), link)

    assert asked == [READY[0].first, READY[0].second]
    assert page._notice.text == f"Not restored from the link. It has no text {lacks}."


def test_a_file_of_the_operator_can_be_a_side(asked):
    settings = ServerSettings(traces={"my.trace": toy_trace(T=2, d_model=4, heads=2)})
    link = {"a": "one two", "b": "-", "from_b": "my.trace"}

    page = ComparePage(settings, link)

    assert asked == ["one two"]
    assert page.comparison.traces[1] is settings.traces["my.trace"]


def test_where_no_model_is_here_the_toy_is_shown_and_the_reason_said(asked, monkeypatch):
    def missing(_text, **_options):
        raise ImportError("a model needs PyTorch")

    monkeypatch.setattr(prompts, "trace_prompt", missing)

    page = ComparePage(ServerSettings(), {})

    assert page.comparison.body.visible
    # A link to the toy would not find it, and what the link asked for is still in the address bar.
    assert page.comparison.driver.given["address"] is None
    assert page._notice.tone == "error"
    assert "A model needs PyTorch. Below are two heads of the toy" in page._notice.text


def test_an_empty_sentence_is_asked_for(asked):
    page = ComparePage(ServerSettings(), {"a": "one two", "b": "one three"})
    page._texts["b"].value = " "
    page._compare_own()

    assert page._notice.text == "Type a sentence for B first."


def test_the_report_opens_where_the_page_is_with_the_reader_s_words(asked, monkeypatch):
    page = ComparePage(ServerSettings(), {"a": "one two", "b": "one three"})
    page.words.text = "Three is more than two."
    made = {}

    def save(first, second, _path, *, start, words, **_options):
        made.update(traces=(first, second), start=start, words=words)
        raise OSError("disk full")

    monkeypatch.setattr(compare_page, "save_comparison", save)

    file = page._make_report()
    page.words.text = "Typed while the report is made."
    with pytest.raises(OSError, match="disk full"):
        file.content()
    assert made["words"] == "Three is more than two."
    assert made["start"] == page.comparison.state
    assert made["traces"] == page.comparison.traces
    file.failed("Disk full.")
    assert "The report can't be made. Disk full." in page._notice.text
