"""Read arrays of NumPy, PyTorch and JAX: shape, dtype, device, and values in float64.

Arrays are read through their own attributes; no framework is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# JAX calls a device "gpu" that torch calls "cuda"; torch's names are used throughout.
TORCH_DEVICE_NAMES = {"gpu": "cuda"}


@dataclass(frozen=True)
class ArrayFacts:
    """Shape, dtype and device of an array.

    Attributes
    ----------
    shape : tuple of int
    dtype : str
        ``"float64"``, ``"float32"``, ``"float16"``, ``"bfloat16"``, …: the same name for every
        framework.
    device : str
        Type of device by torch's name: ``"cpu"``, ``"cuda"``, ``"xpu"``, ``"mps"``.
    """

    shape: tuple[int, ...]
    dtype: str
    device: str


def describe(array: Any) -> ArrayFacts:
    """Return shape, dtype and device of a NumPy, PyTorch or JAX array without reading values.

    Raises
    ------
    TypeError
        For anything else; the message names its type.

    Examples
    --------
    >>> describe(np.zeros((2, 3), np.float32))
    ArrayFacts(shape=(2, 3), dtype='float32', device='cpu')
    """
    if isinstance(array, np.ndarray):
        return ArrayFacts(array.shape, array.dtype.name, "cpu")
    match _framework(array):
        case "torch":
            dtype = str(array.dtype).removeprefix("torch.")
            return ArrayFacts(tuple(array.shape), dtype, array.device.type)
        case "jax":
            (platform,) = {device.platform for device in array.devices()}
            return ArrayFacts(
                array.shape, array.dtype.name, TORCH_DEVICE_NAMES.get(platform, platform)
            )
    raise TypeError(_rule(array))


def to_float64(array: Any) -> NDArray[np.float64]:
    """Copy a NumPy, PyTorch or JAX array from any device to a new NumPy array.

    Raises
    ------
    TypeError
        For anything else; the message names its type.

    Examples
    --------
    >>> to_float64(np.array([0.5, 2.0], np.float16))
    array([0.5, 2. ])
    """
    if not isinstance(array, np.ndarray):
        match _framework(array):
            case "torch":
                # To the CPU first: MPS has no float64. In torch, because NumPy has no bfloat16.
                array = array.detach().cpu().double().numpy()
            case "jax":
                array = np.asarray(array)
            case _:
                raise TypeError(_rule(array))
    return np.array(array, dtype=np.float64)


def memory_of(array: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return all elements of the memory that an array is a view of, and where in it it begins.

    Only of an array of strides that are multiples of its elements, none of them negative. The
    elements are a view, too.
    """
    address = array.__array_interface__["data"][0]
    owner = owner_of(array)
    first, end = np.lib.array_utils.byte_bounds(owner)
    low, high = np.lib.array_utils.byte_bounds(array)
    inside = first <= low and high <= end and (low - first) % array.itemsize == 0
    if owner.dtype != array.dtype or not inside or min(owner.strides, default=0) < 0:
        owner, first, end = array, low, high
    count = (end - first) // array.itemsize
    elements = np.lib.stride_tricks.as_strided(owner, (count,), (array.itemsize,))
    return elements, (address - first) // array.itemsize


def owner_of(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array whose memory an array is a view of; itself if it is of none."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _framework(array: object) -> str:
    # By module name, so that neither framework is imported; subclasses (Parameter, FakeTensor)
    # count as torch, and JAX's arrays are defined in jaxlib.
    for base in type(array).__mro__:
        package = base.__module__.partition(".")[0]
        if package == "torch":
            return "torch"
        if package in {"jax", "jaxlib"}:
            return "jax"
    return ""


def _rule(array: object) -> str:
    return f"an array must be NumPy's, PyTorch's or JAX's; got {type(array).__name__}"
