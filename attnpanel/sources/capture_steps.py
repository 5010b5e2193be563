"""Generation with a key/value cache: its steps, kept without repeating keys, become one picture.

A step of generation attends from its new tokens to all keys so far. Kept as it comes, each step
would hold all keys once more; here the steps of a layer share one growing array. When the capture
ends, their rows are put below each other: one call a layer, T by T.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.sources.capture_masks import compact, factor_causal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import DTypeLike, NDArray

    from attnpanel.attention_call import AttentionCall, Causal
    from attnpanel.sources.capture_budget import Budget


class Grown:
    """An array (B, H, S, D) that grows along S; what was given out stays as it is."""

    def __init__(self, first: NDArray[Any]) -> None:
        self._room, self.length = first, first.shape[2]

    def last(self, length: int) -> NDArray[Any]:
        """Return the last rows, read-only and without a copy."""
        view: NDArray[Any] = self._room[:, :, self.length - length : self.length]
        view.flags.writeable = False
        return view

    def first(self, length: int) -> NDArray[Any]:
        """Return the first rows, read-only: a copy, unless there is no room beside them."""
        rows: NDArray[Any] = self._room[:, :, :length]
        kept = rows if length == self._room.shape[2] else rows.copy()
        kept.flags.writeable = False
        return kept

    def extend(self, rows: NDArray[Any], budget: Budget, layer: str) -> None:
        """Add rows at the end. Calls that have the room before keep it, so a new one counts."""
        batch, heads, added, channels = rows.shape
        length = self.length + added
        if length > self._room.shape[2]:
            shape = (batch, heads, 2 * length, channels)
            budget.take(math.prod(shape) * self._room.itemsize, layer)
            room = np.empty(shape, self._room.dtype)
            room[:, :, : self.length] = self.last(self.length)
            self._room = room
        self._room[:, :, self.length : length] = rows
        self.length = length


@dataclass(eq=False)
class Picture:
    """The calls of one layer that belong together.

    Attributes
    ----------
    settings : tuple
        What all its calls must have in common.
    keys, values : Grown
        All of them so far; values None where none are kept.
    calls : list of AttentionCall
    ends : list of int
        How many keys there were after each call.
    stored : int
        What its calls and arrays take, in bytes; masks aside, which other layers share.
    """

    settings: tuple[object, ...]
    keys: Grown
    values: Grown | None
    calls: list[AttentionCall] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    stored: int = 0


class Steps:
    """All pictures of one capture, and which of them the next call of a layer may continue."""

    def __init__(self) -> None:
        self._pictures: list[Picture] = []
        self._open: dict[str, Picture] = {}
        # Whether the last self-attention went on from an earlier one: cross attention after it
        # belongs to the same text.
        self._goes_on = False

    def place(self, live: AttentionCall, stored: AttentionCall, budget: Budget) -> AttentionCall:
        """Give back a call whose keys and values are shared with its layer's earlier ones.

        Parameters
        ----------
        live : AttentionCall
            With query and key.
        stored : AttentionCall
            What is kept of it: the same, or its weights.
        budget : Budget
            Has counted what `stored` holds; then counts what it takes when it shares.

        Raises
        ------
        CaptureBudgetError
            If there is no room for more keys.
        """
        picture = self._open.get(live.layer)
        goes_on = picture is not None and _goes_on(picture, live, of_a_text=self._goes_on)
        if live.kind == "self":
            self._goes_on = goes_on
        if picture is None or not goes_on:
            assert live.key is not None  # noqa: S101 - it is live
            if stored.key is None:
                budget.take(live.key.nbytes, live.layer)  # what comes next is compared with it
            self._open[live.layer] = Picture(
                _settings(live),
                Grown(live.key),
                None if live.value is None else Grown(live.value),
            )
            return stored
        new = live.query_len if live.kind == "self" else 0
        shared: dict[str, Any] = {}
        for name, grown in (("key", picture.keys), ("value", picture.values)):
            if grown is not None:
                if new:
                    grown.extend(getattr(live, name)[:, :, -new:], budget, live.layer)
                if getattr(stored, name) is not None:
                    shared[name] = grown.last(live.key_len)
        budget.stored -= sum(array.nbytes for array in shared.values())
        return replace(stored, **shared)

    def add(self, call: AttentionCall, stored: int) -> None:
        """Keep a call that was placed, and has taken so many bytes."""
        picture = self._open[call.layer]
        if not picture.calls:
            self._pictures.append(picture)
        picture.calls.append(call)
        picture.ends.append(picture.keys.length)
        picture.stored += stored

    def forget(self, layer: str) -> None:
        """End a layer's picture: a call of it is missing."""
        self._open.pop(layer, None)

    def of_several_calls(self) -> Iterator[Picture]:
        """Hand over each picture of several calls, in the order of their first calls."""
        self._open.clear()
        while self._pictures:
            if len(self._pictures[0].calls) > 1:
                yield self._pictures.pop(0)
            else:
                self._pictures.pop(0)


