"""An exercise, and the verdict of its check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attnpanel.explorer.state import ExplorerState


@dataclass(frozen=True)
class Verdict:
    """Result of a check.

    Attributes
    ----------
    solved : bool
    text : str
        Shown to the reader; has the measured number, so that a wrong try says how far off it is.
    """

    solved: bool
    text: str


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes
    ----------
    name : str
        Its name in links.
    title : str
        Its name in the menu.
    task : str
        What to do in the explorer.
    question : str
        What to answer in words; read by a teacher, not by the check.
    hint : str
        Shown on request.
    prompt : str
        The sentence whose attention is shown; empty for the toy.
    start : mapping
        The explorer's initial choices.
    check : callable or None
        Takes the explorer's state and returns a verdict; None if there is no single answer.
    elsewhere : str
        Name of the page on which the exercise is done; empty for this page.
    """

    name: str
    title: str
    task: str
    question: str
    hint: str
    prompt: str = ""
    start: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[ExplorerState], Verdict] | None = None
    elsewhere: str = ""
