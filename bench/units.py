"""The unit errors are counted in: what rounding alone explains, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from bench.rounding import SIXTEEN_BIT, SMALLEST, UNIT_ROUNDOFF

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import Request
    from bench.reference import Reference

# An error of up to this many units passes. Correct code stays below 3.6 at temperatures from
# 0.01 to 100; a scale wrong by 1e-4 is 106 units, scores rounded to float16 are 388.
PASSING_UNITS: Final = 8.0
# A kernel that keeps scores and weights in 16 bits rounds each of them a few times, and each
# worst case is this small a part of the formula's: see weight_error.
STORAGE_SHARE: Final = 0.25
# Above it e ** x - 1 only says that nothing is known, and would overflow.
LARGEST_EXPONENT: Final = 50.0


def weight_error(
    request: Request, implementation: Implementation, condition: NDArray[np.floating]
) -> NDArray[np.floating]:
    """The relative error of a row's weights that counts as one unit, of shape (B, H, T).

    With u the unit roundoff, κ the row's condition and S the number of keys:

    - ``exp(u (κ + log2 S + 4)) - 1`` for float32 and float64;
    - ``4 u + exp(2^-24 (κ + log2 S)) - 1`` for 16-bit inputs whose scores are kept in float32;
    - a quarter of the first for 16-bit inputs whose scores are kept in 16 bits.

    κ is the rounding of the scores, log2 S that of the sums, 4 that of the few steps left. The
    exponential is its argument as long as that is small, and stays true where it is not.
    """
    steps = np.log2(request.key_len)
    unit = UNIT_ROUNDOFF[request.dtype]
    if request.dtype not in SIXTEEN_BIT:
        return _growth(unit * (condition + steps + 4))
    if implementation.scores_dtype == "storage":
        return STORAGE_SHARE * _growth(unit * (condition + steps + 4))
    return 4 * unit + _growth(UNIT_ROUNDOFF["float32"] * (condition + steps))


def output_unit(
    request: Request,
    implementation: Implementation,
    reference: Reference,
    condition: NDArray[np.floating] | None = None,
) -> NDArray[np.floating]:
    """One unit of the output, of shape (B, H, T, Dv), in the output's own unit.

    ``weight_error · (weights @ |value|) + smallest · (1 + Σ_j |value_j|)``: the second part is
    a weight too small to be kept, and a result too small to be stored.

    Parameters
    ----------
    request, implementation, reference
    condition : float array of shape (B, H, T), optional
        Another than the reference's, where the same answer came from harder scores.
    """
    relative = weight_error(
        request, implementation, reference.condition if condition is None else condition
    )
    floor = SMALLEST[request.dtype] * (1 + reference.value_sum)
    unit: NDArray[np.floating] = relative[..., None] * reference.magnitude + floor
    return unit


def _growth(exponent: NDArray[np.floating]) -> NDArray[np.floating]:
    grown: NDArray[np.floating] = np.expm1(np.minimum(exponent, LARGEST_EXPONENT))
    return grown
