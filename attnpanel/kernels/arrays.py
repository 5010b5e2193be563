"""What a framework's array is, and its numbers in float64: how results of every kind are judged.

NumPy, PyTorch and JAX arrays are read through their own attributes; none of the frameworks is
imported here, so that an array of one never pays for another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# JAX says "gpu" for what torch calls "cuda"; torch's words are the bench's.
TORCH_WORDS = {"gpu": "cuda"}


@dataclass(frozen=True)
class ArrayFacts:
    """What an array is, apart from its numbers.

    Attributes
    ----------
    shape : tuple of int
    dtype : str
        ``"float64"``, ``"float32"``, ``"float16"``, ``"bfloat16"``, …: the same word for every
        framework.
    device : str
        The type of device, in torch's words: ``"cpu"``, ``"cuda"``, ``"xpu"``, ``"mps"``.
    """

    shape: tuple[int, ...]
    dtype: str
    device: str


def describe(array: Any) -> ArrayFacts:
    """Shape, dtype and device of a NumPy, PyTorch or JAX array; numbers are not read.

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
            return ArrayFacts(array.shape, array.dtype.name, TORCH_WORDS.get(platform, platform))
    raise TypeError(_rule(array))


def to_float64(array: Any) -> NDArray[np.float64]:
    """The numbers of a NumPy, PyTorch or JAX array on any device, as a new NumPy array.

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


def _framework(array: object) -> str:
    # By name, so that neither framework is imported; torch's subclasses (Parameter, FakeTensor)
    # count as torch, and JAX's arrays live in jaxlib.
    for kind in type(array).__mro__:
        top = kind.__module__.partition(".")[0]
        if top == "torch":
            return "torch"
        if top in {"jax", "jaxlib"}:
            return "jax"
    return ""


def _rule(array: object) -> str:
    return f"an array must be NumPy's, PyTorch's or JAX's; got {type(array).__name__}"
