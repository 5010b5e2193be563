"""What rounding does to 16-bit attention: a variance model of each output element.

Per element, with R² = 0.1803 u² the mean square of one rounding's relative error (mantissas are
distributed log-uniformly), ulp(x) the last bit of x in the 16 bits, and κ as in
:mod:`attnpanel.bench.certify.error_units`::

    σ² = 0                                              weights in float32
       = R² P² @ V²                                     weights rounded to 16 bits (then twice
                                                        that where scores are rounded, too)
       + Q @ V² - 2 o (Q @ V) + o² Σ Q,  Q = P² vs      scores rounded with variance vs
    vs = [(scale ulp(q·k))² + ulp(scale q·k)² + ulp(… + bias)² + ulp(… / temperature)²] / 12
    f  = 2^-24 (κ + log2 S + 4) (P |V|) + smallest numbers          all that float32 does
    v   = σ² + f²
    e   = got - o - c (round(o) - o),  var = ulp² / 12 (1 - c²) + v

Where errors are far below a last bit, the result is the rounded `o`: that part is known and is
subtracted from the error. c is the correlation of the errors of rounding o and o + η, with η normal
of variance v. With x = v^½ / ulp it is ``1 - 6 (0.798 x - x²)`` up to x = 0.3 (a last bit flips
with probability 0.798 x), and beyond that ``0.608 exp(-2 π² x²)``, the first term of its series.
`docs/bench.md` has the derivation of the limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.rounding import SIXTEEN_BIT, SMALLEST, UNIT_ROUNDOFF, round_to

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.reference import QueryBlock
    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import DType, Request

# Mean square of the relative error of rounding once, in units of roundoff squared.
MEAN_SQUARE: Final = 1 / (8 * np.log(2))
# Smallest normal number of each dtype.
NORMAL: Final[dict[DType, float]] = {"float16": 2.0**-14, "bfloat16": 2.0**-126}
U32: Final = UNIT_ROUNDOFF["float32"]
# Beyond this standard deviation of a score its weight no longer errs in proportion.
LINEAR: Final = 0.1
# Weights of scores that spread by fewer roundoffs than this round alike.
SPREAD: Final = 16


@dataclass(frozen=True)
class RoundingPlaces:
    """Where an implementation rounds to 16 bits besides its output.

    Attributes
    ----------
    weights, scores, scaled_query : bool
        See :class:`attnpanel.kernels.implementation.Implementation`.
    """

    weights: bool = True
    scores: bool = False
    scaled_query: bool = False


def rounding_places(implementation: Implementation, request: Request) -> RoundingPlaces | None:
    """Return what an implementation declares for 16-bit requests; None for other dtypes."""
    if request.dtype not in SIXTEEN_BIT:
        return None
    scores = implementation.scores_dtype == "storage"
    return RoundingPlaces(
        weights=scores or implementation.weights_dtype == "storage",
        scores=scores,
        scaled_query=implementation.scaled_query_dtype == "storage",
    )


def describe_rounding(implementation: Implementation) -> str:
    """Return what an implementation declares to round to 16 bits besides its output, in words."""
    if not SIXTEEN_BIT.intersection(implementation.dtypes):
        return "no 16 bits"
    scores = implementation.scores_dtype == "storage"
    places = {
        "scaled query": implementation.scaled_query_dtype == "storage",
        "scores": scores,
        "weights": scores or implementation.weights_dtype == "storage",
    }
    return ", ".join(name for name, rounded in places.items() if rounded) or "nothing"


@dataclass(frozen=True, eq=False)
class BlockModel:
    """The model of a block of n queries of one head.

    Attributes
    ----------
    dtype : {"float16", "bfloat16"}
    output : float64 array of shape (n, Dv)
        What is right, o.
    weights : float64 array of shape (n, S)
    value : float64 array of shape (S, Dv)
    seeing : bool array of shape (n,)
        Rows that see a key.
    linear : bool array of shape (n,)
        Rows whose weights err in proportion to their scores' rounding.
    fine : bool array of shape (n,)
        Of these, the rows whose weights' roundings are independent, too.
    sigma2, float32 : float64 array of shape (n, Dv)
        σ² and f.
    step : float64 array of shape (n, Dv)
        The last bit of o.
    score_variance : float64 array of shape (n, S), or None
        vs, where scores are kept in 16 bits.
    scores : float array of shape (n, S), or None
        The scores as they are kept, where that is in 16 bits.
    rounded : float
        Relative variance of a weight's own rounding.
    subnormal : float64 array of shape (n, S), or None
        Variance of the last bit of float16 weights below the normal numbers.
    """

    dtype: DType
    output: NDArray[np.float64]
    weights: NDArray[np.float64]
    value: NDArray[np.float64]
    seeing: NDArray[np.bool_]
    linear: NDArray[np.bool_]
    fine: NDArray[np.bool_]
    sigma2: NDArray[np.float64]
    float32: NDArray[np.float64]
    step: NDArray[np.float64]
    score_variance: NDArray[np.float64] | None
    scores: NDArray[np.floating] | None
    rounded: float
    subnormal: NDArray[np.float64] | None

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Standard deviation of each output element before it is stored."""
        found: NDArray[np.float64] = np.sqrt(self.sigma2) + self.float32
        return found


