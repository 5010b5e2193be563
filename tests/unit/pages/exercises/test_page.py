"""The page of exercises: links, checks and exported answers."""

from __future__ import annotations

import json
import threading

import pytest

from attnpanel.models import prompts
from attnpanel.models.toy import toy_trace
from attnpanel.pages.exercises import EXERCISES, Exercise, Verdict
from attnpanel.pages.exercises import page as exercises_page
from attnpanel.pages.exercises.answers import file_name, signature, stored_words
from attnpanel.pages.exercises.page import (
    ExercisesPage,
)
from attnpanel.pages.server_settings import ServerSettings


class InlineThread:
    """A stand-in for a thread that runs its target in start()."""

    def __init__(self, target, **_options):
        self.start = target


@pytest.fixture
def page():
    return ExercisesPage(ServerSettings(), {})


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
    page = ExercisesPage(ServerSettings(), {"exercise": "causal", "head": "3", "mask": "causal"})

    assert page._choice.value == "causal"
    assert page.explorer.state.head == 3
    page.check()
    assert page.verdict.text.startswith("Solved: ")


def test_a_row_alone_adds_an_exercise(monkeypatch):
    def check(state):
        return Verdict(solved=state.head == 3, text=f"Head {state.head}.")

    row = Exercise("fake", "A fake one", "Task.", "Why?", "Look.", start={"head": 2}, check=check)
    monkeypatch.setattr(exercises_page, "EXERCISES", (*EXERCISES, row))

    page = ExercisesPage(ServerSettings(), {"exercise": "fake"})

    assert page._choice.options[f"{len(EXERCISES) + 1} · A fake one"] == "fake"
    assert (page._task.text, page._question.text) == ("Task.", "Why?")
    page._show_hint()
    assert page._hint.text == "Hint: Look."
    page.check()
    assert page.verdict.text == "Head 2."
    page.explorer.state.head = 3
    page.check()
    assert page.verdict.text == "Head 3."
    assert "attn-solved" in page.verdict.css_classes


def test_a_model_s_exercise_without_a_model_says_why_and_what_is_left(monkeypatch):
    def missing(_text, **_options):
        raise ImportError("a model needs PyTorch")

    monkeypatch.setattr(prompts, "trace_prompt", missing)
    monkeypatch.setattr(threading, "Thread", InlineThread)

    page = ExercisesPage(ServerSettings(), {"exercise": "sink"})

    assert not page._plots.visible
    assert page.explorer.bridge.component.address is None
    assert page._notice.text == "A model needs PyTorch. The toy's exercises need no model."
    page._choice.value = "half"
    assert page._plots.visible


def test_a_sentence_is_read_once_for_all_its_exercises(monkeypatch):
    asked = []

    def trace_prompt(text, **_options):
        asked.append(text)
        trace = toy_trace(T=13, d_model=4, heads=2)
        trace.source = "prompt"
        return trace

    monkeypatch.setattr(prompts, "trace_prompt", trace_prompt)
    monkeypatch.setattr(threading, "Thread", InlineThread)
    # The model's starting heads are beyond this one's.
    monkeypatch.setattr(exercises_page.ExercisesPage, "_show", lambda _page, _trace: None)

    page = ExercisesPage(ServerSettings(), {"exercise": "sink"})
    page._choice.value = "previous"

    assert len(asked) == 1


def test_an_exercise_of_another_page_links_to_it(page):
    page._choice.value = "two-prompts"

    assert "href='./compare'" in page._elsewhere.object
    assert not page._plots.visible
    assert not page._export.visible
    assert page._question.text.startswith("Which layer and head show it")


def test_a_check_waits_for_the_sentence_and_says_so(monkeypatch):
    threads = []

    class LaterThread:
        def __init__(self, target, **_options):
            self.start = lambda: threads.append(target)

    def trace_prompt(_text, **_options):
        trace = toy_trace(T=13, d_model=24, heads=12)
        trace.source = "prompt"
        return trace

    monkeypatch.setattr(prompts, "trace_prompt", trace_prompt)
    monkeypatch.setattr(threading, "Thread", LaterThread)
    monkeypatch.setitem(exercises_page.EXERCISES[4].start, "layer", 0)
    page = ExercisesPage(ServerSettings(), {"exercise": "previous"})

    page.check()
    assert page.verdict.text == "The sentence is still being read; the check follows."

    threads[0]()
    assert page.verdict.text.startswith("Not yet: layer 0, head 1 gives ")


