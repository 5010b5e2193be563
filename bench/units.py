"""The unit errors are counted in: what rounding alone explains, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from bench.reference import parts, wide_type
from bench.rounding import SIXTEEN_BIT, SMALLEST, UNIT_ROUNDOFF

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import Inputs, Request
    from bench.reference import Reference

# An error of up to this many units passes.
PASSING_UNITS: Final = 8.0
# e to a power above it only says that nothing is known, and its product with values would overflow.
# Scores of 1e4 in bfloat16 err by 40, and the weight of one that should be e^-130 may be 1/2.
LARGEST_EXPONENT: Final = 600.0


def weight_error(
    implementation: Implementation, request: Request, inputs: Inputs
) -> NDArray[np.floating]:
    """The relative error of each row's weights that counts as one unit, of shape (B, H, T).

    See :func:`unit_of_weights` for the formula, :func:`condition` for what it is made of.
    """
    found = condition(request, inputs, stepwise=_stepwise(implementation, request))
    return unit_of_weights(implementation, request, found)


def unit_of_weights(
    implementation: Implementation, request: Request, condition: NDArray[np.floating]
) -> NDArray[np.floating]:
    """What one unit is for rows of some condition κ: a relative error of weights.

    With u the unit roundoff of the request's dtype, S the number of keys and
    ``g(x) = (exp(8 x) - 1) / 8``, which is x as long as x is small:

    - ``g(u (κ + log2 S + 4))`` for float32 and float64;
    - ``4 u + g(2^-24 (κ + log2 S))`` for 16-bit inputs whose scores are kept in float32;
    - ``g(u (κ + 4))`` for 16-bit inputs whose scores are kept in 16 bits.

    κ is the rounding of the scores, log2 S that of the sums, 4 that of the few steps left. An
    error x of a score is an error exp(x) - 1 of its weight, so that 8 units of small errors
    remain 8 units where errors are large.
    """
    unit = UNIT_ROUNDOFF[request.dtype]
    sums = np.log2(request.key_len)
    if request.dtype not in SIXTEEN_BIT:
        return _growth(unit * (condition + sums + 4))
    if _stepwise(implementation, request):
        return 4 * unit + _growth(UNIT_ROUNDOFF["float32"] * (condition + sums))
    return _growth(unit * (condition + 4))


def output_unit(
    request: Request, weight_error: NDArray[np.floating], reference: Reference
) -> NDArray[np.floating]:
    """One unit of the output, of shape (B, H, T, Dv), in the output's own unit.

    ``weight_error · (weights @ |value|) + smallest · (1 + Σ_j |value_j|)``: the second part is
    a weight too small to be kept, and a result too small to be stored.
    """
    floor = SMALLEST[request.dtype] * (1 + reference.value_sum)
    unit: NDArray[np.floating] = weight_error[..., None] * reference.magnitude + floor
    return unit


def condition(request: Request, inputs: Inputs, *, stepwise: bool) -> NDArray[np.floating]:
    """How far, in units of roundoff, rounding moves a score of each row, of shape (B, H, T).

    ``κ_i = max_j (|scale| e_ij + |bias_ij|) / temperature`` over the keys that query i may see,
    dimensionless; 0 on empty rows. With ``x_d = q_id k_jd``, ::

        e_ij = (sqrt(D) sqrt(Σ_d x_d^2) + sqrt(D / 3) |Σ_d x_d|) / 2    stepwise
        e_ij = sqrt(Σ_d x_d^2) + |Σ_d x_d|                              else

    The first is what summing x_1 … x_D one after the other costs when roundings are of random
    sign: the root of the sum of the squared partial sums, which have a fluctuating part (the
    first term) and a trend towards the score (the second). Measured over 4 to 256 channels,
    random, of one sign, with outlier channels and with near ties, correct code's weights err by
    0.1 to 4.2 of it. By ``Σ_d |x_d|``, the worst case's yardstick without its factor D, they err
    by up to 26, so that a bound of 8 of those would fail correct code.

    Parameters
    ----------
    request : Request
    inputs : Inputs
    stepwise : bool
        Whether every partial sum is rounded to the type in question, or, as for scores that are
        kept in 16 bits and summed in more, only the terms and the sum.

    References
    ----------
    Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019.
    """
    fluctuating, trend = 1.0, 1.0
    if stepwise:
        fluctuating, trend = np.sqrt(request.head_dim) / 2, np.sqrt(request.head_dim / 3) / 2
    found = np.empty((request.batch, request.heads, request.query_len), wide_type(request))
    for part in parts(request, inputs):
        size = fluctuating * np.sqrt(part.query**2 @ part.key.T**2)
        size += trend * np.abs(part.query @ part.key.T)
        size *= abs(request.score_scale)
        if part.bias is not None:
            size += np.abs(part.bias)
        found[part.at] = np.where(part.visible, size, 0).max(axis=-1) / request.temperature
    return found


def _stepwise(implementation: Implementation, request: Request) -> bool:
    return request.dtype not in SIXTEEN_BIT or implementation.scores_dtype == "float32"


def _growth(exponent: NDArray[np.floating]) -> NDArray[np.floating]:
    grown = np.expm1(np.minimum(PASSING_UNITS * exponent, LARGEST_EXPONENT)) / PASSING_UNITS
    return np.asarray(grown)
