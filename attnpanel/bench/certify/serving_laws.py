"""The laws of serving, each of which computes the same rows by two arrangements of calls.

Chunks are prefill in pieces; a decoding call has the keys up to its query.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from attnpanel.bench.certify.cases import Case
from attnpanel.bench.certify.judged_rows import fresh_copy, inputs_of, judged_rows, reference_of
from attnpanel.bench.certify.judgement import error_unit
from attnpanel.bench.certify.rounding import SIXTEEN_BIT, round_to
from attnpanel.bench.certify.sixteen_bits import last_bit, rounding_places
from attnpanel.kernels.arrays import to_float64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import Inputs, Request

SEQUENCES: Final = 4
PARTS: Final = 3
PADDING: Final = (37, 128)
# Queries that are decoded of one case; of more, some at the borders of blocks.
DECODED: Final = 24
ORDER: Final = (2, 0, 3, 1)


@dataclass(frozen=True, eq=False)
class Pair:
    """The same rows computed twice.

    Attributes
    ----------
    index : tuple of slice
        Which sequences, heads and rows of the case.
    one, other : float64 array of shape (b, H, t, Dv)
    stored : float64 array of that shape, or 0
        By how much storing intermediate results in 16 bits may make them differ.
    """

    index: tuple[slice, ...]
    one: NDArray[np.float64]
    other: NDArray[np.float64]
    stored: NDArray[np.float64] | float = 0.0


class UnsupportedError(Exception):
    """An arrangement of calls that the implementation does not support."""


class Calls:
    """The calls of one implementation on one shape."""

    def __init__(self, implementation: Implementation, request: Request, threads: int) -> None:
        self.implementation, self.request, self._threads = implementation, request, threads

    def run(
        self, request: Request, inputs: Inputs
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return output and log-sum-exp of a call.

        Raises
        ------
        UnsupportedError
            With the implementation's first reason.
        """
        reasons = self.implementation.unsupported(request)
        if reasons:
            raise UnsupportedError(reasons[0])
        raw = self.implementation.prepare(inputs, request, threads=self._threads)()
        logsumexp = None if raw.logsumexp is None else to_float64(raw.logsumexp)
        return to_float64(raw.output), logsumexp

    def output(self, request: Request, inputs: Inputs) -> NDArray[np.float64]:
        """Return the output of a call; see :meth:`run`."""
        return self.run(request, inputs)[0]

    def case(self, **changes: object) -> Case:
        """Return the case of this shape with fields of its request changed."""
        return Case(replace(self.request, **changes))  # type: ignore[arg-type] # fields of Request

    def unit(self, case: Case) -> NDArray[np.floating]:
        """Return one unit of each output element of a case, (B, H, T, Dv)."""
        places = rounding_places(self.implementation, case.request)
        view = judged_rows(case.request, places)
        judged = view.inputs(inputs_of(case))
        return error_unit(view.request, judged, reference_of(case, view), places)


ALL: Final = slice(None)


def _batch(calls: Calls) -> tuple[Case, Iterator[Pair]]:
    case = calls.case(batch=SEQUENCES, **_CAUSAL)

    def pairs() -> Iterator[Pair]:
        inputs = fresh_copy(inputs_of(case))
        together = calls.output(case.request, inputs)
        for entry in range(SEQUENCES):
            alone = calls.output(replace(case.request, batch=1), _entries(inputs, [entry]))
            at = slice(entry, entry + 1)
            yield Pair((at,), alone, together[at])

    return case, pairs()


def _position(calls: Calls) -> tuple[Case, Iterator[Pair]]:
    case = calls.case(batch=SEQUENCES, **_CAUSAL)

    def pairs() -> Iterator[Pair]:
        inputs = fresh_copy(inputs_of(case))
        together = calls.output(case.request, inputs)
        moved = calls.output(case.request, _entries(inputs, list(ORDER)))
        for place, entry in enumerate(ORDER):
            at = slice(entry, entry + 1)
            yield Pair((at,), moved[place : place + 1], together[at])

    return case, pairs()


def _chunks(calls: Calls) -> tuple[Case, Iterator[Pair]]:
    case = calls.case(**_CAUSAL)

    def pairs() -> Iterator[Pair]:
        inputs = fresh_copy(inputs_of(case))
        whole = calls.output(case.request, inputs)
        for rows in _thirds(calls.request.query_len):
            yield Pair((ALL, ALL, rows), _rows(calls, inputs, rows, **_CAUSAL), whole[:, :, rows])

    return case, pairs()


def _decode(calls: Calls) -> tuple[Case, Iterator[Pair]]:
    case = calls.case(**_CAUSAL)

    def pairs() -> Iterator[Pair]:
        inputs = fresh_copy(inputs_of(case))
        whole = calls.output(case.request, inputs)
        count = 4 if calls.implementation.compiles else DECODED
        for row in _decoded(calls.request.query_len, count):
            rows = slice(row, row + 1)
            yield Pair((ALL, ALL, rows), _rows(calls, inputs, rows), whole[:, :, rows])

    return case, pairs()


