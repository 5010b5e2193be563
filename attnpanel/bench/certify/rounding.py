"""Properties of each floating-point dtype: unit roundoff, smallest number, rounding to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.kernels.request import DType

# Half the distance from 1 to the next number: the largest relative error of one rounding.
UNIT_ROUNDOFF: Final[dict[DType, float]] = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}
# The smallest weight that is never flushed to zero. Vectorised exponentials flush subnormals; only
# in float16 do weights reach the subnormal range, and every converter to float16 keeps subnormals.
SMALLEST: Final[dict[DType, float]] = {
    "float64": 2.0**-1022,
    "float32": 2.0**-126,
    "float16": 2.0**-24,
    "bfloat16": 2.0**-126,
}
SIXTEEN_BIT: Final[frozenset[DType]] = frozenset({"float16", "bfloat16"})


def round_to(array: NDArray[np.floating], dtype: DType) -> NDArray[np.floating]:
    """Round to the nearest number of `dtype`, ties to even.

    Parameters
    ----------
    array : float array of any shape
        Finite.
    dtype : {"float64", "float32", "float16", "bfloat16"}

    Returns
    -------
    float array of the same shape
        In that dtype; bfloat16, which NumPy lacks, as float32 holding bfloat16 values.

    Examples
    --------
    bfloat16 keeps 8 significant bits, and 257 needs 9:

    >>> round_to(np.array([256.0, 257.0, 259.0]), "bfloat16")
    array([256., 256., 260.], dtype=float32)
    """
    if dtype != "bfloat16":
        return array.astype(dtype)
    bits = array.astype(np.float32).view(np.uint32)
    # Adding half a unit in the last kept place, less one if that bit is even, carries into the
    # upper 16 bits exactly where round-half-to-even rounds up.
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return bits.view(np.float32)
