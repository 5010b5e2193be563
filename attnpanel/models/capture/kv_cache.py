"""Merge the steps of generation with a key/value cache into one call a layer.

A step attends from its new tokens to all keys so far. Stored separately, each step would repeat all
earlier keys; here the steps of a layer share one growing array. When the capture ends, their rows
are stacked: one call a layer, T by T.

In a beam search the sequences of a batch change places between steps: each is then followed by the
keys that it continues.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from attnpanel.models.capture.budget import Budget
    from attnpanel.trace.call import AttentionCall


class GrowingArray:
    """An array (B, H, S, D) that grows along S; views returned earlier stay valid."""

    def __init__(self, first: NDArray[Any]) -> None:
        self._buffer, self.length = first, first.shape[2]

    def last(self, length: int) -> NDArray[Any]:
        """Return the last rows, read-only and without a copy."""
        view: NDArray[Any] = self._buffer[:, :, self.length - length : self.length]
        view.flags.writeable = False
        return view

    def first(self, length: int) -> NDArray[Any]:
        """Return the first rows, read-only: a copy, unless they fill the buffer."""
        rows: NDArray[Any] = self._buffer[:, :, :length]
        result = rows if length == self._buffer.shape[2] else rows.copy()
        result.flags.writeable = False
        return result

    def reorder(self, batch_rows: NDArray[np.intp], budget: Budget, layer: str) -> None:
        """Take these rows of the batch, in a new buffer."""
        _, heads, _, channels = self._buffer.shape
        shape = (len(batch_rows), heads, self.length, channels)
        budget.take(math.prod(shape) * self._buffer.itemsize, layer)
        self._buffer = self._buffer[batch_rows, :, : self.length]

    def extend(self, rows: NDArray[Any], budget: Budget, layer: str) -> None:
        """Append rows. A new buffer counts in full: calls keep views into the old one."""
        batch, heads, added, channels = rows.shape
        length = self.length + added
        if length > self._buffer.shape[2]:
            shape = (batch, heads, 2 * length, channels)
            budget.take(math.prod(shape) * self._buffer.itemsize, layer)
            buffer = np.empty(shape, self._buffer.dtype)
            buffer[:, :, : self.length] = self.last(self.length)
            self._buffer = buffer
        self._buffer[:, :, self.length : length] = rows
        self.length = length


@dataclass(eq=False)
class StepSequence:
    """Consecutive calls of one layer over one growing text.

    Attributes
    ----------
    settings : tuple
        What all its calls must have in common.
    keys, values : GrowingArray
        All keys and values so far; values is None if none are stored.
    calls : list of AttentionCall
    ends : list of int
        Number of keys after each call.
    parents : list of int arrays of shape (B,)
        For each call, the row of the call before that each sequence of its batch continues.
    stored : int
        Bytes of its calls and arrays, without masks, which layers share.
    """

    settings: tuple[object, ...]
    keys: GrowingArray
    values: GrowingArray | None
    calls: list[AttentionCall] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    parents: list[NDArray[np.intp]] = field(default_factory=list)
    stored: int = 0

    def rows(self) -> list[NDArray[np.intp]]:
        """Return, for each call, the rows that the last call's sequences had in it."""
        found = [np.arange(self.calls[-1].batch)]
        for parents in reversed(self.parents[1:]):
            found.append(parents[found[-1]])
        return found[::-1]


