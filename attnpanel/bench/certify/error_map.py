"""The error map: the |difference| of two implementations in every cell, in error units.

It covers output and weights of one head of a small call, computed on demand. If an implementation
does not return weights, they are its output for V = identity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.attention.mask_table import mask_kinds
from attnpanel.bench.certify.cases import Case, example_mask, make_inputs
from attnpanel.bench.certify.error_units import output_unit, weight_error
from attnpanel.bench.certify.reference import reference, reference_weights
from attnpanel.bench.certify.rounding import SIXTEEN_BIT, SMALLEST, UNIT_ROUNDOFF
from attnpanel.bench.certify.sixteen_bits import RoundingPlaces
from attnpanel.kernels import IMPLEMENTATIONS, find_implementation
from attnpanel.kernels.arrays import to_float64
from attnpanel.kernels.request import Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.attention.mask_table import MaskName
    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import DType, Inputs

# T = S = D = Dv: every implementation supports it, and V = identity fits.
SIZE: Final = 32
REFERENCE: Final = "float64 reference"
DTYPES: Final[tuple[DType, ...]] = ("float32", "float64", "float16", "bfloat16")
MASKS: Final[tuple[MaskName, ...]] = mask_kinds()
TEMPERATURES: Final = (0.01, 0.1, 0.5, 1.0, 2.0, 10.0, 100.0)


class UnavailableError(ValueError):
    """The result cannot be computed here; the message gives the reason."""


@dataclass(frozen=True)
class MapSettings:
    """The call that both implementations compute.

    Attributes
    ----------
    dtype, mask : str
        One of `DTYPES` and `MASKS`.
    temperature : float
    """

    dtype: DType = "float32"
    mask: MaskName = "none"
    temperature: float = 1.0

    def case(self) -> Case:
        """Return the case: one head of `SIZE` queries, keys and channels."""
        request = Request(
            1, 1, 1, SIZE, SIZE, SIZE, SIZE,
            dtype=self.dtype,
            temperature=self.temperature,
            **example_mask(self.mask, SIZE, SIZE),
        )  # fmt: skip
        return Case(request)


@dataclass(frozen=True, eq=False)
class ImplementationResult:
    """Output and weights of one implementation.

    Attributes
    ----------
    output : float64 array of shape (T, Dv)
    weights : float64 array of shape (T, S)
    coarse : bool
        True if it keeps scores of 16-bit inputs in 16 bits, which makes its unit larger.
    """

    output: NDArray[np.float64]
    weights: NDArray[np.float64]
    coarse: bool


@dataclass(frozen=True, eq=False)
class ReferenceResult:
    """The reference for a setting, and one error unit of each cell.

    Attributes
    ----------
    output, output_unit : float64 array of shape (T, Dv)
    weights, weights_unit : float64 array of shape (T, S)
    coarser : float64 array of shape (T,)
        Factor of each row's unit if scores are kept in 16 bits.
    visible : bool array of shape (T, S)
    """

    output: NDArray[np.float64]
    output_unit: NDArray[np.float64]
    weights: NDArray[np.float64]
    weights_unit: NDArray[np.float64]
    coarser: NDArray[np.float64]
    visible: NDArray[np.bool_]

    @property
    def empty(self) -> NDArray[np.bool_]:
        """True for queries that see no key, of shape (T,)."""
        return np.asarray(~self.visible.any(axis=1))


@dataclass(frozen=True, eq=False)
class Difference:
    """The differences of two results; inf where only one of them is finite.

    Attributes
    ----------
    output : float64 array of shape (T, Dv)
        In error units.
    weights : float64 array of shape (T, S)
    """

    output: NDArray[np.float64]
    weights: NDArray[np.float64]


def choices() -> tuple[str, ...]:
    """Return the names to choose from: the reference, then every implementation."""
    return (REFERENCE, *(implementation.name for implementation in IMPLEMENTATIONS))


def reference_result(setting: MapSettings) -> ReferenceResult:
    """Compute the reference and its error units."""
    case = setting.case()
    request, inputs = case.request, make_inputs(case)
    expected = reference(request, inputs)
    weights = reference_weights(request, inputs, 0, 0)
    fine = coarse = None
    stored = 0.0
    if request.dtype in SIXTEEN_BIT:
        fine, coarse = RoundingPlaces(), RoundingPlaces(scores=True)
        # Both results were stored in 16 bits, and their differences lie on that grid.
        stored = 4 * UNIT_ROUNDOFF[request.dtype]
    relative = weight_error(request, inputs, fine) + stored
    coarser = weight_error(request, inputs, coarse) / relative
    smallest = SMALLEST[request.dtype]
    mask = request.visible()
    visible = np.ones((SIZE, SIZE), bool) if mask is None else mask.reshape(SIZE, SIZE)
    return ReferenceResult(
        _double(expected.output[0, 0]),
        _double(output_unit(request, relative, expected)[0, 0]),
        _double(weights),
        _double(relative[0, 0, :, None] * weights + 2 * smallest),
        _double(np.maximum(coarser[0, 0], 1)),
        visible,
    )


def compute_side(
    name: str, setting: MapSettings, expected: ReferenceResult
) -> ImplementationResult:
    """Compute output and weights of one implementation.

    Raises
    ------
    UnavailableError
        If it does not support the setting or raises an exception.
    """
    if name == REFERENCE:
        return ImplementationResult(expected.output, expected.weights, coarse=False)
    try:
        implementation = find_implementation(name)
    except ValueError as error:
        raise UnavailableError(
            f"This build has no such implementation: {str(error)[:200]}."
        ) from None
    case = setting.case()
    try:
        output, weights = _compute(implementation, make_inputs(case), case.request)
    except UnavailableError:
        raise
    except Exception as error:  # the page must survive any exception of a framework
        raise UnavailableError(
            f"{name} failed: {type(error).__name__}: {str(error)[:300]}"
        ) from error
    if output.shape != (SIZE, SIZE) or weights.shape != (SIZE, SIZE):
        raise UnavailableError(f"{name} gave another shape: {output.shape} and {weights.shape}")
    return ImplementationResult(output, weights, coarse=implementation.scores_dtype == "storage")


def difference(
    first: ImplementationResult, second: ImplementationResult, expected: ReferenceResult
) -> Difference:
    """Compare two results cell by cell, in the larger of their units."""
    coarse = first.coarse or second.coarse
    larger = expected.coarser[:, None] if coarse else 1.0
    pairs = (
        (first.output, second.output, expected.output_unit),
        (first.weights, second.weights, expected.weights_unit),
    )
    # An empty row has no rounding error: any difference is one of policy.
    empty = expected.empty[:, None]
    output, weights = (
        np.where(empty & (gap > 0), np.inf, gap / (unit * larger))
        for gap, unit in ((_absolute_difference(left, other), unit) for left, other, unit in pairs)
    )
    return Difference(output, weights)


def _absolute_difference(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    known = np.isfinite(first).astype(int) + np.isfinite(second)
    with np.errstate(invalid="ignore"):
        gap = np.abs(first - second)
    return np.where(known == 2, gap, np.where(known == 0, 0.0, np.inf))


def _compute(
    implementation: Implementation, inputs: Inputs, request: Request
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    reasons = implementation.unsupported(request)
    if reasons:
        raise UnavailableError("; ".join(reasons))
    raw = implementation.prepare(inputs, request, threads=1)()
    weights = raw.weights
    if weights is None:
        weights = _weights(implementation, inputs, request)
    return to_float64(raw.output)[0, 0], to_float64(weights)[0, 0]


def _weights(implementation: Implementation, inputs: Inputs, request: Request) -> Any:
    """Compute weights as the output for V = identity: its channel j is the weight of key j."""
    identity = np.eye(SIZE, dtype=inputs.value.dtype)[None, None]
    return implementation.prepare(replace(inputs, value=identity), request, threads=1)().output


def _double(array: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(array, dtype=np.float64)
