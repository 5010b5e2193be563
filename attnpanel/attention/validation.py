"""Check arguments given to this package: names, numbers and arrays; raise ValueError.

The message has the rule, then the value.
"""

from __future__ import annotations

import math
from datetime import datetime
from reprlib import repr as short
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOATS: tuple[np.dtype[Any], ...] = (np.dtype(np.float16), np.dtype(np.float32))
# The floating-point types that torch and NumPy share.
TORCH_FLOATS = ("torch.float16", "torch.float32", "torch.float64")
BOOLS: tuple[np.dtype[Any], ...] = (np.dtype(np.bool_),)
# The weights of a query that may see no key: 0 on all keys, 1/S on all S keys, or nan.
EmptyRows = Literal["zero", "uniform", "nan"]
MAX_COUNT = 2**31 - 1  # larger than any position, small enough that NumPy does not overflow


def as_array(value: Any) -> NDArray[Any]:
    """Return an argument as a NumPy array; a torch tensor of any dtype and device is welcome.

    Numbers of 8 and 16 bits that NumPy does not have become float32. Gradients don't flow.
    """
    return numbers_of_tensor("an array", value) if hasattr(value, "detach") else np.asarray(value)


def numbers_of_tensor(name: str, tensor: Any) -> NDArray[Any]:
    """Return a torch tensor as a NumPy array.

    Raises
    ------
    ValueError
        If it is not an ordinary one: without numbers, sparse, nested or quantised.
    """
    kinds = {
        "on the meta device, without numbers": tensor.is_meta,
        "nested": tensor.is_nested,
        f"{str(tensor.layout).removeprefix('torch.')}: call to_dense()": "strided"
        not in str(tensor.layout),
        "quantised: call dequantize()": tensor.is_quantized,
    }
    for kind, found in kinds.items():
        if found:
            raise ValueError(f"{name} must be an ordinary tensor; it is {kind}")
    tensor = tensor.detach().to("cpu")
    if tensor.is_floating_point() and str(tensor.dtype) not in TORCH_FLOATS:
        tensor = tensor.float()
    return np.asarray(tensor.resolve_conj().resolve_neg().numpy())


def as_texts(name: str, given: Any) -> list[str]:
    """Return one text, or several, as a list; raise ValueError if they are no texts."""
    texts = [given] if isinstance(given, str) else as_list(name, given)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{name} must be a text, or a sequence of texts; got {short(given)}")
    return texts


def as_list(name: str, given: Any) -> list[Any]:
    """Return what is iterable as a list; raise ValueError if it is not."""
    try:
        return list(given)
    except TypeError:
        raise ValueError(f"{name} must be a sequence; got {short(given)}") from None


def check_array(name: str, array: object, dtypes: tuple[np.dtype[Any], ...]) -> None:
    """Raise ValueError unless `array` is a NumPy array of one of `dtypes`."""
    if not isinstance(array, np.ndarray) or array.dtype not in dtypes:
        wanted = " or ".join(str(dtype) for dtype in dtypes)
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{name} must be a NumPy array of {wanted}; got {got}")


def check_text(name: str, text: object) -> None:
    """Raise ValueError unless `text` is a string that can be encoded as UTF-8."""
    if not isinstance(text, str):
        raise ValueError(f"{name} must be text; got {type(text).__name__}")  # noqa: TRY004 - one error type for wrong input
    # A page with a lone surrogate cannot be sent to a browser, and fails far from here.
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be text that UTF-8 can hold; got {short(text)}") from None


def check_count(name: str, number: object) -> None:
    """Raise ValueError unless `number` is an integer from 0."""
    if type(number) is not int or not 0 <= number <= MAX_COUNT:
        raise ValueError(f"{name} must be an integer from 0 to {MAX_COUNT}; got {short(number)}")


def check_choice(name: str, choice: object, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless `choice` is one of `choices`."""
    if choice not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {short(choice)}")


def check_flag(name: str, flag: object) -> None:
    """Raise ValueError unless `flag` is True or False."""
    if not isinstance(flag, bool | np.bool):
        raise ValueError(f"{name} must be True or False; got {short(flag)}")  # noqa: TRY004 - one error type for wrong input


def check_time(name: str, text: str) -> None:
    """Raise ValueError unless `text` is an ISO 8601 time with its zone."""
    check_text(name, text)
    try:
        zone = datetime.fromisoformat(text).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise ValueError(f"{name} must be an ISO 8601 time with its zone; got {short(text)}")


def check_number(name: str, number: object) -> None:
    """Raise ValueError unless `number` is a finite real number."""
    if isinstance(number, bool) or not isinstance(number, int | float | np.number):
        raise ValueError(f"{name} must be a number; got {short(number)}")  # noqa: TRY004 - one error type for wrong input
    try:
        finite = math.isfinite(number)
    except OverflowError:  # an int larger than every float
        finite = False
    if not finite:
        raise ValueError(f"{name} must be finite; got {short(number)}")
