"""What the checks of one certificate share: the case, the results and the reference."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.bench.certify.alike_sums import alike_error
from attnpanel.bench.certify.error_units import output_unit, weight_error
from attnpanel.bench.certify.judged_rows import judged_rows
from attnpanel.bench.certify.judgement import (
    describe_excess,
    error_ratio,
    error_unit,
    judge,
    stored_in,
)
from attnpanel.bench.certify.reference import reference_weights, visible_keys
from attnpanel.bench.certify.rounding import UNIT_ROUNDOFF
from attnpanel.bench.certify.sixteen_bits import rounding_places
from attnpanel.bench.run.records import Check
from attnpanel.kernels.arrays import owner_of, to_float64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.certify.judged_rows import JudgedRows
    from attnpanel.bench.certify.judgement import Judgement
    from attnpanel.bench.certify.reference import Reference
    from attnpanel.bench.certify.sixteen_bits import RoundingPlaces
    from attnpanel.kernels.implementation import Implementation, RawResult
    from attnpanel.kernels.request import Inputs, Request


@dataclass(frozen=True, eq=False)
class CertificateContext:
    """One implementation run on one case, with the reference to compare with.

    T and the request are those of the judged rows, which of a large case are a sample.

    Attributes
    ----------
    implementation : Implementation
    case : Case
    threads : int
    inputs : Inputs
        The inputs of the case, as given to the implementation.
    call : function without arguments
        The implementation prepared for these inputs.
    raw : RawResult
        Result of its first call, of all rows.
    results : dict of str to float64 array
        The judged rows of its arrays: ``"output"``, and ``"weights"`` and ``"logsumexp"`` if
        returned.
    reference : Reference
        Of the judged rows.
    written : dict of str to None
        Inputs, in order, that a call of :meth:`run_all` wrote to, in their memory or around it.
    """

    implementation: Implementation
    case: Case
    threads: int
    inputs: Inputs
    call: Callable[[], RawResult]
    raw: RawResult
    results: dict[str, NDArray[np.float64]]
    reference: Reference
    written: dict[str, None] = field(default_factory=dict)

    @cached_property
    def view(self) -> JudgedRows:
        """The rows that are judged, with the query as the implementation rounds it."""
        request = self.case.request
        return judged_rows(request, rounding_places(self.implementation, request))

    @cached_property
    def request(self) -> Request:
        """The request of the judged rows."""
        return self.view.request

    @cached_property
    def judged(self) -> Inputs:
        """The inputs of the judged rows."""
        return self.view.inputs(self.inputs)

    @property
    def places(self) -> RoundingPlaces | None:
        """Where the implementation rounds 16-bit numbers; None for other dtypes."""
        return self.view.places

    @property
    def output(self) -> NDArray[np.float64]:
        """Output of the first call, of shape (B, H, T, Dv)."""
        return self.results["output"]

    @property
    def nonempty_rows(self) -> NDArray[np.bool_]:
        """True where a query sees a key, (B, H, T, 1); `empty_rows` checks the other rows."""
        return ~self.reference.empty[..., None]

    @cached_property
    def weight_error(self) -> NDArray[np.floating]:
        """One of :mod:`~attnpanel.bench.certify.error_units` of each row's weights, (B, H, T)."""
        return weight_error(self.request, self.judged, self.places)

    @cached_property
    def alike_error(self) -> NDArray[np.floating]:
        """The relative error of each row's normaliser that rounding alike explains, (B, H, T).

        See :mod:`~attnpanel.bench.certify.alike_sums`. 0 in 16 bits, whose units are far larger.
        Needed by what exceeds its units only.
        """
        request = self.request
        visible = visible_keys(request, self.judged)
        visible = np.broadcast_to(visible, (request.batch, request.heads, *visible.shape[2:]))
        found = np.zeros(visible.shape[:3])
        if self.places is None:
            for head in np.ndindex(*visible.shape[:2]):
                weights = reference_weights(request, self.judged, *head)
                found[head] = alike_error(weights, visible[head], UNIT_ROUNDOFF[request.dtype])
        return found

    @cached_property
    def unit(self) -> NDArray[np.floating]:
        """One error unit of each output element, (B, H, T, Dv)."""
        if self.places is None:
            return output_unit(self.request, self.weight_error, self.reference)
        return error_unit(self.request, self.judged, self.reference, self.places)

    @cached_property
    def judgement(self) -> Judgement:
        """The judgement of the first call's output."""
        return self._judge(self.output)

    def judge(self, output: NDArray[np.float64]) -> Judgement:
        """Judge an output of the case's inputs; equal bits are judged once."""
        if np.array_equal(output, self.output, equal_nan=True):
            return self.judgement
        return self._judge(output)

    def _judge(self, output: NDArray[np.float64]) -> Judgement:
        return judge(
            self.request,
            self.judged,
            output,
            self.reference,
            places=self.places,
            unit=self.unit,
        )

    def run(self, inputs: Inputs) -> NDArray[np.float64]:
        """Return the judged rows of the output for other inputs of the same request."""
        return self.run_all(inputs)["output"]

    def run_all(self, inputs: Inputs) -> dict[str, NDArray[np.float64]]:
        """Return the judged rows of each array that is returned for such inputs, by name."""
        before = [(name, whole, whole.copy()) for name, whole in _memory_of(inputs)]
        call = self.implementation.prepare(inputs, self.case.request, threads=self.threads)
        arrays = returned_arrays(call())
        results = {name: self.view.of(to_float64(array)) for name, array in arrays.items()}
        for name, whole, kept in before:
            if not np.array_equal(whole, kept, equal_nan=whole.dtype != bool):
                self.written[name] = None
        return results

    def excess(
        self,
        actual: NDArray[np.float64],
        expected: NDArray[np.floating],
        unit: NDArray[np.floating],
        judged: NDArray[np.bool_],
    ) -> str:
        """Describe the largest error of results stored in the request's dtype, if it fails."""
        ratio = error_ratio(actual, expected, unit, judged, stored=stored_in(self.request))
        return describe_excess(ratio, actual, expected)


def returned_arrays(raw: RawResult) -> dict[str, object]:
    """Return the arrays of a result by name, those that are not None."""
    arrays = {"output": raw.output, "weights": raw.weights, "logsumexp": raw.logsumexp}
    return {name: array for name, array in arrays.items() if array is not None}


def _memory_of(inputs: Inputs) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield each input's name and the array that owns its memory."""
    for item in fields(inputs):
        array = getattr(inputs, item.name)
        if array is not None:
            yield item.name, owner_of(array) if isinstance(array, np.ndarray) else array


def make_check(name: str, failure: str) -> Check:
    """Return a check that failed with this message, or passed if the message is empty."""
    return Check(name, "fail" if failure else "pass", failure)
