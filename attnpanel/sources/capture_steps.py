"""Generation with a key/value cache: its steps, kept without repeating keys, become one picture.

A step of generation attends from its new tokens to all keys so far. Kept as it comes, each step
would hold all keys once more; here the steps of a layer share one growing array. When the capture
ends, their rows are put below each other: one call a layer, T by T.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.sources.capture_masks import compact, factor_causal

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from attnpanel.attention_call import AttentionCall, Causal


class Grown:
    """An array (B, H, S, D) that grows along S; what was given out stays as it is."""

    def __init__(self, first: NDArray[Any]) -> None:
        self._room, self.length = first, first.shape[2]

    def last(self, length: int) -> NDArray[Any]:
        """Return the last rows, read-only and without a copy."""
        view: NDArray[Any] = self._room[:, :, self.length - length : self.length]
        view.flags.writeable = False
        return view

    def extend(self, rows: NDArray[Any]) -> None:
        """Add rows at the end."""
        batch, heads, added, channels = rows.shape
        length = self.length + added
        if length > self._room.shape[2]:
            room = np.empty((batch, heads, 2 * length, channels), self._room.dtype)
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
    """

    settings: tuple[object, ...]
    keys: Grown
    values: Grown | None
    calls: list[AttentionCall] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)


class Steps:
    """All pictures of one capture, and which of them the next call of a layer may continue."""

    def __init__(self) -> None:
        self._pictures: list[Picture] = []
        self._open: dict[str, Picture] = {}
        # Whether the last self-attention went on from an earlier one: cross attention after it
        # belongs to the same text.
        self._goes_on = False

    def place(self, live: AttentionCall, stored: AttentionCall) -> tuple[AttentionCall, int]:
        """Give back a call whose keys and values are shared with its layer's earlier ones.

        Parameters
        ----------
        live : AttentionCall
            With query and key.
        stored : AttentionCall
            What is kept of it: the same, or its weights.

        Returns
        -------
        call, saved : AttentionCall, int
            And how many bytes of it are not its own.
        """
        picture = self._open.get(live.layer)
        goes_on = picture is not None and _goes_on(picture, live, of_a_text=self._goes_on)
        if live.kind == "self":
            self._goes_on = goes_on
        if picture is None or not goes_on:
            assert live.key is not None  # noqa: S101 - it is live
            self._open[live.layer] = Picture(
                _settings(live),
                Grown(live.key),
                None if live.value is None else Grown(live.value),
            )
            return stored, 0
        new = live.query_len if live.kind == "self" else 0
        shared: dict[str, Any] = {}
        for name, grown in (("key", picture.keys), ("value", picture.values)):
            if grown is not None:
                if new:
                    grown.extend(getattr(live, name)[:, :, -new:])
                if getattr(stored, name) is not None:
                    shared[name] = grown.last(live.key_len)
        saved = sum(array[:, :, new:].nbytes for array in shared.values())
        return replace(stored, **shared), saved

    def add(self, call: AttentionCall) -> None:
        """Keep a call that was placed."""
        picture = self._open[call.layer]
        if not picture.calls:
            self._pictures.append(picture)
        picture.calls.append(call)
        picture.ends.append(picture.keys.length)

    def forget(self, layer: str) -> None:
        """End a layer's picture: a call of it is missing."""
        self._open.pop(layer, None)

    def joined(self) -> list[AttentionCall]:
        """Make one call of each picture, in the order of their first calls."""
        return [one for picture in self._pictures for one in _joined(picture)]


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


def _joined(picture: Picture) -> list[AttentionCall]:
    calls = picture.calls
    first = calls[0]
    if len(calls) == 1:
        return calls
    query_len = sum(call.query_len for call in calls)
    key_len = picture.keys.length
    given: dict[str, Any] = {"q_offset": key_len - query_len if first.kind == "self" else 0}
    if picture.values is not None:
        given["value"] = picture.values.last(key_len).copy()
    if not all(call.live for call in calls):
        given |= {"query": None, "key": None, "mask": None, "bias": None, "causal": "none"}
        given |= {"soft_cap": None, "sinks": None}
        own = [weights_of(call, picture.keys.last(1).dtype) for call in calls]
        given["recorded_weights"] = _below(picture, own, key_len)
    else:
        given["query"] = np.concatenate([call.query for call in calls if call.query is not None], 2)
        given["key"] = picture.keys.last(key_len).copy()
        given |= _visible(picture, query_len, key_len)
    for array in given.values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False  # so that the call keeps it as it is
    return [replace(first, **given)]


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
    plain = all(call.mask is None and call.bias is None for call in calls)
    whole = all(call.key_len == end for call, end in zip(calls, picture.ends, strict=True))
    later = all(call.query_len == 1 or call.causal == "bottom_right" for call in calls[1:])
    if calls[0].kind == "self" and plain and whole and later and _is_causal(calls[0]):
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


def _is_causal(call: AttentionCall) -> bool:
    return call.causal != "none" or call.query_len == 1


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
    starts = [0, *np.cumsum([call.query_len for call in picture.calls])]
    made = np.zeros((batch, heads, starts[-1], key_len), four[0].dtype)
    for call, part, end, rows in zip(
        picture.calls, four, picture.ends, pairwise(starts), strict=True
    ):
        made[:, :, slice(*rows), end - call.key_len : end] = part
    return made