def last_bit(x: NDArray[np.floating], dtype: DType) -> NDArray[np.float64]:
    """Return the distance of `x` to the next larger number of a 16-bit dtype."""
    size = np.maximum(np.abs(x), NORMAL[dtype])
    return np.asarray(2 * UNIT_ROUNDOFF[dtype] * np.exp2(np.floor(np.log2(size))))


def block_model(block: QueryBlock, request: Request, places: RoundingPlaces) -> BlockModel:
    """Compute the model of a block of queries, in float64."""
    dtype, visible = request.dtype, block.visible
    products = block.query @ block.key.T
    scaled = products * request.score_scale
    biased = scaled if block.bias is None else scaled + block.bias
    scores = biased / request.temperature
    masked = np.where(visible, scores, -np.inf)
    peak = masked.max(axis=1, keepdims=True)
    seeing = np.isfinite(peak[:, 0])
    weights = np.exp(masked - np.where(np.isfinite(peak), peak, 0))
    total = weights.sum(axis=1, keepdims=True)
    weights /= np.where(total == 0, 1, total)
    value, squares = block.value, block.value**2
    output = weights @ value
    error = _float32_error(block, request, products)[:, None] * (weights @ np.abs(value))
    error += SMALLEST["float16" if dtype == "float16" else "bfloat16"] / 2
    rounded = MEAN_SQUARE * UNIT_ROUNDOFF[dtype] ** 2 if places.weights else 0.0
    if places.scores:  # exp's result may be rounded before it is divided by the sum
        rounded *= 2
    sigma2 = rounded * (weights**2 @ squares)
    subnormal = None
    if places.weights and dtype == "float16":
        subnormal = np.where(visible & (weights < NORMAL[dtype]), 2.0**-48 / 12, 0)
        sigma2 += subnormal @ squares
        error += np.where(weights < SMALLEST[dtype], weights, 0) @ np.abs(value)
    else:
        error += SMALLEST["float32"] * (visible.astype(float) @ np.abs(value))
    variance = None
    linear = seeing.copy()
    if places.scores:
        variance = score_variance(products, block.bias, request)
        mixed = weights**2 * variance
        spread = mixed @ squares - 2 * output * (mixed @ value)
        sigma2 += np.maximum(spread + output**2 * mixed.sum(axis=1, keepdims=True), 0)
        heavy = np.where(weights > 1e-6, variance, 0).max(axis=1)
        linear &= np.sqrt(heavy) < LINEAR
    fine = linear.copy()
    if places.weights:
        fine &= (_spread(weights, scores, visible) > SPREAD * UNIT_ROUNDOFF[dtype]) | (
            visible.sum(axis=1) <= 1
        )
    return BlockModel(
        dtype=dtype,
        output=output,
        weights=weights,
        value=value.astype(np.float64),
        seeing=seeing,
        linear=linear,
        fine=fine,
        sigma2=sigma2,
        float32=error,
        step=last_bit(output, dtype),
        score_variance=variance,
        scores=round_to(scores, dtype) if places.scores else None,
        rounded=rounded,
        subnormal=subnormal,
    )


