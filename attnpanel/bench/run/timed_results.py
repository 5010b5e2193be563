"""Judge results of timed calls, by the checks of the certificate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import numpy as np

from attnpanel.bench.certify import checks_numeric as numeric
from attnpanel.bench.certify.checks_metadata import metadata_checks, why_no_result
from attnpanel.bench.certify.context import CertificateContext, returned_arrays
from attnpanel.bench.certify.judged_rows import judged_rows
from attnpanel.bench.certify.reference import reference
from attnpanel.bench.certify.sixteen_bits import rounding_places
from attnpanel.kernels.arrays import to_float64
from attnpanel.kernels.implementation import RawResult
from attnpanel.kernels.request import Inputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.bench.certify.cases import Case
    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import Request

# Rows that are judged of one result: a result of which a tenth is wrong passes 1 time in 800.
HEADS: Final = 8
ROWS: Final = 8
CHECKS: Final = (numeric.output, numeric.weights, numeric.logsumexp, numeric.empty_rows)


class RefusedError(Exception):
    """What was timed is not what was certified; the message names the rule and the value."""


@dataclass(frozen=True, eq=False)
class FrozenRows:
    """Random rows of one result, copied when the clock stopped.

    Attributes
    ----------
    call : int
        Index of the call within its sample.
    failure : str
        What is wrong with the result as a whole; empty if nothing is.
    places : tuple of (int, int)
        Batch entries and heads.
    rows : int array of shape (n,)
        Queries, the same of every head.
    arrays : dict of str to array of shape (len(places), n, …)
        In the implementation's framework.
    results : dict of str to float64 array
        The same values.
    """

    call: int
    failure: str
    places: tuple[tuple[int, int], ...]
    rows: NDArray[np.intp]
    arrays: dict[str, Any]
    results: dict[str, NDArray[np.float64]]


class FrozenResult(Protocol):
    """What is judged of one result: which call it was of, and what is wrong with it as a whole."""

    @property
    def call(self) -> int:
        """Index of the call within its sample."""

    @property
    def failure(self) -> str:
        """What is wrong with the result as a whole; empty if nothing is."""


Frozen = TypeVar("Frozen", bound=FrozenResult)


class ResultObserver(Generic[Frozen]):
    """Waits for each result of a sample and keeps rows of a random one and of the last.

    Which result is kept is drawn after its call has returned, so the call can't know.

    Parameters
    ----------
    freeze : function of a result, the index of its call and a generator
        Copies what is judged of a result, drawn by the generator.
    """

    def __init__(self, freeze: Callable[[Any, int, np.random.Generator], Frozen]) -> None:
        self._freeze = freeze
        self._random = SystemRandom()
        self._count = 0
        self._kept: dict[int, Any] = {}
        self._last: Any = None
        self.frozen: list[Frozen] = []

    def __call__(self, result: Any) -> None:
        """Wait until the arrays of a result are computed."""
        if type(result) is RawResult:
            for array in (result.output, result.weights, result.logsumexp):
                # JAX returns before it has computed.
                if type(array).__module__.startswith("jax"):
                    array.block_until_ready()
        self._last = result
        if self._random.random() * (self._count + 1) < 1:
            self._kept = {self._count: result}
        self._count += 1

    def freeze(self) -> None:
        """Copy what is to be judged."""
        rng = np.random.default_rng()
        for call, result in {**self._kept, self._count - 1: self._last}.items():
            self.frozen.append(self._freeze(result, call, rng))
        self._kept, self._last = {}, None


def freeze_rows(
    implementation: Implementation,
    request: Request,
    result: Any,
    call: int,
    rng: np.random.Generator,
) -> FrozenRows:
    """Copy random rows of a result."""
    heads = request.batch * request.heads
    chosen = rng.choice(heads, min(HEADS, heads), replace=False)
    places = tuple((int(head) // request.heads, int(head) % request.heads) for head in chosen)
    rows = np.sort(rng.choice(request.query_len, min(ROWS, request.query_len), replace=False))
    frozen = FrozenRows(call, "", places, rows, {}, {})
    failure = why_no_result(result)
    if not failure:
        try:
            batches, which = (np.array(index)[:, None] for index in zip(*places, strict=True))
            for name, array in returned_arrays(result).items():
                frozen.arrays[name] = _copied(array, (batches, which, rows[None]))
                frozen.results[name] = to_float64(frozen.arrays[name])
        except (IndexError, TypeError) as error:
            failure = f"{type(error).__name__}: {error}"
        checks = metadata_checks(implementation, request, result)
        failure = "; ".join(check.detail for check in checks if check.detail) or failure
    return replace(frozen, failure=failure)


def judge_rows(
    implementation: Implementation, case: Case, inputs: Inputs, frozen: FrozenRows
) -> str:
    """Judge rows by the certificate's checks of values; return what is wrong, or an empty string.

    Each head becomes a request of its own, whose queries are the rows.

    Parameters
    ----------
    implementation : Implementation
    case : Case
    inputs : Inputs
        What the call had to compute, in memory that the implementation never had.
    frozen : FrozenRows
    """
    if frozen.failure:
        return frozen.failure
    if implementation.graded:
        return _unlike_own_result(implementation, case, inputs, frozen)
    request = case.request
    for position, (batch, head) in enumerate(frozen.places):
        part, part_inputs = _rows_of(request, inputs, batch, head, frozen.rows)
        results = {name: array[None, None, position] for name, array in frozen.results.items()}
        view = judged_rows(part, rounding_places(implementation, part))
        context = CertificateContext(
            implementation=implementation,
            case=replace(case, request=part),
            threads=1,
            inputs=part_inputs,
            call=lambda: RawResult(None),
            raw=RawResult(**frozen.arrays),
            results=results,
            reference=reference(view.request, view.inputs(part_inputs)),
        )
        for check in CHECKS:
            found = check(context)
            if found is not None and found.detail:
                return (
                    f"{found.name}: {found.detail} (batch {batch}, head {head}, "
                    f"queries {', '.join(map(str, frozen.rows))})"
                )
    return ""


def _unlike_own_result(
    implementation: Implementation, case: Case, inputs: Inputs, frozen: FrozenRows
) -> str:
    """Return how rows differ from those of a call that is not timed; for what is graded."""
    again = implementation.prepare(inputs, case.request)()
    batches, heads = (np.array(index)[:, None] for index in zip(*frozen.places, strict=True))
    for name, array in returned_arrays(again).items():
        expected = to_float64(array)[batches, heads, frozen.rows[None]]
        if not np.array_equal(frozen.results[name], expected, equal_nan=True):
            return f"{name} must be that of a call that is not timed, bit by bit"
    return ""


def _rows_of(
    request: Request, inputs: Inputs, batch: int, head: int, rows: NDArray[np.intp]
) -> tuple[Request, Inputs]:
    """Return the request and the inputs of some queries of one head."""
    part = replace(
        request,
        batch=1,
        heads=1,
        kv_heads=1,
        query_len=len(rows),
        mask="none",
        align="top_left",
        pad_lens=None,
        window=None,
        mask_options=(),
        scale=request.score_scale,
    )
    kv = head // (request.heads // request.kv_heads)
    mask = inputs.mask
    if mask is not None:
        mask = mask[(None,) * (4 - mask.ndim)]
        mask = np.broadcast_to(mask, (*mask.shape[:2], request.query_len, request.key_len))
        mask = mask[batch % mask.shape[0], head % mask.shape[1], rows]
    return part, Inputs(
        query=inputs.query[batch, head, rows][None, None],
        key=inputs.key[batch, kv][None, None],
        value=inputs.value[batch, kv][None, None],
        mask=mask,
        bias=None if inputs.bias is None else inputs.bias[head, rows][None],
    )


def _copied(array: Any, index: tuple[Any, ...]) -> Any:
    if type(array).__module__.startswith("jax"):
        array = np.asarray(array)
    if not isinstance(array, np.ndarray):
        import torch

        index = tuple(torch.from_numpy(axis).to(array.device) for axis in index)
    return array[index]
