"""How small an error the certificate finds, in each dtype and class of rounding, by bisection.

`python -m bench sharpness` plants errors of one kind in an implementation, smaller and smaller, and
prints the least that fails on any of a few cases of the certificate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, get_args

import numpy as np

from attnpanel.bench.certify.cases import BLOCKS, Case
from attnpanel.bench.certify.judged_rows import fresh_copy, inputs_of, judged_rows, reference_of
from attnpanel.bench.certify.judgement import error_unit, judge
from attnpanel.bench.certify.rounding import SIXTEEN_BIT, round_to
from attnpanel.bench.certify.sixteen_bits import rounding_places
from attnpanel.bench.product.tables import markdown
from attnpanel.kernels import find_implementation
from attnpanel.kernels.arrays import to_float64
from attnpanel.kernels.request import DType

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import Inputs

# An implementation of each class: weights in float32; weights, or scores too, in 16 bits.
CLASSES: Final = {
    "weights in float32": "numpy-row-blocked",
    "weights in 16 bits": "torch-sdpa-flash",
    "scores in 16 bits": "torch-eager",
}
_HEAD: Final = replace(BLOCKS, heads=1, kv_heads=1)
REQUESTS: Final = (_HEAD, replace(_HEAD, query_len=541, mask="causal"))
# Nine halvings of the logarithms' range find the least error to within 8 %.
LEAST, MOST, STEPS = 1e-17, 1.0, 9


@dataclass(frozen=True)
class Sharpness:
    """The least relative error that fails, or None if not even an error of 1 does.

    Attributes
    ----------
    dtype, rounding, error : str
    least : float or None
    """

    dtype: DType
    rounding: str
    error: str
    least: float | None


def measure_sharpness(dtype: DType, rounding: str) -> list[Sharpness]:
    """Return the least error of each kind that fails in a dtype and class.

    Raises
    ------
    ValueError
        If the class' implementation does not compute the dtype here, or fails without an error.
    """
    implementation = find_implementation(CLASSES[rounding])
    trials = [_Trial(implementation, Case(replace(request, dtype=dtype))) for request in REQUESTS]
    found = []
    for error in ERRORS:
        if any(trial.fails(error, 0.0) for trial in trials):
            raise ValueError(f"{implementation.name} fails in {dtype} without an error")
        sizes = [size for trial in trials if (size := trial.least(error)) is not None]
        found.append(Sharpness(dtype, rounding, error, min(sizes, default=None)))
    return found


class _Trial:
    """One implementation on one case, with errors planted in its output or its scale."""

    def __init__(self, implementation: Implementation, case: Case) -> None:
        request = case.request
        if reasons := implementation.unsupported(request):
            raise ValueError("; ".join(reasons))
        self._implementation, self._request = implementation, request
        self._view = judged_rows(request, rounding_places(implementation, request))
        self._inputs = fresh_copy(inputs_of(case))
        self._judged = self._view.inputs(self._inputs)
        self._reference = reference_of(case, self._view)
        self._unit = error_unit(
            self._view.request, self._judged, self._reference, self._view.places
        )

    def least(self, error: str) -> float | None:
        """Bisect, in factors, the least size that fails."""
        if not self.fails(error, MOST):
            return None
        low, high = np.log(LEAST), np.log(MOST)
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (low, middle) if self.fails(error, np.exp(middle)) else (middle, high)
        return float(np.exp(high))

    def fails(self, error: str, size: float) -> bool:
        """Return whether the output is judged wrong with an error of this size."""
        output = ERRORS[error](self, size)
        judged = judge(
            self._view.request,
            self._judged,
            self._view.of(output),
            self._reference,
            places=self._view.places,
            unit=self._unit,
        )
        return bool(judged.failures)

    def scaled_output(self, size: float) -> NDArray[np.float64]:
        return self._stored(self._output() * (1 + size))

    def noise(self, size: float) -> NDArray[np.float64]:
        output = self._output()
        signs = np.random.default_rng(0).uniform(-1, 1, output.shape)
        return self._stored(output * (1 + size * signs))

    def other_scale(self, size: float) -> NDArray[np.float64]:
        return self._output(self._request.score_scale * (1 + size))

    def lost_key(self, size: float) -> NDArray[np.float64]:
        """Multiply the last key's value by 1 - size."""
        value = self._inputs.value.astype(np.float64)
        value[:, :, -1] *= 1 - size
        changed = replace(self._inputs, value=round_to(value, self._request.dtype))
        return self._output(inputs=changed)

    def _output(
        self, scale: float | None = None, inputs: Inputs | None = None
    ) -> NDArray[np.float64]:
        request = self._request if scale is None else replace(self._request, scale=scale)
        return to_float64(self._implementation.prepare(inputs or self._inputs, request)().output)

    def _stored(self, output: NDArray[np.float64]) -> NDArray[np.float64]:
        return round_to(output, self._request.dtype).astype(np.float64)


ERRORS: Final[dict[str, Callable[[_Trial, float], NDArray[np.float64]]]] = {
    "output × (1 + x)": _Trial.scaled_output,
    "scale × (1 + x)": _Trial.other_scale,
    "noise of ± x": _Trial.noise,
    "last value × (1 - x)": _Trial.lost_key,
}


def sharpness_table(found: list[Sharpness]) -> str:
    """Return the table: dtypes and classes down, kinds of error across."""
    rows: dict[tuple[str, str], list[str]] = {}
    for entry in found:
        cell = "not found" if entry.least is None else f"{entry.least:.1e}"
        rounding = entry.rounding if entry.dtype in SIXTEEN_BIT else ""
        rows.setdefault((entry.dtype, rounding), []).append(cell)
    return markdown(["dtype", "class", *ERRORS], [[*key, *cells] for key, cells in rows.items()])


def sharpness_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `python -m bench sharpness`."""
    parser.description = "Print the least error of each kind that fails a certificate."
    parser.add_argument("--dtype", nargs="+", choices=get_args(DType), default=get_args(DType))


def sharpness_command(options: argparse.Namespace) -> None:
    """Measure and print how sharp the certificate is."""
    found = []
    for dtype in options.dtype:
        for rounding in CLASSES if dtype in SIXTEEN_BIT else list(CLASSES)[:1]:
            found += measure_sharpness(dtype, rounding)
    print(sharpness_table(found))
