"""Where two implementations differ: |difference| of every cell of output and weights, in units.

One head of a small call, computed when it is asked for. The weights of an implementation that
returns none are its output for V = identity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.kernels import IMPLEMENTATIONS, find_implementation
from attnpanel.kernels.arrays import to_float64
from attnpanel.kernels.request import Request
from bench.cases import Case, make_inputs
from bench.reference import reference, reference_weights
from bench.rounding import SMALLEST
from bench.units import output_unit, weight_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import DType, Inputs
    from attnpanel.masks import MaskName

# T = S = D = Dv: whatever can run anything can run it, and V = identity fits.
SIZE: Final = 32
REFERENCE: Final = "float64 reference"
DTYPES: Final[tuple[DType, ...]] = ("float32", "float64", "float16", "bfloat16")
MASKS: Final[tuple[MaskName, ...]] = ("none", "causal", "key_padding", "padding", "window")
TEMPERATURES: Final = (0.01, 0.1, 0.5, 1.0, 2.0, 10.0, 100.0)
REAL_TOKENS: Final = 24
WINDOW: Final = 8


class NoAnswerError(ValueError):
    """What was asked can't be computed here; the message says why, for a reader."""


@dataclass(frozen=True)
class Setting:
    """What both sides compute.

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
        """Return the call, one head of `SIZE` queries, keys and channels."""
        padded = self.mask in ("padding", "key_padding")
        request = Request(
            1, 1, 1, SIZE, SIZE, SIZE, SIZE,
            dtype=self.dtype,
            mask=self.mask,
            pad_lens=(REAL_TOKENS,) if padded else None,
            window=WINDOW if self.mask == "window" else None,
            temperature=self.temperature,
        )  # fmt: skip
        return Case(request)


@dataclass(frozen=True, eq=False)
class Side:
    """What one implementation gives.

    Attributes
    ----------
    output : float64 array of shape (T, Dv)
    weights : float64 array of shape (T, S)
    coarse : bool
        Whether it keeps 16-bit scores in 16 bits: its unit is another.
    """

    output: NDArray[np.float64]
    weights: NDArray[np.float64]
    coarse: bool


@dataclass(frozen=True, eq=False)
class Truth:
    """The reference's answer to a setting, and one unit of each of its cells.

    Attributes
    ----------
    output, output_unit : float64 array of shape (T, Dv)
    weights, weights_unit : float64 array of shape (T, S)
    coarser : float64 array of shape (T,)
        How many times larger a unit of each row is where scores are kept in 16 bits.
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
        """Which queries may see no key, of shape (T,)."""
        return np.asarray(~self.visible.any(axis=1))


@dataclass(frozen=True, eq=False)
class Difference:
    """Where two sides differ; inf where a cell is finite on one side only.

    Attributes
    ----------
    output : float64 array of shape (T, Dv)
        In units of what rounding explains.
    weights : float64 array of shape (T, S)
    """

    output: NDArray[np.float64]
    weights: NDArray[np.float64]


def choices() -> tuple[str, ...]:
    """Return the names that can be compared: the reference, then every implementation."""
    return (REFERENCE, *(implementation.name for implementation in IMPLEMENTATIONS))


def truth(setting: Setting) -> Truth:
    """Compute the reference and its units."""
    case = setting.case()
    request, inputs = case.request, make_inputs(case)
    right = reference(request, inputs)
    weights = reference_weights(request, inputs, 0, 0)
    fine, coarse = _classes()
    relative = weight_error(fine, request, inputs)
    coarser = weight_error(coarse, request, inputs) / relative
    smallest = SMALLEST[request.dtype]
    mask = request.visible()
    visible = np.ones((SIZE, SIZE), bool) if mask is None else mask.reshape(SIZE, SIZE)
    return Truth(
        _double(right.output[0, 0]),
        _double(output_unit(request, relative, right)[0, 0]),
        _double(weights),
        _double(relative[0, 0, :, None] * weights + 2 * smallest),
        _double(np.maximum(coarser[0, 0], 1)),
        visible,
    )


def side(name: str, setting: Setting, right: Truth) -> Side:
    """Compute one implementation's output and weights.

    Raises
    ------
    NoAnswerError
        If it can't run the setting, or fails at it.
    """
    if name == REFERENCE:
        return Side(right.output, right.weights, coarse=False)
    try:
        implementation = find_implementation(name)
    except ValueError as error:
        raise NoAnswerError(f"This build has no such implementation: {str(error)[:200]}.") from None
    case = setting.case()
    try:
        output, weights = _computed(implementation, make_inputs(case), case.request)
    except NoAnswerError:
        raise
    except Exception as error:  # whatever a framework raises, the page lives on
        raise NoAnswerError(f"{name} failed: {type(error).__name__}: {str(error)[:300]}") from error
    if output.shape != (SIZE, SIZE) or weights.shape != (SIZE, SIZE):
        raise NoAnswerError(f"{name} gave another shape: {output.shape} and {weights.shape}")
    return Side(output, weights, coarse=implementation.scores_dtype == "storage")


def difference(first: Side, second: Side, right: Truth) -> Difference:
    """Compare two sides cell by cell, in the coarser of their units."""
    coarse = first.coarse or second.coarse
    larger = right.coarser[:, None] if coarse else 1.0
    pairs = (
        (first.output, second.output, right.output_unit),
        (first.weights, second.weights, right.weights_unit),
    )
    # A row that sees no key has no rounding to speak of: policies agree or they don't.
    empty = right.empty[:, None]
    output, weights = (
        np.where(empty & (apart > 0), np.inf, apart / (unit * larger))
        for apart, unit in ((_apart(one, other), unit) for one, other, unit in pairs)
    )
    return Difference(output, weights)


def _apart(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(first).astype(int) + np.isfinite(second)
    with np.errstate(invalid="ignore"):
        apart = np.abs(first - second)
    return np.where(known == 2, apart, np.where(known == 0, 0.0, np.inf))


def _computed(
    implementation: Implementation, inputs: Inputs, request: Request
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    reasons = implementation.unsupported(request)
    if reasons:
        raise NoAnswerError("; ".join(reasons))
    raw = implementation.prepare(inputs, request, threads=1)()
    weights = raw.weights
    if weights is None:
        weights = _weights(implementation, inputs, request)
    return to_float64(raw.output)[0, 0], to_float64(weights)[0, 0]


def _weights(implementation: Implementation, inputs: Inputs, request: Request) -> Any:
    """The weights as the output for V = identity, whose channel j takes key j alone."""
    identity = np.eye(SIZE, dtype=inputs.value.dtype)[None, None]
    return implementation.prepare(replace(inputs, value=identity), request, threads=1)().output


def _classes() -> tuple[Implementation, Implementation]:
    """Stand-ins for the two classes of unit: scores in float32, scores in 16 bits."""
    one = IMPLEMENTATIONS[0]
    return replace(one, scores_dtype="float32"), replace(one, scores_dtype="storage")


def _double(array: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(array, dtype=np.float64)