def _goes_on(picture: Picture, call: AttentionCall, *, of_a_text: bool) -> bool:
    """Whether a call attends to the keys that are there, and to its own after them."""
    if not picture.calls or call.key is None:
        return False
    keys = picture.keys.last(picture.keys.length)
    if picture.settings != _settings(call) or call.key.shape[1::2] != keys.shape[1::2]:
        return False
    if call.kind == "cross":
        return of_a_text and np.array_equal(call.key, keys)
    # A cache with a window keeps the last keys only.
    past = call.key_len - call.query_len
    if not 0 < past <= picture.keys.length or call.q_offset != past:
        return False
    return np.array_equal(call.key[:, :, :past], picture.keys.last(past))


def _settings(call: AttentionCall) -> tuple[object, ...]:
    sinks = None if call.sinks is None else call.sinks.tobytes()
    dtype = None if call.key is None else call.key.dtype
    return call.kind, call.batch, call.heads, call.scale, call.soft_cap, sinks, dtype


def joined(picture: Picture) -> AttentionCall:
    """Make one call of those of a picture."""
    calls = picture.calls
    first = calls[0]
    query_len = sum(call.query_len for call in calls)
    key_len = picture.ends[-1]
    given: dict[str, Any] = {"q_offset": key_len - query_len if first.kind == "self" else 0}
    if picture.values is not None:
        given["value"] = picture.values.first(key_len)
    if not all(call.live for call in calls):
        given |= {"query": None, "key": None, "mask": None, "bias": None, "causal": "none"}
        given |= {"soft_cap": None, "sinks": None}
        dtype = picture.keys.last(1).dtype
        own = (weights_of(call, dtype) for call in calls)  # one at a time
        shape = (first.batch, first.heads, query_len, key_len)
        given["recorded_weights"] = _laid_out(picture, own, np.zeros(shape, dtype))
    else:
        given["query"] = np.concatenate([call.query for call in calls if call.query is not None], 2)
        given["key"] = picture.keys.first(key_len)
        given |= _visible(picture, query_len, key_len)
    for array in given.values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False  # so that the call keeps it as it is
    return replace(first, **given)


def joined_bytes(picture: Picture) -> int:
    """How much :func:`joined` takes at most, beside what is there."""
    calls, key_len = picture.calls, picture.ends[-1]
    pairs = sum(call.query_len for call in calls) * key_len
    both = [one.last(1) for one in (picture.keys, picture.values) if one is not None]
    live = all(call.live for call in calls)
    size = key_len * sum(one.nbytes for one in (both if live else both[1:]))
    if not live:
        # The picture, one step, and one head of it in the copies that computing its weights takes.
        longest = max(call.query_len * call.key_len for call in calls)
        heads = calls[0].batch * calls[0].heads
        return size + heads * (pairs + longest) * both[0].itemsize + 8 * longest * 4
    size += sum(call.query.nbytes for call in calls if call.query is not None)
    if not _is_plain(picture):
        # The steps' masks with their causal rule, these put together, and copies without what is
        # the same in all rows, heads or sequences; a bias is of float32.
        size += 4 * pairs * max(_leading([call.mask for call in calls]), 1)
        size += 2 * 4 * pairs * _leading([call.bias for call in calls])
    return size


