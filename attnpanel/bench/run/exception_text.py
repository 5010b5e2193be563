"""Format an exception as a short string for a result file."""

from __future__ import annotations

from typing import Final

MAX_REASON: Final = 500  # characters; an exception's text can contain a whole array


def format_exception(error: BaseException) -> str:
    """Return the type and message of an exception, truncated to `MAX_REASON` characters."""
    return f"{type(error).__name__}: {error}"[:MAX_REASON]
