"""An exported answer: its texts, who wrote it, its file's name, and what a browser has stored."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from attnpanel.attention.mask_table import find_mask
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from attnpanel.explorer.state import ExplorerState
    from attnpanel.pages.exercises.exercise import Exercise

# What Markdown could take for markup.
MARKUP = r"[!-,./:-@\[-`{-~]"
# What the browser stores an exercise's words under, before its name.
SUBJECT = "exercise="


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes
    ----------
    verdict : str
    place : str
        The state that the verdict is about, in words.
    pictures : mapping of str to bytes
        PNG by caption.
    """

    verdict: str
    place: str
    pictures: Mapping[str, bytes] = field(default_factory=dict)


def signature(name: str, day: str) -> str:
    """Return name and date as a line of Markdown, in which neither is markup; "" without both."""
    escaped = re.sub(MARKUP, _escape, " ".join(name.split()))
    line = ", ".join(part for part in (escaped, _day(day)) if part)
    return f"*{line}*" if line else ""


def file_name(exercise: str, name: str, day: str) -> str:
    """Return the name of an answer's file: exercise, name and date, without signs and spaces.

    Examples
    --------
    >>> file_name("half", "Ada  King/Lovelace", "2026-12-01")
    'answer-half-ada-king-lovelace-2026-12-01.html'
    """
    words = re.sub(r"[\W_]+", "-", name.lower()).strip("-")
    return "-".join(part for part in ("answer", exercise, words, _day(day)) if part) + ".html"


def stored_words(kept: str) -> dict[str, str]:
    """Return the words of each exercise that a browser says it has stored; {} of other JSON."""
    try:
        texts = json.loads(kept)
    except (ValueError, RecursionError):
        return {}
    return {
        name.removeprefix(SUBJECT): text
        for name, text in (texts.items() if isinstance(texts, dict) else ())
        if isinstance(text, str)
    }


def task_text(exercise: Exercise) -> str:
    """Return what to do, with the sentence that the model reads."""
    sentence = t("The sentence: “{prompt}”", prompt=exercise.prompt) if exercise.prompt else ""
    return f"{t(exercise.task)} {sentence}".strip()


def one_answer(exercise: Exercise, words: str, checked: Checked | None, signed: str = "") -> str:
    """Return an answer as Markdown: task, verdict, question and words."""
    verdict = checked.verdict if checked else t("Not checked on this visit.")
    place = t("As it stood: {place}.", place=checked.place) if checked else ""
    found = [f"**{verdict}**"] * bool(verdict) + [re.sub(MARKUP, _escape, place)] * bool(place)
    parts = [
        signed,
        task_text(exercise),
        "" if exercise.elsewhere else " ".join(found),
        f"### {t(exercise.question)}",
        words.strip() or t("No answer was written."),
    ]
    return "\n\n".join(part for part in parts if part)


def all_answers(
    exercises: Sequence[Exercise], words: Mapping[str, str], checked: Mapping[str, Checked]
) -> list[tuple[str, Mapping[str, bytes]]]:
    """Return the answers that were written or checked, each as Markdown with its pictures."""
    answers: list[tuple[str, Mapping[str, bytes]]] = []
    for number, exercise in enumerate(exercises, start=1):
        text, found = words.get(exercise.name, ""), checked.get(exercise.name)
        if text.strip() or found:
            heading = f"## {number} · {t(exercise.title)}"
            answer = one_answer(exercise, text, found)
            answers.append((f"{heading}\n\n{answer}", found.pictures if found else {}))
    return answers


def live_line(exercise: Exercise) -> str:
    """Return whose explorer stands below all answers, as Markdown; "" for one of another page."""
    if exercise.elsewhere:
        return ""
    return f"*{t('Below, live: {title}.', title=t(exercise.title))}*"


def describe_state(state: ExplorerState) -> str:
    """Describe the state that the verdict is about."""
    mean = state.aggregate
    return t(
        "{layer}, {head}, token {token}, temperature {temperature}, mask {mask}",
        layer=t("layer {number}", number=state.layer),
        head=t("the mean of all heads") if mean else t("head {head}", head=state.head),
        token=f"{state.query_index} · {state.query_tokens[state.query_index]}",
        temperature=f"{state.temperature:.3g}",
        mask=t("as the model") if state.mask == "model" else t(find_mask(state.mask).label),
    )


def _day(text: str) -> str:
    """Return a date as ISO 8601 has it, or "" if a page sent none."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def _escape(sign: re.Match[str]) -> str:
    return f"\\{sign[0]}"
