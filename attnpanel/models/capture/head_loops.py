"""Merge the calls of a loop over heads, or over sequences, into the one call that they are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.models.intercept.batched_heads import declared_heads
from attnpanel.models.intercept.loop_turns import loop_axis, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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


class HeadLoops:
    """Find the calls of one layer that are turns of one loop."""

    def __init__(self) -> None:
        self._loops: dict[str, list[_Loop]] = {}
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
        loops = self._loops.setdefault(layer, [])
        declared = declared_heads(call.modules)
        if declared and call.query.shape[1] == 1:
            self._declared[layer] = declared[0]
        if loops and call.sequence_len in {None, call.query.shape[2]}:
            latest = loops[-1]
            axis = loop_axis(places, latest.places, folded=call.folded)
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
        for layer, axis, indices in self._turns(by_index):
            turns = [by_index[index] for index in indices]
            joined = sum(_bytes(call) for call in turns)
            try:
                budget.take(joined, layer)
            except MemoryError:
                continue
            budget.stored -= joined  # for that long both exist
            first = min(indices)
            merged[first] = replace(_joined(turns, axis), index=first)
            gone.update(set(indices) - {first})
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


def _alike(calls: Sequence[AttentionCall]) -> bool:
    first = calls[0]
    return all(
        call.live == first.live
        and call.sinks is None
        and all(getattr(call, name) == getattr(first, name) for name in SHARED)
        and (call.batch, call.heads, call.kv_heads) == (first.batch, first.heads, first.kv_heads)
        and (call.query_len, call.key_len) == (first.query_len, first.key_len)
        for call in calls
    )


def _joined(calls: Sequence[AttentionCall], axis: Axis) -> AttentionCall:
    """Join calls along the axis of heads or of sequences."""
    first = calls[0]
    pattern = first.batch, first.heads, first.query_len, first.key_len

    def arrange(array: NDArray[Any], name: str) -> NDArray[Any]:
        if name in {"mask", "bias"}:
            array = np.broadcast_to(array, pattern)
        if axis == "heads":  # what seemed heads is sequences
            return array.reshape(-1, 1, *array.shape[2:])
        return array.reshape(1, -1, *array.shape[2:]) if axis == "batch" else array

    joined: dict[str, Any] = {}
    for name in ARRAYS:
        arrays = [getattr(call, name) for call in calls]
        if all(array is None for array in arrays):
            joined[name] = None
            continue
        if any(array is None for array in arrays):
            whole = np.ones(pattern, np.bool_) if name == "mask" else np.zeros(pattern, np.float32)
            arrays = [whole if array is None else array for array in arrays]
        joined[name] = np.concatenate(
            [arrange(array, name) for array in arrays],
            axis=1 if axis in {"heads", "head groups"} else 0,
        )
    return replace(first, **joined)


def _bytes(call: AttentionCall) -> int:
    arrays = (getattr(call, name) for name in ARRAYS)
    return sum(array.nbytes for array in arrays if array is not None)
