"""Subsets of a trace: some layers and heads, which keep their numbers in the whole trace."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.trace import Trace
from attnpanel.trace.indices import is_one

if TYPE_CHECKING:
    from attnpanel.trace.call import AttentionCall

Numbers = int | slice | Iterable[int]
Layers = Numbers | str


@dataclass(frozen=True)
class Subset:
    """Which part of a trace was kept, by numbers in the whole trace.

    Attributes
    ----------
    layers : tuple of int
        The number of each call that was kept.
    heads : tuple of int, or None
        The heads that were kept in every call; None: all.
    layer_count, head_count : int
        Their number in the whole trace; of heads, the most in one layer.
    """

    layers: tuple[int, ...]
    heads: tuple[int, ...] | None
    layer_count: int
    head_count: int


def select(trace: Trace, layers: Layers | None, heads: Numbers | None) -> Trace:
    """Return a subset of a trace; see :meth:`attnpanel.Trace.select`."""
    if layers is None and heads is None:
        return trace
    numbers = trace.layer_numbers
    kept = numbers if layers is None else _layers(layers, trace)
    indices = [numbers.index(number) for number in kept]
    calls = [trace.calls[index] for index in indices]
    importance = trace.head_importance and [trace.head_importance[index] for index in indices]
    whole = trace.subset or Subset(
        numbers, None, len(numbers), max((call.heads for call in trace.calls), default=0)
    )
    kept_heads = whole.heads
    if heads is not None:
        known = whole.heads or tuple(range(min(call.heads for call in calls)))
        kept_heads = _numbers("heads", heads, known)
        head_indices = [known.index(number) for number in kept_heads]
        calls = [with_heads(call, head_indices) for call in calls]
        importance = importance and [array[head_indices] for array in importance]
    part = with_calls(trace, calls, subset=replace(whole, layers=kept, heads=kept_heads))
    part.head_importance = importance
    return part


def part(trace: Trace, which: slice) -> Trace:
    """Return the calls of a slice as a subset, in the order of the trace; it may be empty."""
    positions = range(len(trace))[which]
    calls = [trace.calls[position] for position in positions]
    if positions.step < 0:
        raise ValueError(f"a slice of a trace must keep its order; got step {positions.step}")
    whole = trace.subset or Subset(
        trace.layer_numbers, None, len(trace), max((call.heads for call in trace), default=0)
    )
    numbers = tuple(trace.layer_numbers[position] for position in positions)
    result = with_calls(trace, calls, subset=replace(whole, layers=numbers))
    if trace.head_importance is not None:
        result.head_importance = [trace.head_importance[position] for position in positions]
    return result


def with_calls(trace: Trace, calls: list[AttentionCall], *, subset: Subset | None) -> Trace:
    """Return a trace of other calls with the same tokens and origin."""
    result = Trace(
        calls,
        query_tokens=trace.query_tokens,
        key_tokens=None if trace.key_tokens is trace.query_tokens else trace.key_tokens,
        source=trace.source,
        model=trace.model,
        created=trace.created,
    )
    result.subset, result.coverage = subset, trace.coverage
    result.picture, result.origins = trace.picture, trace.origins
    result.model_location = trace.model_location
    return result


def with_heads(call: AttentionCall, heads: list[int]) -> AttentionCall:
    """Return a call of some of its heads, each with its key and value head."""
    fields: dict[str, Any] = {}
    if call.query is not None:
        fields["query"] = call.query[:, heads]
    if call.recorded_weights is not None:
        fields["recorded_weights"] = call.recorded_weights[:, heads]
    if call.sinks is not None:
        fields["sinks"] = call.sinks[heads]
    kv_heads = _kv_heads(call, heads)
    for name in ("key", "value"):
        array = getattr(call, name)
        if array is not None:
            fields[name] = array[:, kv_heads]
    for name in ("mask", "bias"):
        array = getattr(call, name)
        # (H, T, S) or (B, H, T, S), unless one mask serves all heads.
        if array is not None and array.ndim >= 3 and array.shape[-3] > 1:
            fields[name] = np.take(array, heads, axis=-3)
    for array in fields.values():
        array.flags.writeable = False  # so that the call does not copy it
    if call.outputs is not None:
        fields["outputs"] = call.outputs.with_heads(heads)
    return replace(call, **fields)


def _kv_heads(call: AttentionCall, heads: list[int]) -> list[int]:
    """Return the key/value heads to keep: each once if equal groups remain, else one a head."""
    group = call.heads // call.kv_heads
    read = [head // group for head in heads]
    unique = sorted(set(read))
    if len(read) % len(unique) == 0:
        size = len(read) // len(unique)
        if [unique[index // size] for index in range(len(read))] == read:
            return unique
    return read


def _layers(layers: Layers, trace: Trace) -> tuple[int, ...]:
    if not isinstance(layers, str):
        return _numbers("layers", layers, trace.layer_numbers)
    kept = tuple(
        number
        for number, name in zip(trace.layer_numbers, trace.layers, strict=True)
        if fnmatchcase(name, layers)
    )
    if not kept:
        names = ", ".join(trace.layers[:3]) + (", …" if len(trace.layers) > 3 else "")
        raise ValueError(f"layers must match the name of a layer ({names}); got {layers!r}")
    return kept


def _numbers(name: str, requested: Numbers, known: tuple[int, ...]) -> tuple[int, ...]:
    """Return the requested numbers, ascending and without duplicates."""
    wanted: set[Any]
    if isinstance(requested, slice):
        wanted = set(range(max(known, default=-1) + 1)[requested]) & set(known)
    else:
        several: Any = [requested] if is_one(requested) else requested
        wanted = {_as_key(number) for number in several}
    wrong = sorted(str(n) for n in wanted if isinstance(n, bool) or n not in known)
    if wrong or not wanted:
        got = ", ".join(wrong) if wrong else "none"
        raise ValueError(f"{name} must be among {spans(known)}; got {got}")
    return tuple(sorted(int(number) for number in wanted))


def _as_key(number: Any) -> Any:
    """Return an integer of Python for one of NumPy or torch; anything else as its text."""
    if isinstance(number, bool):
        return number
    try:
        return operator.index(number)
    except TypeError:
        return str(number)


def spans(numbers: Iterable[int]) -> str:
    """Format ascending numbers with ranges.

    Examples
    --------
    >>> spans([0, 1, 2, 5, 7, 8])
    '0–2, 5, 7, 8'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs
    )
