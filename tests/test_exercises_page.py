"""The page of exercises: what it opens, checks and hands in."""

from __future__ import annotations

import threading

import pytest

from attnpanel import exercises_page
from attnpanel.choosers import Settings
from attnpanel.exercises_page import ExercisesPage
from attnpanel.sources import prompts
from attnpanel.sources.toy import toy_trace


class Inline:
    """A thread that has ended when it has been started."""

    def __init__(self, target, **_options):
        self.start = target


@pytest.fixture
def page():
    return ExercisesPage(Settings(), {})


def test_it_opens_with_the_first_exercise_unsolved(page):
    page.check()

    assert page.exercise.name == "half"
    assert page.explorer.state.head == 1
    assert page.verdict.text.startswith("Not yet: token 2 gives 85.0 %")
    assert page._hint.text == ""


def test_the_check_reads_what_is_shown(page):
    page.explorer.state.temperature = 10**0.35
    page.check()

    assert page.verdict.text.startswith("Solved: ")
    assert "attn-solved" in page.verdict.css_classes


def test_a_verdict_goes_when_what_it_is_about_changes(page):
    page.explorer.state.temperature = 10**0.35
    page.check()
    page.explorer.state.choose(query_index=1, dark=True)
    assert page.verdict.text.startswith("Solved: ")

    page.explorer.state.temperature = 1.0

    assert page.verdict.text == ""
    assert "attn-solved" not in page.verdict.css_classes


def test_another_exercise_starts_afresh(page):
    page.explorer.state.choose(temperature=5.0, mask="causal")
    page._show_hint()
    page._choice.value = "even"

    assert page.explorer.state.temperature == 1.0
    assert page.explorer.state.mask == "none"
    assert page._hint.text == page.verdict.text == ""
    assert page.answer.subject == "exercise=even"


def test_a_link_opens_its_exercise_and_choices():
    page = ExercisesPage(Settings(), {"exercise": "causal", "head": "3", "mask": "causal"})

    assert page._choice.value == "causal"
    assert page.explorer.state.head == 3
    page.check()
    assert page.verdict.text.startswith("Solved: ")


def test_a_model_s_exercise_without_a_model_says_why_and_what_is_left(monkeypatch):
    def missing(_text, **_options):
        raise ImportError("a model needs PyTorch")

    monkeypatch.setattr(prompts, "trace_prompt", missing)
    monkeypatch.setattr(threading, "Thread", Inline)

    page = ExercisesPage(Settings(), {"exercise": "sink"})

    assert not page._pictures.visible
    assert not page.explorer.interaction.writes_address
    assert page._notice.text == "A model needs PyTorch. The toy's exercises need no model."
    page._choice.value = "half"
    assert page._pictures.visible


def test_a_sentence_is_read_once_for_all_its_exercises(monkeypatch):
    asked = []

    def trace_prompt(text, **_options):
        asked.append(text)
        trace = toy_trace(T=13, d_model=4, heads=2)
        trace.source = "prompt"
        return trace

    monkeypatch.setattr(prompts, "trace_prompt", trace_prompt)
    monkeypatch.setattr(threading, "Thread", Inline)
    # The model's starting heads are beyond this one's.
    monkeypatch.setattr(exercises_page.ExercisesPage, "_show", lambda _page, _trace: None)

    page = ExercisesPage(Settings(), {"exercise": "sink"})
    page._choice.value = "previous"

    assert len(asked) == 1


def test_an_exercise_of_another_page_links_to_it(page):
    page._choice.value = "two-prompts"

    assert "href='./compare'" in page._elsewhere.object
    assert not page._pictures.visible
    assert not page._export.visible


def test_the_answer_goes_into_the_report_with_the_check(page, monkeypatch):
    made = {}

    def save(explorer, path, *, title, foreword, stills):
        made.update(explorer=explorer, title=title, foreword=foreword, stills=stills)
        path.write_text("report")
        return path

    monkeypatch.setattr(exercises_page, "save_report", save)
    page.explorer.state.temperature = 10**0.35
    page.answer.text = "Because {it} is flat."
    sent = [["attn:plot:row", b"png"], ["another", b"x"]]
    page._export._handle_msg({"press": 1, "pictures": sent})

    assert made["explorer"] is page.explorer
    assert made["title"] == "Exercise: Half for itself"
    assert "**Solved: token 2 gives 48.2 % of its weight to itself.**" in made["foreword"]
    assert "Because {it} is flat." in made["foreword"]
    assert "layer 0, head 1, token 2, temperature 2.24, mask none" in made["foreword"]
    assert made["stills"] == {"Where “t2” looks": b"png"}
