"""Which exercises are solved: marks in the list, which the browser keeps over a reload."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import param

from attnpanel.ui.components import Styled, bundle
from attnpanel.ui.page_input import Text
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnpanel.pages.exercises.exercise import Exercise

MARK = "✓"
MAX_KEPT = 4000


class SolvedMarks(Styled):
    """The names of solved exercises, kept by the browser; invisible.

    Parameters
    ----------
    choice : Panel select
        The list of exercises, whose labels get a mark.
    exercises : sequence of Exercise
        Those in the list.
    """

    solved = param.List(default=[], item_type=str, doc="Those solved on this page.")
    kept = Text(max_length=MAX_KEPT, doc="Those the browser has stored, as JSON; untrusted.")

    page_sets = ("kept",)

    _esm = bundle("solved_marks")

    def __init__(self, choice: Any, exercises: Sequence[Exercise]) -> None:
        self._choice, self._exercises = choice, exercises
        super().__init__(width=0, height=0, margin=0, css_classes=["attn-unseen"])
        self.param.watch(lambda *_events: self._mark(), ["kept", "solved"])

    def add(self, name: str) -> None:
        """Mark an exercise as solved."""
        if name not in self.solved:
            self.solved = [*self.solved, name]

    def _mark(self) -> None:
        solved = {*self.solved, *stored_names(self.kept)}
        options = exercise_labels(self._exercises, solved)
        if options != self._choice.options:
            self._choice.options = options


def stored_names(kept: str) -> list[str]:
    """Return the names in a browser's text; none if it is anything else."""
    try:
        names = json.loads(kept or "[]")
    except (ValueError, RecursionError):
        return []
    is_texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_texts else []


def exercise_labels(exercises: Sequence[Exercise], solved: set[str]) -> dict[str, str]:
    """Return each exercise's name by its label in the list."""
    return {
        f"{number} · {t(exercise.title)}{f' {MARK}' * (exercise.name in solved)}": exercise.name
        for number, exercise in enumerate(exercises, start=1)
    }
