"""What was raised, as a reason that a run may hold."""

from __future__ import annotations

from typing import Final

MOST_REASON: Final = 500  # characters; an exception's text can hold an array


def in_words(error: BaseException) -> str:
    """Return an exception's kind and message, cut to a bounded length."""
    return f"{type(error).__name__}: {error}"[:MOST_REASON]
