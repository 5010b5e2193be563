"""Judge an output against the float64 reference, by what rounding alone explains.

For float32 and float64 the largest error counts, in the units of
:mod:`attnpanel.bench.certify.error_units`. For 16 bits a unit is 1.25 standard deviations of
:mod:`attnpanel.bench.certify.sixteen_bits`, beyond half a last bit of storing, so that 10
deviations are the 8 units that pass everywhere; and the statistics of
:mod:`attnpanel.bench.certify.sixteen_bit_statistics` count, too. Rows whose 16-bit scores err
beyond proportion are held to the growth unit of `error_units`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.error_units import (
    PASSING_UNITS,
    condition,
    output_unit,
    unit_of_weights,
)
from attnpanel.bench.certify.reference import query_blocks
from attnpanel.bench.certify.rounding import SIXTEEN_BIT
from attnpanel.bench.certify.sixteen_bit_statistics import LIMITS, SCORE_LIMITS, head_statistics
from attnpanel.bench.certify.sixteen_bits import block_model, last_bit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.reference import Reference
    from attnpanel.bench.certify.sixteen_bits import RoundingPlaces
    from attnpanel.kernels.request import DType, Inputs, Request

# Standard deviations of 16-bit rounding in a unit.
DEVIATIONS: Final = 1.25


@dataclass(frozen=True, eq=False)
class Judgement:
    """What an output's errors amount to.

    Attributes
    ----------
    ratio : float64 array of shape (B, H, T, Dv)
        Each error in units; inf where the output is not finite, 0 on rows that are not judged.
    statistics : dict of str to float
        The largest of any head, by the names of `LIMITS`; empty for float32 and float64.
    failures : tuple of str
        What exceeds its limit, and by how much; empty if the output passes.
    """

    ratio: NDArray[np.float64]
    statistics: dict[str, float]
    failures: tuple[str, ...]


def judge(
    request: Request,
    inputs: Inputs,
    output: NDArray[np.float64],
    expected: Reference,
    *,
    places: RoundingPlaces | None = None,
    unit: NDArray[np.floating] | None = None,
) -> Judgement:
    """Judge an output of these inputs.

    Parameters
    ----------
    request : Request
    inputs : Inputs
        As given to the implementation; with its query scaled and rounded, and a request of scale 1,
        if that is where it rounds (:class:`attnpanel.bench.certify.judged_rows.JudgedRows`).
    output : float64 array of shape (B, H, T, Dv)
    expected : Reference
        Of the same inputs.
    places : RoundingPlaces, optional
        Where a kernel of a 16-bit dtype rounds; required for those and without effect on others.
    unit : float array of shape (B, H, T, Dv), optional
        Of :func:`error_unit`, if at hand.

    Returns
    -------
    Judgement
    """
    if unit is None:
        unit = error_unit(request, inputs, expected, places)
    seeing = ~expected.empty[..., None]
    ratio = error_ratio(output, expected.output, unit, seeing, stored=stored_in(request))
    failures = []
    if (ratio > PASSING_UNITS).any():
        failures.append(describe_excess(ratio, output, expected.output))
    if places is None or request.dtype not in SIXTEEN_BIT:
        return Judgement(ratio, {}, tuple(failures))
    limits = SCORE_LIMITS if places.scores else LIMITS
    largest: dict[str, float] = {}
    for head in np.ndindex(request.batch, request.heads):
        at = head[0], head[1]
        found = head_statistics(request, inputs, output, places, at)
        if places.scores and any(value > limits[name] for name, value in found.items()):
            found = head_statistics(request, inputs, output, places, at, alike=True)
        for name, value in found.items():
            if value > limits[name] and value > largest.get(name, 0):
                reason = f"{name} up to {limits[name]:g} passes; got {value:.3g} in head {head}"
                failures = [text for text in failures if not text.startswith(f"{name} up to")]
                failures.append(reason)
            largest[name] = max(value, largest.get(name, 0.0))
    return Judgement(ratio, largest, tuple(failures))


def wrong_elements(
    request: Request,
    inputs: Inputs,
    output: NDArray[np.float64],
    expected: Reference,
    *,
    places: RoundingPlaces | None,
) -> str:
    """Describe the largest error of an output if it fails, as :func:`judge` without statistics.

    For rows that are equal, whose errors are, too, and for calls too many for statistics.
    """
    unit = error_unit(request, inputs, expected, places)
    seeing = ~expected.empty[..., None]
    ratio = error_ratio(output, expected.output, unit, seeing, stored=stored_in(request))
    return describe_excess(ratio, output, expected.output)


def error_unit(
    request: Request, inputs: Inputs, expected: Reference, places: RoundingPlaces | None
) -> NDArray[np.floating]:
    """Return one error unit of each output element as an absolute error, (B, H, T, Dv)."""
    if places is None:
        kappa = condition(request, inputs, stepwise=True)
        return output_unit(request, unit_of_weights(request, kappa, places), expected)
    unit = np.empty(expected.output.shape)
    grown = None
    for block in query_blocks(request, inputs):
        model = block_model(block, request, places)
        unit[block.index] = DEVIATIONS * model.deviation
        if (model.linear | ~model.seeing).all():
            continue
        if grown is None:
            kappa = condition(request, inputs, stepwise=False)
            grown = output_unit(request, unit_of_weights(request, kappa, places), expected)
        other = ~model.linear[:, None]
        unit[block.index] = np.where(
            other, np.maximum(unit[block.index], grown[block.index]), unit[block.index]
        )
    return unit


def stored_in(request: Request) -> DType | None:
    """Return the 16-bit dtype whose last bit a stored result may be off by half of, or None."""
    return request.dtype if request.dtype in SIXTEEN_BIT else None


def error_ratio(
    actual: NDArray[np.float64],
    expected: NDArray[np.floating],
    unit: NDArray[np.floating],
    judged: NDArray[np.bool_],
    *,
    stored: DType | None = None,
) -> NDArray[np.float64]:
    """Return each error in units, inf where a judged value is not finite, 0 where not judged.

    Parameters
    ----------
    actual, expected, unit : float arrays, broadcastable to the shape of `actual`
    judged : bool array, broadcastable to the shape of `actual`
    stored : {"float16", "bfloat16"}, optional
        Where the results were stored in 16 bits: half a last bit is then no error.
    """
    with np.errstate(invalid="ignore"):
        error = np.abs(actual - expected)
        if stored is not None:
            finite = np.where(np.isfinite(actual), actual, 0)
            half = last_bit(np.maximum(np.abs(finite), np.abs(expected)), stored) / 2
            error = np.maximum(error - half * (1 + 1e-9), 0)
        ratio = error / unit
    # A nan or inf counts as an infinite error.
    return np.asarray(np.where(judged, np.where(np.isfinite(actual), ratio, np.inf), 0), np.float64)


def describe_excess(
    ratio: NDArray[np.float64], actual: NDArray[np.float64], expected: NDArray[np.floating]
) -> str:
    """Describe the largest error if it exceeds the passing units; empty if none does."""
    if not (ratio > PASSING_UNITS).any():
        return ""
    at = argmax_index(ratio)
    return (
        f"up to {PASSING_UNITS:g} units of rounding error pass; got {ratio[at]:.3g} at {at}: "
        f"{actual[at]:.9g} where {np.broadcast_to(expected, actual.shape)[at]:.9g} is right"
    )


def argmax_index(array: NDArray[np.floating | np.bool_]) -> tuple[int, ...]:
    """Return the index of the (first) largest element."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(array)), array.shape))
