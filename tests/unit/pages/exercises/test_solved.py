"""What is solved has a mark in the list, and a browser's memory is hostile input."""

import json
from dataclasses import replace

import pytest

from attnpanel.pages.exercises import EXERCISES
from attnpanel.pages.exercises.exercise import Verdict
from attnpanel.pages.exercises.page import ExercisesPage
from attnpanel.pages.exercises.solved import exercise_labels, stored_names
from attnpanel.pages.server_settings import ServerSettings

FIRST, SECOND = (exercise.name for exercise in EXERCISES[:2])


def marked(page: ExercisesPage) -> list[str]:
    return [name for label, name in page._choice.options.items() if label.endswith(" ✓")]


@pytest.mark.thorough
def test_a_solved_exercise_and_those_of_before_are_marked():
    page = ExercisesPage(ServerSettings(), {})
    assert marked(page) == []

    page.solved.kept = json.dumps([SECOND, "no such exercise"])
    assert marked(page) == [SECOND]

    page.solved.add(FIRST)
    assert marked(page) == [FIRST, SECOND]
    assert page._choice.value == FIRST


@pytest.mark.parametrize(("solved", "names"), [(True, [FIRST]), (False, [])])
def test_a_check_marks_what_it_finds_solved(solved, names):
    page = ExercisesPage(ServerSettings(), {})
    found = Verdict(solved=solved, text="Found.")
    page.exercise = replace(page.exercise, check=lambda _state: found)

    page.check()

    assert marked(page) == names


@pytest.mark.parametrize(
    "kept", ["", "[", "[" * 3999, "{}", "[1]", '"half"', "null", '[["half"]]', "<script>"]
)
def test_anything_else_that_a_browser_holds_is_ignored(kept):
    assert stored_names(kept) == []


def test_labels_are_numbered_from_1():
    assert next(iter(exercise_labels(EXERCISES, set()))).startswith("1 · ")
