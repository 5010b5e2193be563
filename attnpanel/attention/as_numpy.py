"""Convert whatever holds numbers to NumPy: torch tensors of any dtype, JAX arrays, lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.attention.validation import numbers_of_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


def as_numpy(name: str, array: Any) -> NDArray[Any]:
    """Return an array as NumPy holds it; the result may share the argument's memory.

    Parameters
    ----------
    name : str
        What to call it in an error.
    array : array, tensor or nested sequence
        A torch tensor may require gradients, lie on any device and have any dtype; numbers that
        NumPy has no type for (bfloat16, float8) become float32.

    Raises
    ------
    ValueError
        If it holds no real numbers or booleans, is ragged, or has no data (a meta tensor).
    """
    if hasattr(array, "detach") and hasattr(array, "is_floating_point"):
        array = numbers_of_tensor(name, array)
    try:
        converted: NDArray[Any] = np.asarray(array)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name} must be an array of numbers; got {type(array).__name__}: {error}"
        ) from None
    if converted.dtype.kind == "V" or converted.dtype.name == "bfloat16":  # ml_dtypes, as JAX uses
        converted = converted.astype(np.float32)
    if converted.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be an array of real numbers; got {type(array).__name__} of "
            f"{converted.dtype}"
        )
    return converted


def as_floats(name: str, array: Any) -> NDArray[np.floating]:
    """Return an array as float16, if it is that, else as float32.

    Raises
    ------
    ValueError
        As for :func:`as_numpy`, or if a finite number is beyond float32.
    """
    numbers = as_numpy(name, array)
    if numbers.dtype in (np.float16, np.float32):
        return numbers
    with np.errstate(over="ignore"):
        narrow = numbers.astype(np.float32)
    if numbers.dtype.itemsize > 4 and (np.isinf(narrow) & np.isfinite(numbers)).any():
        raise ValueError(f"{name} must be within float32; got {np.abs(numbers).max()}")
    return narrow