def _padding(calls: Calls) -> tuple[Case, Iterator[Pair]]:
    case = calls.case()

    def pairs() -> Iterator[Pair]:
        inputs = fresh_copy(inputs_of(case))
        whole = calls.output(case.request, inputs)
        key_len = calls.request.key_len
        for more in PADDING:
            padded = replace(
                case.request, key_len=key_len + more, mask="key_padding", pad_lens=(key_len,)
            )
            yield Pair((ALL,), calls.output(padded, _padded(inputs, padded)), whole)

    return case, pairs()


def _split_keys(calls: Calls) -> tuple[Case, Iterator[Pair]]:
    case = calls.case()

    def pairs() -> Iterator[Pair]:
        if "logsumexp" not in calls.implementation.returns:
            raise UnsupportedError("it returns no logsumexp, by which parts are merged")
        inputs = fresh_copy(inputs_of(case))
        whole = calls.output(case.request, inputs)
        outputs, sums = [], []
        for keys in _thirds(calls.request.key_len):
            part = replace(inputs, key=inputs.key[:, :, keys], value=inputs.value[:, :, keys])
            output, logsumexp = calls.run(
                replace(case.request, key_len=keys.stop - keys.start), _contiguous(part)
            )
            assert logsumexp is not None  # noqa: S101 - for mypy: it is declared
            outputs.append(output)
            sums.append(logsumexp)
        share = np.exp(np.array(sums) - np.logaddexp.reduce(sums, axis=0))[..., None]
        merged = (share * np.array(outputs)).sum(axis=0)
        dtype = case.request.dtype
        stored: NDArray[np.float64] | float = 0.0
        if dtype in SIXTEEN_BIT:
            stored = (share * last_bit(np.array(outputs), dtype) / 2).sum(axis=0)
        yield Pair((ALL,), round_to(merged, dtype).astype(np.float64), whole, stored)

    return case, pairs()


class Law(NamedTuple):
    """A law: its two arrangements of calls, and what they are in words."""

    pairs: Callable[[Calls], tuple[Case, Iterator[Pair]]]
    words: str


# The laws in the order of the table.
LAWS: Final[dict[str, Law]] = {
    "batch": Law(_batch, "a sequence alone, and with three others"),
    "position": Law(_position, "the batch in another order"),
    "chunks": Law(_chunks, "causal, and in three calls of a third of the queries"),
    "decode": Law(_decode, "causal, and one call for a query"),
    "padding": Law(_padding, "37 and 128 masked keys more"),
    "split keys": Law(_split_keys, "three calls of a third of the keys, merged by log-sum-exp"),
}
_CAUSAL: Final = {"mask": "causal", "align": "bottom_right"}


def _entries(inputs: Inputs, entries: list[int]) -> Inputs:
    return replace(
        inputs, query=inputs.query[entries], key=inputs.key[entries], value=inputs.value[entries]
    )


def _rows(calls: Calls, inputs: Inputs, rows: slice, **mask: str) -> NDArray[np.float64]:
    """Return the output of some queries of a causal call, with the keys up to the last of them."""
    request = calls.request
    key_len = request.key_len - request.query_len + rows.stop
    part = replace(
        request,
        query_len=rows.stop - rows.start,
        key_len=key_len,
        **mask,  # type: ignore[arg-type]
    )
    taken = replace(
        inputs,
        query=inputs.query[:, :, rows],
        key=inputs.key[:, :, :key_len],
        value=inputs.value[:, :, :key_len],
        mask=part.visible(),
    )
    return calls.output(part, _contiguous(taken))


def _padded(inputs: Inputs, request: Request) -> Inputs:
    """Return inputs with random keys and values after the last, which the mask hides."""
    rng = np.random.default_rng(0)
    more = request.key_len - inputs.key.shape[2]

    def longer(array: NDArray[np.floating]) -> NDArray[np.floating]:
        tail = rng.standard_normal((*array.shape[:2], more, array.shape[3]))
        return np.concatenate([array, round_to(tail, request.dtype)], axis=2)

    key, value = longer(inputs.key), longer(inputs.value)
    return replace(inputs, key=key, value=value, mask=request.visible())


def _contiguous(inputs: Inputs) -> Inputs:
    return replace(
        inputs,
        query=np.ascontiguousarray(inputs.query),
        key=np.ascontiguousarray(inputs.key),
        value=np.ascontiguousarray(inputs.value),
    )


def _thirds(length: int) -> list[slice]:
    borders = np.linspace(0, length, PARTS + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(borders)]


def _decoded(query_len: int, count: int) -> list[int]:
    """Return rows to decode: all of a short call, else first, last and the borders of blocks."""
    if query_len <= count:
        return list(range(query_len))
    borders = [row for block in (16, 64, 128) for row in (block - 1, block) if row < query_len]
    spread = np.linspace(0, query_len - 1, max(count - len(borders), 2)).astype(int)
    return sorted({*spread.tolist(), *(borders if count > len(borders) + 2 else [])})