def stored_error(
    actual: NDArray[np.float64], model: BlockModel
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return e, its variance, and the variance without what is known, each (n, Dv)."""
    full = model.sigma2 + model.float32**2
    known = _rounding_correlation(np.sqrt(full) / model.step)
    stored = round_to(model.output, model.dtype).astype(np.float64)
    error = actual - model.output - known * (stored - model.output)
    uniform = model.step**2 / 12
    variance = uniform * (1 - known**2) + full
    return np.where(model.seeing[:, None], error, 0), variance, uniform + full


def _rounding_correlation(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return c for errors of x last bits before rounding."""
    flips = 1 - 6 * (np.sqrt(2 / np.pi) * x - x**2)
    return np.where(x < 0.3, flips, 6 / np.pi**2 * np.exp(-2 * np.pi**2 * x**2))


def weight_deviation(model: BlockModel, error: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the standard deviation of each weight, (n, S).

    Parameters
    ----------
    model : BlockModel
    error : float array of shape (n,)
        Relative error that float32 leaves in each row's weights.
    """
    weights = model.weights
    variance = model.rounded * weights**2
    if model.subnormal is not None:
        variance = variance + model.subnormal
    if model.score_variance is not None:
        mixed = weights**2 * model.score_variance
        variance = variance + mixed * (1 - 2 * weights)
        variance = variance + weights**2 * mixed.sum(axis=1, keepdims=True)
    least = SMALLEST["float16"] if model.dtype == "float16" else SMALLEST["float32"]
    flushed = np.minimum(weights, least)
    found: NDArray[np.float64] = (
        np.sqrt(np.maximum(variance, 0)) + error[:, None] * weights + flushed + least / 2
    )
    return found


def float32_error(block: QueryBlock, request: Request) -> NDArray[np.float64]:
    """Return the relative error that float32 leaves in each row's weights, (n,)."""
    return _float32_error(block, request, block.query @ block.key.T)


def _float32_error(
    block: QueryBlock, request: Request, products: NDArray[np.floating]
) -> NDArray[np.float64]:
    width = request.head_dim
    size = np.sqrt(width) / 2 * np.sqrt(block.query**2 @ block.key.T**2)
    size += np.sqrt(width / 3) / 2 * np.abs(products)
    size *= abs(request.score_scale)
    if block.bias is not None:
        size += np.abs(block.bias)
    condition = np.where(block.visible, size, 0).max(axis=1) / request.temperature
    found: NDArray[np.float64] = U32 * (condition + np.log2(max(request.key_len, 2)) + 4)
    return found


def score_variance(
    products: NDArray[np.floating], bias: NDArray[np.floating] | None, request: Request
) -> NDArray[np.float64]:
    """Return the variance of scores that are rounded to 16 bits after every step.

    Parameters
    ----------
    products : float array of shape (…, n, S)
        ``query @ key.T``.
    bias : float array of the same shape, or None
    request : Request
    """
    dtype, temperature = request.dtype, request.temperature
    scaled = products * request.score_scale
    steps = (last_bit(products, dtype) * request.score_scale) ** 2 + last_bit(scaled, dtype) ** 2
    biased = scaled if bias is None else scaled + bias
    if bias is not None:
        steps += last_bit(biased, dtype) ** 2
    if temperature != 1:
        steps += (last_bit(biased / temperature, dtype) * temperature) ** 2
    found: NDArray[np.float64] = steps / 12 / temperature**2
    return found


def _spread(
    weights: NDArray[np.floating], scores: NDArray[np.floating], visible: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the standard deviation of each row's scores under its weights, (n,)."""
    mean = (weights * np.where(visible, scores, 0)).sum(axis=1, keepdims=True)
    away = np.where(visible, scores - mean, 0)
    return np.asarray(np.sqrt((weights * away**2).sum(axis=1)))
