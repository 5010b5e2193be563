"""Stack the steps of a generation into one attention call."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.models.intercept.masks import compact, factor_causal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import DTypeLike, NDArray

    from attnpanel.models.capture.kv_cache import StepSequence
    from attnpanel.trace.call import AttentionCall, Causal


def stitch(sequence: StepSequence) -> AttentionCall:
    """Make one call of the calls of a sequence."""
    calls, rows = sequence.calls, sequence.rows()
    first = calls[0]
    query_len = sum(call.query_len for call in calls)
    key_len = sequence.ends[-1]
    fields: dict[str, Any] = {"q_offset": key_len - query_len if first.kind == "self" else 0}
    if sequence.values is not None:
        fields["value"] = sequence.values.first(key_len)
    if not all(call.live for call in calls):
        fields |= {"query": None, "key": None, "mask": None, "bias": None, "causal": "none"}
        fields |= {"soft_cap": None, "sinks": None, "rotary": None}
        dtype = sequence.keys.last(1).dtype
        weights = (_pick(all_weights(c, dtype), r) for c, r in zip(calls, rows, strict=True))
        shape = (calls[-1].batch, first.heads, query_len, key_len)
        fields["recorded_weights"] = _stack_into(np.zeros(shape, dtype), sequence, weights)
    else:
        pairs = zip(calls, rows, strict=True)
        queries = [_pick(call.query, r) for call, r in pairs if call.query is not None]
        fields["query"] = np.concatenate(queries, axis=2)
        fields["key"] = sequence.keys.first(key_len)
        fields |= _stack_masks(sequence, query_len, key_len)
    for array in fields.values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False  # so that the call does not copy it
    return replace(first, **fields)


def _pick(array: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
    """Take rows of the batch; without a copy if that is all of them in order."""
    return array if np.array_equal(rows, np.arange(len(array))) else array[rows]


def stitched_bytes(sequence: StepSequence) -> int:
    """Return how many bytes :func:`stitch` allocates at most."""
    calls, key_len = sequence.calls, sequence.ends[-1]
    pairs = sum(call.query_len for call in calls) * key_len
    arrays = [array for array in (sequence.keys, sequence.values) if array is not None]
    rows = [array.last(1) for array in arrays]
    live = all(call.live for call in calls)
    size = key_len * sum(row.nbytes for row in (rows if live else rows[1:]))
    # Where beams have changed places, the rows of each step are picked first.
    picked = sum(
        len(own) * array.nbytes // len(array)
        for call, own in zip(calls, sequence.rows(), strict=True)
        for array in (call.query, call.mask, call.bias)
        if array is not None and not np.array_equal(own, np.arange(call.batch))
    )
    if not live:
        # The result, one step, and the temporary arrays of computing one head's weights.
        longest = max(call.query_len * call.key_len for call in calls)
        heads = calls[-1].batch * calls[-1].heads
        return size + picked + heads * (pairs + longest) * rows[0].itemsize + 8 * longest * 4
    size += sum(call.query.nbytes for call in calls if call.query is not None)
    if not _is_causal_only(sequence):
        # The steps' masks with their causal rule, the stacked mask, and its compacted copies; a
        # bias is float32.
        size += 4 * pairs * max(_leading_size([call.mask for call in calls]), 1)
        size += 2 * 4 * pairs * _leading_size([call.bias for call in calls])
    return size + picked


def _leading_size(arrays: list[NDArray[Any] | None]) -> int:
    """Return B · H of the stack of arrays that broadcast to (B, H, T, S); 0 if there are none."""
    leads = [(1,) * (4 - a.ndim) + a.shape for a in arrays if a is not None]
    return max((lead[0] for lead in leads), default=0) * max((lead[1] for lead in leads), default=0)


def all_weights(call: AttentionCall, dtype: DTypeLike) -> NDArray[Any]:
    """Compute the weights of all heads, (B, H, T, S), or return the recorded ones."""
    weights: NDArray[Any] = np.empty((call.batch, call.heads, call.query_len, call.key_len), dtype)
    for batch, head in np.ndindex(weights.shape[:2]):
        weights[batch, head] = call.weights(head, batch)
    weights.flags.writeable = False
    return weights


def _stack_masks(sequence: StepSequence, query_len: int, key_len: int) -> dict[str, Any]:
    """Return mask, causal rule and bias of the stitched call."""
    calls = sequence.calls
    if _is_causal_only(sequence):
        return {"causal": "top_left" if query_len == key_len else "bottom_right"}
    visible = compact(_stack(sequence, [_visible(call) for call in calls], key_len))
    causal: Causal = "none"
    if query_len > 1 and visible.shape[-2:] == (query_len, key_len):
        causal, visible = factor_causal(visible)
    fields: dict[str, Any] = {"causal": causal, "mask": None if visible.all() else visible}
    if any(call.bias is not None for call in calls):
        no_bias = np.zeros((1, 1, 1, 1), np.float32)
        biases = [no_bias if call.bias is None else call.bias for call in calls]
        fields["bias"] = compact(_stack(sequence, biases, key_len))
    return fields


def _is_causal_only(sequence: StepSequence) -> bool:
    """Whether the only rule is that each query sees the keys up to its own."""
    first, *later = sequence.calls
    unmasked = all(call.mask is None and call.bias is None for call in sequence.calls)
    all_keys = all(
        call.key_len == end for call, end in zip(sequence.calls, sequence.ends, strict=True)
    )
    causal = first.causal != "none" or first.query_len == 1
    steps = all(call.query_len == 1 or call.causal == "bottom_right" for call in later)
    return first.kind == "self" and unmasked and all_keys and causal and steps


def _visible(call: AttentionCall) -> NDArray[np.bool_]:
    """Combine mask and causal rule of a call, broadcastable to (B, H, T, S)."""
    past = call.q_offset if call.causal == "top_left" else call.key_len - call.query_len
    earlier = np.arange(call.key_len) <= np.arange(call.query_len)[:, None] + past
    visible = earlier if call.causal != "none" else np.ones_like(earlier)
    return visible[None, None] if call.mask is None else np.asarray(visible & call.mask)


def _stack(sequence: StepSequence, parts: list[NDArray[Any]], key_len: int) -> NDArray[Any]:
    """Stack arrays that broadcast to each call's (B, H, T, S) along T; 0 where none reaches."""
    four = [part.reshape((1,) * (4 - part.ndim) + part.shape) for part in parts]
    four = [
        part if len(part) == 1 else _pick(part, rows)  # all sequences may share one
        for part, rows in zip(four, sequence.rows(), strict=True)
    ]
    batch, heads = (max(part.shape[axis] for part in four) for axis in (0, 1))
    query_len = sum(call.query_len for call in sequence.calls)
    stacked = np.zeros((batch, heads, query_len, key_len), four[0].dtype)
    return _stack_into(stacked, sequence, four)


def _stack_into(
    target: NDArray[Any], sequence: StepSequence, parts: Iterable[NDArray[Any]]
) -> NDArray[Any]:
    """Write the array (…, …, T, S) of each call into its rows and keys of `target`."""
    starts = [0, *np.cumsum([call.query_len for call in sequence.calls])]
    for call, part, end, rows in zip(
        sequence.calls, parts, sequence.ends, pairwise(starts), strict=True
    ):
        target[:, :, slice(*rows), end - call.key_len : end] = part
    return target