def test_the_answer_goes_into_the_report_with_the_check(page, monkeypatch):
    made = {}
    monkeypatch.setattr(threading, "Thread", InlineThread)

    def save(shown, path, *, title, foreword, stills, progress):
        made.update(shown=shown, title=title, foreword=foreword, stills=stills)
        path.write_text("report")
        return path

    monkeypatch.setattr(exercises_page, "save_report", save)
    page.explorer.state.temperature = 10**0.35
    page.answer.text = "Because {it} is flat."
    sent = [["attn:plot:row", b"png"], ["another", b"x"]]
    page._export._handle_msg({"press": 1, "plots": sent})

    assert made["shown"].trace is page.explorer.state.trace
    assert made["shown"].choices["temperature"] == page.explorer.state.temperature
    assert made["title"] == "Exercise: Half for itself"
    assert "**Solved: token 2 gives 48.2 % of its weight to itself.**" in made["foreword"]
    assert "Because {it} is flat." in made["foreword"]
    said = made["foreword"].replace("\\", "")
    assert "layer 0, head 1, token 2 · t2, temperature 2.24, mask none" in said
    assert made["stills"] == {"Where “t2” looks": b"png"}


@pytest.mark.parametrize(
    ("name", "day", "line"),
    [
        ("Ada King", "2026-12-01", "*Ada King, 2026-12-01*"),
        ("", "2026-12-01", "*2026-12-01*"),
        ("Ada", "", "*Ada*"),
        ("", "", ""),
        ("a *b*\n# <i>", "yesterday", r"*a \*b\* \# \<i\>*"),
    ],
)
def test_name_and_date_are_one_line_without_markup(name, day, line):
    assert signature(name, day) == line


@pytest.mark.parametrize(
    ("name", "day", "file"),
    [
        ("Ada  King", "2026-12-01", "answer-half-ada-king-2026-12-01.html"),
        ("../etc/passwd\x00", "2026-12-01/..", "answer-half-etc-passwd.html"),
        ("\u738b \u4f1f", "", "answer-half-\u738b-\u4f1f.html"),
        ("", "", "answer-half.html"),
    ],
)
def test_a_file_is_named_after_exercise_name_and_date(name, day, file):
    assert file_name("half", name, day) == file


def test_name_and_date_stand_in_the_answer_and_its_file_s_name(page, monkeypatch):
    saved = {}
    monkeypatch.setattr(
        exercises_page, "save_report", lambda *_arguments, **options: saved.update(options)
    )
    page.name.text, page.date.text = "Ada", "2026-12-01"

    page._make_report().write(None)

    assert "*Ada, 2026-12-01*" in saved["foreword"]
    assert page._export.filename == "answer-half-ada-2026-12-01.html"


def saved_all(page, monkeypatch):
    saved = {}
    monkeypatch.setattr(
        exercises_page, "save_report", lambda *_arguments, **options: saved.update(options)
    )
    file = page._make_all()
    if file is not None:
        file.write(None)
    return saved


def test_all_answers_are_one_file_in_the_order_of_the_exercises(page, monkeypatch):
    stored = {"exercise=two-prompts": "Kept of an earlier visit.", "exercise=half": "Old."}
    page.answer.kept = json.dumps(stored)
    page.name.text, page.date.text = "Ada", "2026-12-01"
    page.answer.text = "New."
    page.explorer.state.temperature = 10**0.35
    page._check_button._handle_msg({"press": 1, "plots": []})
    pictures = [["attn:plot:row", b"png"], ["another", b"x"]]
    page._check_button._handle_msg({"press": 1, "plots": pictures, "late": True})
    page._make_report()  # which checks again, and keeps the pictures
    page._choice.value = "causal"
    page.answer.text = "Of this one."

    saved = saved_all(page, monkeypatch)

    said = "\n".join(text for text, _ in saved["foreword"])
    assert [found for _, found in saved["foreword"] if found] == [{"Where “t2” looks": b"png"}]
    order = ["*Ada, 2026-12-01*", "New.", "Of this one.", "Kept of an earlier visit."]
    assert sorted(order, key=said.index) == order
    assert "Old." not in said
    assert "**Solved: token 2 gives 48.2 % of its weight to itself.**" in said
    assert said.count("Not checked on this visit.") == 1  # of the other page there is no check
    assert saved["title"] == f"Exercises: 3 of {len(EXERCISES)}"
    assert page._export_all.filename == "answer-all-ada-2026-12-01.html"


def test_without_an_answer_there_is_nothing_to_export(page, monkeypatch):
    page.answer.kept = '{"exercise=half": "  ", "exercise=no-such": "x"}'
    page.answer.text = " "

    assert saved_all(page, monkeypatch) == {}
    assert page._notice.text == "There is no answer to export yet."


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ('{"exercise=half": "a", "exercise=sink": 1}', {"half": "a"}),
        ("", {}),
        ("[1]", {}),
        ("{", {}),
        ("[" * 100_000, {}),
    ],
)
def test_of_what_a_page_says_it_has_stored_only_texts_are_taken(kept, words):
    assert stored_words(kept) == words
