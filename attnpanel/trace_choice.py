"""A part of a trace: some layers, some heads, each with the number it has in the whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.trace import Trace

if TYPE_CHECKING:
    from attnpanel.attention_call import AttentionCall

Numbers = int | slice | Iterable[int]
Layers = Numbers | str


@dataclass(frozen=True)
class Chosen:
    """Which part of a trace was kept, by the numbers things have in the whole.

    Attributes
    ----------
    layers : tuple of int
        The number of each call that was kept.
    heads : tuple of int, or None
        The heads that were kept in every call; None: all.
    layer_count, head_count : int
        How many the whole has; of heads, the most in one layer.
    """

    layers: tuple[int, ...]
    heads: tuple[int, ...] | None
    layer_count: int
    head_count: int


def choose(trace: Trace, layers: Layers | None, heads: Numbers | None) -> Trace:
    """Return a part of a trace; see :meth:`attnpanel.Trace.select`."""
    if layers is None and heads is None:
        return trace
    numbers = trace.layer_numbers
    kept = numbers if layers is None else _layers(layers, trace)
    at = [numbers.index(number) for number in kept]
    calls = [trace.calls[place] for place in at]
    importance = trace.head_importance and [trace.head_importance[place] for place in at]
    whole = trace.chosen or Chosen(
        numbers, None, len(numbers), max((call.heads for call in trace.calls), default=0)
    )
    chosen_heads = whole.heads
    if heads is not None:
        known = whole.heads or tuple(range(min(call.heads for call in calls)))
        chosen_heads = _numbers("heads", heads, known)
        places = [known.index(number) for number in chosen_heads]
        calls = [with_heads(call, places) for call in calls]
        importance = importance and [array[places] for array in importance]
    part = with_calls(trace, calls, chosen=replace(whole, layers=kept, heads=chosen_heads))
    part.head_importance = importance
    return part


def with_calls(trace: Trace, calls: list[AttentionCall], *, chosen: Chosen | None) -> Trace:
    """Return a trace of other calls, about the same tokens and with the same origin."""
    made = Trace(
        calls,
        query_tokens=trace.query_tokens,
        key_tokens=None if trace.key_tokens is trace.query_tokens else trace.key_tokens,
        source=trace.source,
        model=trace.model,
        created=trace.created,
    )
    made.chosen = chosen
    return made


def with_heads(call: AttentionCall, heads: list[int]) -> AttentionCall:
    """Return a call of some of its heads, each with the key and value head it reads."""
    changed: dict[str, Any] = {}
    if call.query is not None:
        changed["query"] = call.query[:, heads]
    if call.recorded_weights is not None:
        changed["recorded_weights"] = call.recorded_weights[:, heads]
    if call.sinks is not None:
        changed["sinks"] = call.sinks[heads]
    shared = _shared(call, heads)
    for name in ("key", "value"):
        array = getattr(call, name)
        if array is not None:
            changed[name] = array[:, shared]
    for name in ("mask", "bias"):
        array = getattr(call, name)
        # (H, T, S) or (B, H, T, S), and not one for all heads.
        if array is not None and array.ndim >= 3 and array.shape[-3] > 1:
            changed[name] = np.take(array, heads, axis=-3)
    for array in changed.values():
        array.flags.writeable = False  # a call copies what could still be written
    return replace(call, **changed)


def _shared(call: AttentionCall, heads: list[int]) -> list[int]:
    """The key/value heads to keep: each once where equal groups remain, else one for each head."""
    group = call.heads // call.kv_heads
    read = [head // group for head in heads]
    once = sorted(set(read))
    if len(read) % len(once) == 0:
        size = len(read) // len(once)
        if [once[place // size] for place in range(len(read))] == read:
            return once
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


def _numbers(name: str, asked: Numbers, known: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers asked for, ascending and each once."""
    wanted: set[Any]
    if isinstance(asked, slice):
        wanted = set(range(max(known, default=-1) + 1)[asked]) & set(known)
    else:
        wanted = set(asked) if isinstance(asked, Iterable) else {asked}
    wrong = sorted(str(n) for n in wanted if isinstance(n, bool) or n not in known)
    if wrong or not wanted:
        got = ", ".join(wrong) if wrong else "none"
        raise ValueError(f"{name} must be among {spans(known)}; got {got}")
    return tuple(sorted(int(number) for number in wanted))


def spans(numbers: Iterable[int]) -> str:
    """Write ascending numbers as people do.

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
