"""Error units: the rounding error to expect of each element of a correct result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.reference import query_blocks, wide_type
from attnpanel.bench.certify.rounding import SMALLEST, UNIT_ROUNDOFF

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.reference import Reference
    from attnpanel.bench.certify.sixteen_bits import RoundingPlaces
    from attnpanel.kernels.request import Inputs, Request

# The largest error that passes, in units.
PASSING_UNITS: Final = 8.0
# Beyond exp(600) a bound says nothing, and its product with the values would overflow. It is
# reached: scores of 1e4 in bfloat16 err by 40, so a weight of e^-130 may come out as 1/2.
MAX_EXPONENT: Final = 600.0
# The largest relative error of a weight, which may then be anything from 0 to 1.
UNBOUNDED: Final = float(np.expm1(MAX_EXPONENT)) / PASSING_UNITS


def weight_error(
    request: Request, inputs: Inputs, places: RoundingPlaces | None
) -> NDArray[np.floating]:
    """Return the relative error of each row's weights that counts as one unit, (B, H, T).

    See :func:`unit_of_weights` for the formula and :func:`condition` for κ.
    """
    found = condition(request, inputs, stepwise=places is None or not places.scores)
    return unit_of_weights(request, found, places)


def unit_of_weights(
    request: Request, condition: NDArray[np.floating], places: RoundingPlaces | None
) -> NDArray[np.floating]:
    """Return one error unit, a relative error of the weights, for rows of condition κ.

    With u the unit roundoff of the request's dtype, S the number of keys and
    ``g(x) = (exp(8 x) - 1) / 8``, which is close to x for small x:

    - ``g(u (κ + log2 S + 4))`` for float32 and float64, and for 16-bit inputs with u of float32;
    - ``u / 4`` more for weights rounded to 16 bits: they may all be rounded alike;
    - ``g(u (κ + 4))`` for scores kept in 16 bits.

    κ accounts for rounding in the scores, log2 S for the sums and 4 for the remaining steps. An
    error x of a score is a relative error exp(x) - 1 of its weight; g keeps the limit of 8 units
    equivalent for small and large errors.
    """
    unit = UNIT_ROUNDOFF[request.dtype]
    sums = np.log2(request.key_len)
    if places is None:
        return _relative_error(unit * (condition + sums + 4))
    if places.scores:
        return _relative_error(unit * (condition + 4))
    alike = unit / 4 if places.weights else 0.0
    return alike + _relative_error(UNIT_ROUNDOFF["float32"] * (condition + sums + 4))


def output_unit(
    request: Request, weight_error: NDArray[np.floating], reference: Reference
) -> NDArray[np.floating]:
    """Return one error unit of the output as an absolute error, (B, H, T, Dv).

    ``weight_error · (weights @ |value|) + smallest · (1 + Σ_j |value_j|)``: the second term covers
    weights flushed to zero and results too small to be stored.
    """
    floor = SMALLEST[request.dtype] * (1 + reference.value_sum)
    unit: NDArray[np.floating] = weight_error[..., None] * reference.magnitude + floor
    return unit


def condition(request: Request, inputs: Inputs, *, stepwise: bool) -> NDArray[np.floating]:
    """Return the rounding error of each row's scores in units of roundoff, κ, (B, H, T).

    ``κ_i = max_j (|scale| e_ij + |bias_ij|) / temperature`` over the keys that query i may see,
    dimensionless; 0 on empty rows. With ``x_d = q_id k_jd``, ::

        e_ij = (sqrt(D) sqrt(Σ_d x_d^2) + sqrt(D / 3) |Σ_d x_d|) / 2    stepwise
        e_ij = sqrt(Σ_d x_d^2) + |Σ_d x_d|                              else

    The first is the error of summing x_1 … x_D one after the other if rounding errors have random
    signs: the root of the sum of the squared partial sums, which have a fluctuating part (the
    first term) and a trend towards the score (the second). Measured over 4 to 256 channels
    (random, of one sign, with outlier channels, with near ties), the weights of correct code err
    by 0.1 to 4.2 times it. Measured against ``Σ_d |x_d|``, the worst-case bound without its factor
    D, they err by up to 26 times, so a limit of 8 such units would fail correct code.

    Parameters
    ----------
    request : Request
    inputs : Inputs
    stepwise : bool
        True if every partial sum is rounded to the dtype; False if only the terms and the final
        sum are, as for scores kept in 16 bits but summed in a wider type.

    References
    ----------
    Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019.
    """
    fluctuating, trend = 1.0, 1.0
    if stepwise:
        fluctuating, trend = np.sqrt(request.head_dim) / 2, np.sqrt(request.head_dim / 3) / 2
    found = np.empty((request.batch, request.heads, request.query_len), wide_type(request))
    for block in query_blocks(request, inputs):
        size = fluctuating * np.sqrt(block.query**2 @ block.key.T**2)
        size += trend * np.abs(block.query @ block.key.T)
        size *= abs(request.score_scale)
        if block.bias is not None:
            size += np.abs(block.bias)
        found[block.index] = np.where(block.visible, size, 0).max(axis=-1) / request.temperature
    return found


def _relative_error(exponent: NDArray[np.floating]) -> NDArray[np.floating]:
    grown = np.expm1(np.minimum(PASSING_UNITS * exponent, MAX_EXPONENT)) / PASSING_UNITS
    return np.asarray(grown)
