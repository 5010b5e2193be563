"""Merge the calls of a loop over heads, over sequences or over both into the call that they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.models.intercept.batched_heads import declared_heads
from attnpanel.models.intercept.loop_turns import loop_axis, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from attnpanel.models.capture.budget import Budget
    from attnpanel.models.intercept.call import InterceptedCall
    from attnpanel.models.intercept.loop_turns import Axis, Place
    from attnpanel.trace.call import AttentionCall

ARRAYS = ("query", "key", "value", "mask", "bias", "recorded_weights")
# What the calls of a loop have in common.
SHARED = ("kind", "causal", "scale", "q_offset", "soft_cap")


@dataclass(eq=False)
class _Loop:
    """Calls that follow one another, each at other places of the same tensors."""

    axis: Axis
    places: tuple[Place, ...]
    indices: list[int] = field(default_factory=list)
    # Where each call's query begins: a loop may go over heads, or sequences, in any order.
    offsets: list[int] = field(default_factory=list)

    def in_memory(self) -> list[int]:
        """Return the indices of the calls in the order in which their queries lie in memory."""
        return [index for _, index in sorted(zip(self.offsets, self.indices, strict=True))]


@dataclass(frozen=True, eq=False)
class _Turn:
    """A call whose sequences are known: a number of their batch, and which each matrix is of."""

    index: int
    batch: int
    rows: tuple[int, ...]
    query: Place

    def follows(self, before: _Turn) -> bool:
        """Whether this is of other sequences, or other heads of the same, in the same memory."""
        if self.batch != before.batch or not self.query.beside(before.query):
            return False
        step = abs(self.query.offset - before.query.offset)
        # A shorter step is one to other channels of the same heads, or to heads between them.
        several = len(self.rows) > 1 and len(set(self.rows)) == 1
        heads_axis = int(self.query.shape[0] == 1)
        least = len(self.rows) * self.query.strides[heads_axis] if several else 0
        return self.rows != before.rows or step >= least


@dataclass(eq=False)
class _Run:
    """Turns that follow one another, all in the same memory or not."""

    turns: list[_Turn]
    in_memory: bool = True


class HeadLoops:
    """Find the calls of one layer that are turns of one loop."""

    def __init__(self) -> None:
        self._loops: dict[str, list[_Loop]] = {}
        # Calls whose sequences are known: runs that follow one another.
        self._runs: dict[str, list[_Run]] = {}
        # Layers of calls with one head, and the number that their module declares.
        self._declared: dict[str, int] = {}

    def note(self, layer: str, index: int, call: InterceptedCall) -> None:
        """Note a call that was stored under an index.

        Parameters
        ----------
        layer : str
        index : int
        call : InterceptedCall
            As it was intercepted.
        """
        places = tuple(map(place_of, (call.query, call.key, call.value)))
        declared = declared_heads(call.modules)
        if declared and call.query.shape[1] == 1:
            self._declared[layer] = declared[0]
        rows = _rows_of_matrices(call)
        if rows:
            self._note_turn(layer, _Turn(index, call.rows[0][0], rows, places[0]))
            return
        loops = self._loops.setdefault(layer, [])
        length = call.sequence_len
        if loops and length in {None, call.query.shape[2]}:
            latest, whole = loops[-1], length is not None
            axis = loop_axis(places, latest.places, folded=call.folded, whole=whole)
            if axis is not None:
                if len(latest.indices) == 1:
                    latest.axis = axis
                latest.places = places
                latest.indices.append(index)
                latest.offsets.append(places[0].offset)
                return
        if loops:
            loops[-1].places = ()  # only the latest call's can be continued
        loops.append(_Loop("heads", places, [index], [places[0].offset]))

    def _note_turn(self, layer: str, turn: _Turn) -> None:
        runs = self._runs.setdefault(layer, [])
        if runs:
            before = runs[-1].turns[-1]
            follows = turn.follows(before)  # not known later, when memory has been freed
            next_head = layer in self._declared and len(turn.rows) == len(set(turn.rows))
            next_head = next_head and turn.batch == before.batch and turn.index == before.index + 1
            if follows or next_head:
                runs[-1].turns.append(turn)
                runs[-1].in_memory &= follows
                return
        runs.append(_Run([turn]))

    def merge(self, calls: Sequence[AttentionCall], budget: Budget) -> list[AttentionCall]:
        """Return the calls, those of a loop as one.

        Parameters
        ----------
        calls : sequence of AttentionCall
        budget : Budget
            Calls that it has no room to merge stay apart.
        """
        by_index = {call.index: call for call in calls}
        merged: dict[int, AttentionCall] = {}
        gone: set[int] = set()

        def merge(layer: str, indices: list[int], join: Callable[..., AttentionCall]) -> None:
            joined = sum(_bytes(by_index[index]) for index in indices)
            try:
                budget.take(joined, layer)
            except MemoryError:
                return
            budget.stored -= joined  # for that long both exist
            first = min(indices)
            merged[first] = replace(join([by_index[index] for index in indices]), index=first)
            gone.update(set(indices) - {first})

        for layer, axis, indices in self._turns(by_index):
            merge(layer, indices, partial(_joined, axis=axis))
        for layer, turns in self._by_sequence(by_index):
            rows = [turn.rows for turn in turns]
            merge(layer, [turn.index for turn in turns], partial(_of_sequences, rows=rows))
        return [merged.get(call.index, call) for call in calls if call.index not in gone]

    def _turns(self, calls: dict[int, AttentionCall]) -> Iterator[tuple[str, Axis, list[int]]]:
        for layer, found in self._loops.items():
            loops = found
            if all(len(loop.indices) == 1 for loop in found):
                loops = list(self._by_number(layer, [loop.indices[0] for loop in found], calls))
            for loop in loops:
                turns = [calls[index] for index in loop.indices if index in calls]
                if len(loop.indices) > 1 and len(turns) == len(loop.indices) and _alike(turns):
                    yield layer, loop.axis, loop.in_memory()

    def _by_sequence(self, calls: dict[int, AttentionCall]) -> Iterator[tuple[str, list[_Turn]]]:
        """Yield the turns of each loop whose sequences are known, with the layer."""
        for layer, run in ((layer, run) for layer, runs in self._runs.items() for run in runs):
            found = [calls[turn.index] for turn in run.turns if turn.index in calls]
            if len(found) < len(run.turns) or not _alike(found, shape=False):
                continue
            if run.in_memory:  # a loop may go over heads in any order
                passes = [sorted(run.turns, key=lambda turn: turn.query.offset)]
            else:
                passes = _passes(run.turns, self._declared[layer])
            for turns in passes:
                counts = Counter(row for turn in turns for row in turn.rows)
                if len(turns) > 1 and len(set(counts.values())) == 1:
                    yield layer, turns

    def _by_number(
        self, layer: str, indices: list[int], calls: dict[int, AttentionCall]
    ) -> Iterator[_Loop]:
        """Group calls of one head by the number of heads that their module declares."""
        number = self._declared.get(layer, 1)
        one_head = all(index in calls and calls[index].heads == 1 for index in indices)
        if number > 1 and one_head and len(indices) % number == 0:
            for start in range(0, len(indices), number):
                turns = indices[start : start + number]
                if turns[-1] - turns[0] == number - 1:  # none of another layer between them
                    yield _Loop("heads", (), turns, turns)


def _rows_of_matrices(call: InterceptedCall) -> tuple[int, ...]:
    """Return which sequence each matrix of a call (B, H, T, D) is of; none if that is not known."""
    batch, heads, query_len, _ = call.query.shape
    rows = tuple(row for _, row in call.rows)
    if call.sequence_len != query_len or len({number for number, _ in call.rows}) != 1:
        return ()
    if batch == 1 or call.folded:
        rows = rows * (batch * heads) if len(rows) == 1 else rows
    return rows if len(rows) == batch * heads else ()


def _passes(turns: list[_Turn], heads: int) -> list[list[_Turn]]:
    """Part turns of one head each into passes: a sequence's further turns are of the next one."""
    seen: Counter[int] = Counter()
    passes: dict[int, list[_Turn]] = {}
    for turn in turns:
        passes.setdefault(seen[turn.rows[0]] // heads, []).append(turn)
        seen.update(turn.rows)
    return list(passes.values()) if all(number % heads == 0 for number in seen.values()) else []


def _alike(calls: Sequence[AttentionCall], *, shape: bool = True) -> bool:
    """Whether calls may be turns of one loop; with `shape` they have the same numbers of heads."""
    first = calls[0]
    sizes = (first.batch, first.heads, first.kv_heads)
    return all(
        call.live == first.live
        and call.sinks is None
        and all(getattr(call, name) == getattr(first, name) for name in SHARED)
        and (not shape or (call.batch, call.heads, call.kv_heads) == sizes)
        and (call.query_len, call.key_len) == (first.query_len, first.key_len)
        for call in calls
    )


def _of_sequences(
    calls: Sequence[AttentionCall], *, rows: Sequence[tuple[int, ...]]
) -> AttentionCall:
    """Join the matrices of calls whose sequences are known, each sequence's in the calls' order."""

    def matrices(array: NDArray[Any], call: int, row: int) -> NDArray[Any]:
        own = array.reshape(-1, *array.shape[2:])
        # Keys that heads share are fewer than these; then all of them are of one sequence.
        return own[np.equal(rows[call], row)] if len(own) == len(rows[call]) else own

    joined: dict[str, Any] = {}
    for name, arrays in _arrays(calls):
        joined[name] = arrays and np.stack(
            [
                np.concatenate(
                    [matrices(array, i, row) for i, array in enumerate(arrays) if row in rows[i]]
                )
                for row in sorted({row for own in rows for row in own})
            ]
        )
    return replace(calls[0], **joined)


def _arrays(calls: Sequence[AttentionCall]) -> Iterator[tuple[str, list[NDArray[Any]] | None]]:
    """Yield the arrays of calls by name; None if none of them has it."""
    for name in ARRAYS:
        arrays = [getattr(call, name) for call in calls]
        if all(array is None for array in arrays):
            yield name, None
            continue
        if name in {"mask", "bias"}:
            patterns = [(x.batch, x.heads, x.query_len, x.key_len) for x in calls]
            # Hides nothing, or adds 0.
            whole = np.ones((), np.bool_) if name == "mask" else np.zeros((), np.float32)
            arrays = [
                np.broadcast_to(whole if array is None else array, pattern)
                for array, pattern in zip(arrays, patterns, strict=True)
            ]
        yield name, arrays


def _joined(calls: Sequence[AttentionCall], axis: Axis) -> AttentionCall:
    """Join calls along the axis of heads or of sequences."""

    def arrange(array: NDArray[Any]) -> NDArray[Any]:
        if axis == "heads":  # what seemed heads is sequences
            return array.reshape(-1, 1, *array.shape[2:])
        return array.reshape(1, -1, *array.shape[2:]) if axis == "batch" else array

    along = 1 if axis in {"heads", "head groups"} else 0
    joined: dict[str, Any] = {
        name: arrays and np.concatenate([arrange(array) for array in arrays], axis=along)
        for name, arrays in _arrays(calls)
    }
    return replace(calls[0], **joined)


def _bytes(call: AttentionCall) -> int:
    arrays = (getattr(call, name) for name in ARRAYS)
    return sum(array.nbytes for array in arrays if array is not None)
