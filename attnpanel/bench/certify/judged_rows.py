"""Which rows of a call are judged, and against which arithmetic.

A call with up to `FULL_CELLS` scores is judged in every row. Of a larger one the float64 reference
is computed for a sample of rows of every head: one of each `STRATUM`, among them the first and last
rows of blocks. A wrong block of that many rows, or a wrong head, is always in the sample; a share f
of wrong rows is missed with probability (1 - f)^128 at T = 8192.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.cases import make_inputs
from attnpanel.bench.certify.memo import Memo
from attnpanel.bench.certify.reference import Reference, query_blocks, reference, visible_keys
from attnpanel.bench.certify.rounding import round_to

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.certify.sixteen_bits import RoundingPlaces
    from attnpanel.kernels.request import Inputs, Request

FULL_CELLS: Final = 2**25
STRATUM: Final = 64
LARGEST_FLOAT16: Final = 65504.0
MEMO: Final = Memo(limit_bytes=2**26)


@dataclass(frozen=True, eq=False)
class JudgedRows:
    """A view of a call: the rows to judge, with the query as the implementation rounds it.

    Attributes
    ----------
    full : Request
        The request that the implementation is asked for.
    rows : int array, or None for every row
    places : RoundingPlaces or None
        None for requests that are not of 16 bits.
    """

    full: Request
    rows: NDArray[np.intp] | None
    places: RoundingPlaces | None

    @property
    def request(self) -> Request:
        """The request of the judged rows; a sample's mask is in its inputs."""
        request = self.full
        if self.rows is not None:
            request = replace(
                request, query_len=len(self.rows), mask="none", pad_lens=None, window=None,
                mask_options=(),
            )  # fmt: skip
        if not self._rescaled:
            return request
        return replace(request, scale=1.0, temperature=request.temperature / self._divisor)

    @property
    def query_factor(self) -> float:
        """What the query is multiplied by before it is rounded, if it is.

        With the temperature, which is part of it unless a bias is added to the scores before.
        """
        return self.full.score_scale / self._divisor

    def inputs(self, inputs: Inputs) -> Inputs:
        """Return the inputs of the judged rows."""
        if self.rows is not None:
            mask = visible_keys(self.full, inputs)[:, :, self.rows]
            inputs = replace(
                inputs,
                query=inputs.query[:, :, self.rows],
                mask=mask,
                bias=None if inputs.bias is None else inputs.bias[:, self.rows],
            )
        if self._rescaled:
            scaled = inputs.query.astype(np.float32) * np.float32(self.query_factor)
            inputs = replace(inputs, query=round_to(scaled, self.full.dtype))
        return inputs

    def of(self, array: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the judged rows of a result, (B, H, n, …) of (B, H, T, …)."""
        return array if self.rows is None else array[:, :, self.rows]

    @property
    def _divisor(self) -> float:
        return 1.0 if self.full.bias else self.full.temperature

    @property
    def _rescaled(self) -> bool:
        return self.places is not None and self.places.scaled_query


def judged_rows(request: Request, places: RoundingPlaces | None) -> JudgedRows:
    """Return every row of a small call, and a sample of a large one's."""
    cells = request.batch * request.heads * request.query_len * request.key_len
    sample = None if cells <= FULL_CELLS else sampled_rows(request.query_len)
    return JudgedRows(request, sample, places)


def sampled_rows(query_len: int) -> NDArray[np.intp]:
    """Return rows to sample, in order: one of each stratum, and rows 0, 1 and T - 1."""
    rng = np.random.default_rng(query_len)
    starts = np.arange(0, query_len, STRATUM)
    ends = np.minimum(starts + STRATUM, query_len)
    rows = rng.integers(starts, ends)
    # Every fourth stratum its first row, every fourth its last: both sides of many blocks.
    rows[::4], rows[1::4] = starts[::4], ends[1::4] - 1
    return np.unique(np.concatenate([rows, [0, min(1, query_len - 1), query_len - 1]]))


def inputs_of(case: Case) -> Inputs:
    """Return the inputs of a case, shared and read-only."""
    return MEMO.get(("inputs", _cpu(case)), lambda: make_inputs(case))


def fresh_copy(inputs: Inputs) -> Inputs:
    """Return inputs of the same values in arrays of their own, which may be written to."""
    arrays = {field.name: getattr(inputs, field.name) for field in fields(inputs)}
    return replace(inputs, **{name: a.copy() for name, a in arrays.items() if a is not None})


def overflow_reason(view: JudgedRows, inputs: Inputs) -> str:
    """Return why scores kept in float16 cannot hold those of a call; empty if they can."""
    request = view.full
    if view.places is None or not view.places.scores or request.dtype != "float16":
        return ""
    largest = max(
        float(np.abs(np.where(block.visible, block.query @ block.key.T, 0)).max())
        for block in query_blocks(view.request, view.inputs(inputs))
    )
    if largest <= LARGEST_FLOAT16:
        return ""
    return (
        f"scores kept in float16 hold products of up to {LARGEST_FLOAT16:g}; "
        f"those of this call reach {largest:.6g}"
    )


def reference_of(case: Case, view: JudgedRows) -> Reference:
    """Return the reference of the judged rows of a case, shared and read-only."""

    def compute() -> Reference:
        return reference(view.request, view.inputs(inputs_of(case)))

    of_query = (view.request.scale, view.request.temperature)
    return MEMO.get(("reference", _cpu(case), of_query), compute)


def _cpu(case: Case) -> Case:
    """Return the case without its device, on which inputs and reference do not depend."""
    return replace(case, request=replace(case.request, device="cpu"))
