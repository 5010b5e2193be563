"""One exercise, and what its check says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attnpanel.state import ExplorerState


@dataclass(frozen=True)
class Verdict:
    """What a check finds.

    Attributes
    ----------
    solved : bool
    words : str
        What is shown, with its number, so that a wrong try says how far off it is.
    """

    solved: bool
    words: str


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes
    ----------
    name : str
        For an address.
    title : str
        What a reader chooses.
    task : str
        What to do.
    question : str
        What to write: a check can't read it, a teacher can.
    hint : str
        Shown when asked for.
    prompt : str
        The sentence whose attention is shown; none for the toy.
    start : mapping
        The explorer's choices to start with.
    check : callable or None
        Takes the explorer's state; None where what is asked for has no one answer.
    elsewhere : str
        The page of the site on which the exercise is done; none where it is done here.
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
