"""One implementation put to one case: run it on any inputs, and compare what comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnpanel.kernels.arrays import to_float64
from bench.bench_run import Check
from bench.units import PASSING_UNITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.kernels.implementation import Implementation, RawResult
    from attnpanel.kernels.request import Inputs, Request
    from bench.cases import Case
    from bench.reference import Reference


@dataclass(frozen=True, eq=False)
class Trial:
    """What the checks of a certificate look at.

    Attributes
    ----------
    implementation : Implementation
    case : Case
    threads : int
    inputs : Inputs
        The case's.
    call : function without arguments
        The implementation, prepared for them.
    raw : RawResult
        What its first call returned.
    results : dict of str to float64 array
        Those numbers by name: ``"output"``, and ``"weights"`` and ``"logsumexp"`` where returned.
    reference : Reference
    weight_error : float array of shape (B, H, T)
        What counts as one unit of error; see :mod:`bench.units`.
    """

    implementation: Implementation
    case: Case
    threads: int
    inputs: Inputs
    call: Callable[[], RawResult]
    raw: RawResult
    results: dict[str, NDArray[np.float64]]
    reference: Reference
    weight_error: NDArray[np.floating]

    @property
    def request(self) -> Request:
        """The case's request."""
        return self.case.request

    @property
    def output(self) -> NDArray[np.float64]:
        """The first call's output, of shape (B, H, T, Dv)."""
        return self.results["output"]

    @property
    def seeing(self) -> NDArray[np.bool_]:
        """Rows that see a key, as (B, H, T, 1); what the others get is a policy of its own."""
        return ~self.reference.empty[..., None]

    def run(self, inputs: Inputs) -> NDArray[np.float64]:
        """The implementation's output for other inputs of the same request."""
        call = self.implementation.prepare(inputs, self.request, threads=self.threads)
        return to_float64(call().output)


def returned(raw: RawResult) -> dict[str, object]:
    """The arrays that came back, by name."""
    arrays = {"output": raw.output, "weights": raw.weights, "logsumexp": raw.logsumexp}
    return {name: array for name, array in arrays.items() if array is not None}


def check(name: str, complaint: str) -> Check:
    """A check that passed, or failed with a complaint."""
    return Check(name, "fail" if complaint else "pass", complaint)


def beyond_rounding(
    got: NDArray[np.float64],
    right: NDArray[np.floating],
    unit: NDArray[np.floating],
    judged: NDArray[np.bool_],
) -> str:
    """Where `got` is further from `right` than rounding explains, in words; empty if nowhere.

    Parameters
    ----------
    got, right, unit : float arrays that broadcast to the shape of `got`
    judged : bool array that does so too
        True where the elements count.
    """
    with np.errstate(invalid="ignore"):
        ratio = np.abs(got - right) / unit
    # A nan or inf is further away than any number.
    ratio = np.where(judged, np.where(np.isfinite(got), ratio, np.inf), 0)
    if not (ratio > PASSING_UNITS).any():
        return ""
    at = first_largest(ratio)
    return (
        f"up to {PASSING_UNITS:g} units of rounding error pass; got {ratio[at]:.3g} at {at}: "
        f"{got[at]:.9g} where {np.broadcast_to(right, got.shape)[at]:.9g} is right"
    )


def first_largest(array: NDArray[np.floating | np.bool_]) -> tuple[int, ...]:
    """The position of the largest element."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(array)), array.shape))