class StepTracker:
    """All step sequences of one capture, and which of them a layer's next call may continue."""

    def __init__(self) -> None:
        self._sequences: list[StepSequence] = []
        self._open: dict[str, StepSequence] = {}
        # The rows that each sequence of the last self-attention may continue, None if it began a
        # text: those of a cross-attention call after it.
        self._latest: list[list[int]] | None = None
        # The rows that each layer's latest call continues.
        self._parents: dict[str, NDArray[np.intp]] = {}

    def share_keys(
        self, live: AttentionCall, stored: AttentionCall, budget: Budget
    ) -> AttentionCall:
        """Return a call whose keys and values are shared with its layer's earlier calls.

        Parameters
        ----------
        live : AttentionCall
            With query and key.
        stored : AttentionCall
            The call as it will be stored: `live`, or its weights.
        budget : Budget
            Has counted the bytes of `stored`; is corrected where arrays are shared.

        Raises
        ------
        CaptureBudgetError
            If there is no room for more keys.
        """
        sequence = self._open.get(live.layer)
        rows = None if sequence is None else _rows_before(sequence, live, self._latest)
        parents = None if rows is None else np.array([row for row, *_ in rows], np.intp)
        if live.kind == "self":
            self._latest = rows
        self._parents[live.layer] = np.arange(live.batch) if parents is None else parents
        if sequence is None or parents is None:
            self._count_unstored_key(live, stored, budget)
            self._open[live.layer] = StepSequence(_settings(live), *_growing_arrays(live))
            return stored
        new = live.query_len if live.kind == "self" else 0
        if not _same_places(parents, sequence) and live.key_len == sequence.keys.length + new:
            self._count_unstored_key(live, stored, budget)
            sequence.keys, sequence.values = _growing_arrays(live)
            return stored
        shared: dict[str, Any] = {}
        for name, array in (("key", sequence.keys), ("value", sequence.values)):
            if array is not None:
                if not _same_places(parents, sequence):
                    array.reorder(parents, budget, live.layer)
                if new:
                    array.extend(getattr(live, name)[:, :, -new:], budget, live.layer)
                if getattr(stored, name) is not None:
                    shared[name] = array.last(live.key_len)
        budget.stored -= sum(array.nbytes for array in shared.values())
        return replace(stored, **shared)

    @staticmethod
    def _count_unstored_key(live: AttentionCall, stored: AttentionCall, budget: Budget) -> None:
        """Count the key of a call that stores none: the next call is compared with it."""
        assert live.key is not None  # noqa: S101 - it is live
        if stored.key is None:
            budget.take(live.key.nbytes, live.layer)

    def append(self, call: AttentionCall, stored: int) -> None:
        """Add a call that :meth:`share_keys` returned and that takes `stored` bytes."""
        sequence = self._open[call.layer]
        if not sequence.calls:
            self._sequences.append(sequence)
        sequence.calls.append(call)
        sequence.ends.append(sequence.keys.length)
        sequence.parents.append(self._parents[call.layer])
        sequence.stored += stored

    def close(self, layer: str) -> None:
        """End a layer's sequence, because a call of it is missing."""
        self._open.pop(layer, None)

    def pop_stitchable(self) -> Iterator[StepSequence]:
        """Remove and yield each sequence of several calls, in the order of their first calls."""
        self._open.clear()
        while self._sequences:
            sequence = self._sequences.pop(0)
            if len(sequence.calls) > 1:
                yield sequence
            del sequence  # its arrays are freed before the next one is stitched


def _growing_arrays(call: AttentionCall) -> tuple[GrowingArray, GrowingArray | None]:
    """Return arrays that begin with the keys and values of a call."""
    assert call.key is not None  # noqa: S101 - it is live
    return GrowingArray(call.key), None if call.value is None else GrowingArray(call.value)


def _same_places(parents: NDArray[np.intp], sequence: StepSequence) -> bool:
    """Whether each sequence of the batch is where it was in the call before."""
    return np.array_equal(parents, np.arange(sequence.calls[-1].batch))


def _rows_before(
    sequence: StepSequence, call: AttentionCall, latest: list[list[int]] | None
) -> list[list[int]] | None:
    """Return the rows of a step sequence whose keys each row of a call may continue.

    The likeliest is first: several rows have equal keys where they hold the same tokens, in the
    first layer those of other prompts, too. None if some row continues none, or fewer rows are
    left: sequences have ended. `latest` are those of the self-attention before.
    """
    if not sequence.calls or call.key is None:
        return None
    keys = sequence.keys.last(sequence.keys.length)
    if sequence.settings != _settings(call) or call.key.shape[1::2] != keys.shape[1::2]:
        return None
    if len(call.key) < len(keys):
        return None
    if len(call.key) > len(keys) and call.kind == "self" and call.query_len > 1:
        return None  # streams of one pass (ProphetNet); a beam search has more beams step by step
    if call.kind == "cross":
        if latest is None or len(latest) != len(call.key) or call.key.shape[2] != keys.shape[2]:
            return None
        same = [
            [row for row in rows if row < len(keys) and np.array_equal(call.key[i], keys[row])]
            for i, rows in enumerate(latest)
        ]
        return same if all(same) else None
    # A cache with a window keeps the last keys only.
    past = call.key_len - call.query_len
    if not 0 < past <= sequence.keys.length or call.q_offset != past:
        return None
    ours, earlier = call.key[:, :, :past], sequence.keys.last(past)
    if np.array_equal(ours, earlier):
        return [[i] for i in range(len(ours))]
    numbers: dict[bytes, list[int]] = {}
    for number, row in enumerate(earlier):
        numbers.setdefault(row.tobytes(), []).append(number)
    found = [
        sorted(numbers.get(row.tobytes(), ()), key=lambda number, i=i: abs(number - i))
        for i, row in enumerate(ours)
    ]
    return found if all(found) else None


def _settings(call: AttentionCall) -> tuple[object, ...]:
    sinks = None if call.sinks is None else call.sinks.tobytes()
    dtype = None if call.key is None else call.key.dtype
    return call.kind, call.heads, call.scale, call.soft_cap, sinks, dtype
