"""An exported answer: its texts, who wrote it, its file's name, and what a browser has stored."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import TYPE_CHECKING

from attnpanel.ui.words import t

if TYPE_CHECKING:
    from attnpanel.explorer.state import ExplorerState

ANSWER = """
{task}

**{verdict}**

### {question}

{answer}

{signature}

{place}
"""
ONE_OF_ALL = """## {title}

{task}

**{verdict}**

### {question}

{answer}
"""
# What Markdown could take for markup.
MARKUP = r"[!-,./:-@\[-`{-~]"
# What the browser stores an exercise's words under, before its name.
SUBJECT = "exercise="


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


def describe_state(state: ExplorerState) -> str:
    """Describe the state that the verdict is about."""
    mean = state.aggregate
    return t(
        "{layer}, {head}, token {token}, temperature {temperature}, mask {mask}",
        layer=t("layer {number}", number=state.layer),
        head=t("the mean of all heads") if mean else t("head {head}", head=state.head),
        token=state.query_index,
        temperature=f"{state.temperature:.3g}",
        mask=state.mask,
    )


def _day(text: str) -> str:
    """Return a date as ISO 8601 has it, or "" if a page sent none."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def _escape(sign: re.Match[str]) -> str:
    return f"\\{sign[0]}"
