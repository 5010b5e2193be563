"""Read and validate the text of the task `text`."""

from __future__ import annotations

from typing import Final

MAX_TEXT: Final = 1_000_000
MAX_CHARACTERS: Final = 256
WINDOW: Final = 64
# Fraction of a text that is held out for the examples that are not trained on.
HELD_OUT: Final = 0.1


def read_text(data: bytes) -> str:
    """Decode a text file that is to be learned.

    Raises
    ------
    ValueError
        If it is empty, too short, too long, or not UTF-8 text.
    """
    if len(data) > 4 * MAX_TEXT:
        raise ValueError(
            f"a text may have at most {MAX_TEXT:,} characters; got {len(data):,} bytes"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"a text file must be UTF-8; byte {error.start:,} of this one is not"
        ) from None
    check_training_text(text)
    return text


def check_training_text(text: str) -> None:
    """Raise ValueError if a text is too short, too long or too varied to learn from."""
    if not text.strip():
        raise ValueError("a text to learn must not be empty")
    if "\0" in text:
        raise ValueError("a text file must hold text; this one holds zero bytes")
    least = int(2 * (WINDOW + 1) / HELD_OUT)
    if not least <= len(text) <= MAX_TEXT:
        raise ValueError(
            f"a text to learn must have {least:,} to {MAX_TEXT:,} characters; got {len(text):,}"
        )
    different = len(set(text))
    if different > MAX_CHARACTERS:
        raise ValueError(
            f"a text to learn must have at most {MAX_CHARACTERS} different characters; "
            f"got {different}"
        )