def _leading(arrays: list[NDArray[Any] | None]) -> int:
    """B · H of arrays that broadcast to (B, H, T, S), put together; 0 where there are none."""
    leads = [(1,) * (4 - one.ndim) + one.shape for one in arrays if one is not None]
    return max((one[0] for one in leads), default=0) * max((one[1] for one in leads), default=0)


def weights_of(call: AttentionCall, dtype: DTypeLike) -> NDArray[Any]:
    """Compute the weights of all heads, (B, H, T, S); as they are where they are recorded."""
    made: NDArray[Any] = np.empty((call.batch, call.heads, call.query_len, call.key_len), dtype)
    for batch, head in np.ndindex(made.shape[:2]):
        made[batch, head] = call.weights(head, batch)
    made.flags.writeable = False
    return made


def _visible(picture: Picture, query_len: int, key_len: int) -> dict[str, Any]:
    """The steps' masks, causal rules and biases as those of one call."""
    calls = picture.calls
    if _is_plain(picture):
        return {"causal": "top_left" if query_len == key_len else "bottom_right"}
    rows = [_seen(call) for call in calls]
    visible = compact(_below(picture, rows, key_len))
    causal: Causal = "none"
    if query_len > 1 and visible.shape[-2:] == (query_len, key_len):
        causal, visible = factor_causal(visible)
    given: dict[str, Any] = {"causal": causal, "mask": None if visible.all() else visible}
    biases = [
        np.zeros((1, 1, 1, 1), np.float32) if call.bias is None else call.bias for call in calls
    ]
    if any(call.bias is not None for call in calls):
        given["bias"] = compact(_below(picture, biases, key_len))
    return given


def _is_plain(picture: Picture) -> bool:
    """Whether each query sees the keys up to its own, and that is all."""
    first, *later = picture.calls
    plain = all(call.mask is None and call.bias is None for call in picture.calls)
    whole = all(call.key_len == end for call, end in zip(picture.calls, picture.ends, strict=True))
    causal = first.causal != "none" or first.query_len == 1
    steps = all(call.query_len == 1 or call.causal == "bottom_right" for call in later)
    return first.kind == "self" and plain and whole and causal and steps


def _seen(call: AttentionCall) -> NDArray[np.bool_]:
    """Mask and causal rule of a call together, broadcastable to (B, H, T, S)."""
    past = call.q_offset if call.causal == "top_left" else call.key_len - call.query_len
    earlier = np.arange(call.key_len) <= np.arange(call.query_len)[:, None] + past
    sees = earlier if call.causal != "none" else np.ones_like(earlier)
    return sees[None, None] if call.mask is None else np.asarray(sees & call.mask)


def _below(picture: Picture, parts: list[NDArray[Any]], key_len: int) -> NDArray[Any]:
    """Put arrays that broadcast to each call's (B, H, T, S) below each other; 0 elsewhere."""
    four = [part.reshape((1,) * (4 - part.ndim) + part.shape) for part in parts]
    batch, heads = (max(part.shape[axis] for part in four) for axis in (0, 1))
    query_len = sum(call.query_len for call in picture.calls)
    return _laid_out(picture, four, np.zeros((batch, heads, query_len, key_len), four[0].dtype))


def _laid_out(picture: Picture, parts: Iterable[NDArray[Any]], made: NDArray[Any]) -> NDArray[Any]:
    """Write arrays (…, …, T, S) of each call into that of the picture, below each other."""
    starts = [0, *np.cumsum([call.query_len for call in picture.calls])]
    for call, part, end, rows in zip(
        picture.calls, parts, picture.ends, pairwise(starts), strict=True
    ):
        made[:, :, slice(*rows), end - call.key_len : end] = part
    return made
