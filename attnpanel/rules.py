"""Rules that names, numbers and arrays given to this package keep; each failure is one ValueError.

The message is the rule, then what came.
"""

from __future__ import annotations

import math
from datetime import datetime
from reprlib import repr as short
from typing import Any, Literal

import numpy as np

FLOATS: tuple[np.dtype[Any], ...] = (np.dtype(np.float16), np.dtype(np.float32))
BOOLS: tuple[np.dtype[Any], ...] = (np.dtype(np.bool_),)
# The weights of a query that may see no key: none anywhere, 1/S on all S keys, or nan.
EmptyRows = Literal["zero", "uniform", "nan"]
MAX_COUNT = 2**31 - 1  # far above any position, far below where NumPy overflows


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
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be text that UTF-8 can hold; got {short(text)}") from None


def check_count(name: str, number: object) -> None:
    """Refuse what is not an integer from 0."""
    if type(number) is not int or not 0 <= number <= MAX_COUNT:
        raise ValueError(f"{name} must be an integer from 0 to {MAX_COUNT}; got {short(number)}")


def check_choice(name: str, chosen: object, choices: tuple[str, ...]) -> None:
    """Refuse what is none of `choices`."""
    if chosen not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {short(chosen)}")


def check_time(name: str, text: str) -> None:
    """Refuse what is not an ISO 8601 time with its zone."""
    check_text(name, text)
    try:
        zone = datetime.fromisoformat(text).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise ValueError(f"{name} must be an ISO 8601 time with its zone; got {short(text)}")


def check_number(name: str, number: object) -> None:
    """Refuse what is not a finite real number."""
    if isinstance(number, bool) or not isinstance(number, int | float | np.number):
        raise ValueError(f"{name} must be a number; got {short(number)}")  # noqa: TRY004 - one error type for wrong input
    try:
        finite = math.isfinite(number)
    except OverflowError:  # an int beyond every float
        finite = False
    if not finite:
        raise ValueError(f"{name} must be finite; got {short(number)}")
