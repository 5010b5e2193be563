"""Rules that names, numbers and arrays given to this package keep; each failure is one ValueError.

The message is the rule, then what came.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import numpy as np

FLOATS: tuple[np.dtype[Any], ...] = (np.dtype(np.float16), np.dtype(np.float32))
BOOLS: tuple[np.dtype[Any], ...] = (np.dtype(np.bool_),)


def check_array(name: str, array: object, dtypes: tuple[np.dtype[Any], ...]) -> None:
    """Refuse what is not a NumPy array of one of `dtypes`."""
    if not isinstance(array, np.ndarray) or array.dtype not in dtypes:
        wanted = " or ".join(str(dtype) for dtype in dtypes)
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{name} must be a NumPy array of {wanted}; got {got}")


def check_text(name: str, text: object) -> None:
    """Refuse what is not text, or cannot be shown."""
    if not isinstance(text, str):
        raise ValueError(f"{name} must be text; got {type(text).__name__}")  # noqa: TRY004 - one error type for wrong input
    # A lone surrogate cannot be sent to a browser: the whole page would fail, far from here.
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"{name} must be text that UTF-8 can hold; got {text[:80]!r}")


def check_count(name: str, number: object) -> None:
    """Refuse what is not an integer from 0."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ValueError(f"{name} must be an integer from 0; got {number!r}")


def check_choice(name: str, chosen: object, choices: tuple[str, ...]) -> None:
    """Refuse what is none of `choices`."""
    if chosen not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {chosen!r}")


def check_time(name: str, text: str) -> None:
    """Refuse what is not an ISO 8601 time with its zone."""
    check_text(name, text)
    try:
        zone = datetime.fromisoformat(text).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise ValueError(f"{name} must be an ISO 8601 time with its zone; got {text[:80]!r}")


def check_number(name: str, number: object) -> None:
    """Refuse what is not a finite real number."""
    if isinstance(number, bool) or not isinstance(number, int | float | np.number):
        raise ValueError(f"{name} must be a number; got {number!r}")  # noqa: TRY004 - one error type for wrong input
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite; got {number!r}")
