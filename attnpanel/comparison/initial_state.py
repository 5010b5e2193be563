"""The initial state of a page that compares two traces, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnpanel.attention.mask_table import mask_kinds, mask_parameters
from attnpanel.comparison.alignment import align
from attnpanel.comparison.search import heads_by_change, query_by_change
from attnpanel.trace.computable import check_computable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from attnpanel.trace import Trace

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0
SIDES = ("first", "second")
# What both sides share unless they are told apart.
SHARED = ("layer", "head", "aggregate", "temperature", "mask", *mask_parameters())


def opening(
    first: Trace,
    second: Trace,
    *,
    query_index: int | None = 0,
    choices: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the initial state of a page that compares two traces.

    Parameters
    ----------
    first, second : Trace
        Of at least one call each.
    query_index : int, optional
        The chosen query, in the first trace. None chooses the query whose row moves most over all
        heads, of those that have a counterpart in the second trace.
    choices : mapping, optional
        ``layer``, ``head``, ``aggregate`` (the mean of the layer's heads), ``temperature``,
        ``mask``, and the parameters of the chosen mask (``pad_len``, ``window`` and others); each a
        pair for the two sides or one value for both. Positions of tokens are a tuple; a list of two
        of them is a pair. Without ``head``, the head in which the query's row changes most is
        chosen.

    Returns
    -------
    dict
        Pairs by name; ``apart``, the names of the pairs that differ; and ``row``, the query's index
        among the aligned ones.

    Raises
    ------
    ValueError
        If a trace has no call or its scores leave float32, or a choice does not exist in one.
    """
    for side, trace in zip(SIDES, (first, second), strict=True):
        if not trace.calls:
            raise ValueError(f"a comparison needs a call in each trace; the {side} one has none")
        check_computable(trace)
    if query_index is None:
        query_index = query_by_change(first, second)
    pairs = {name: _pair(name, value) for name, value in (choices or {}).items()}
    shortest = (_shortest(first, second),) * 2
    state: dict[str, Any] = {
        "layer": (0, 0),
        "head": (0, 0),
        "aggregate": (False, False),
        "temperature": (1.0, 1.0),
        "mask": tuple("none" if trace.source == "toy" else "model" for trace in (first, second)),
        **{
            # What follows the lengths may start where it hides nothing.
            name: ((row.example_at if row.follows_lengths else row.start_at)(*shortest),) * 2
            for name, row in mask_parameters().items()
        },
    }
    unknown = set(pairs) - set(state)
    if unknown:
        raise ValueError(f"a comparison has no choice {min(unknown)!r}")
    if "head" not in pairs and not any(pairs.get("aggregate", ())):
        pairs |= _most_changed(first, second, query_index)
    state |= pairs
    _check(first, second, state)
    first_call, second_call = (
        trace.calls[layer] for trace, layer in zip((first, second), state["layer"], strict=True)
    )
    queries = align(first.tokens_of(first_call)[0], second.tokens_of(second_call)[0])
    indices = [index for index, _ in queries]
    if query_index not in indices:
        raise ValueError(f"query_index must be a query of the first trace; got {query_index!r}")
    apart = [name for name, (left, right) in state.items() if left != right]
    return {
        **{name: [_plain(one) for one in pair] for name, pair in state.items()},
        "apart": apart,
        "row": indices.index(query_index),
        "key": None,
        "every": False,
    }


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    row = mask_parameters().get(name)
    if row is None or not row.positions:
        return tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    two = len(value) == 2 and all(isinstance(one, (tuple, list)) for one in value)
    first, second = value if two else (value, value)
    return tuple(first), tuple(second)


def _plain(value: Any) -> Any:
    """A choice as JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def _shortest(*traces: Trace) -> int:
    """Return the fewest keys of a call in any of the traces."""
    return min(call.key_len for trace in traces for call in trace.calls)


def _most_changed(first: Trace, second: Trace, query_index: int) -> dict[str, tuple[int, int]]:
    """Return the head in which the query's row changes most; head 0 without a counterpart."""
    try:
        best = heads_by_change(first, second, query_index=query_index)[0]
    except ValueError:
        return {"head": (0, 0)}
    return {"layer": (best.layer, best.layer), "head": (best.head, best.head)}


def _check(first: Trace, second: Trace, state: Mapping[str, Any]) -> None:
    for side, trace in enumerate((first, second)):
        layer, head, temperature = (state[name][side] for name in ("layer", "head", "temperature"))
        if layer not in range(len(trace.calls)):
            raise ValueError(f"layer must be below {len(trace.calls)}; got {layer!r}")
        if head not in range(trace.calls[layer].heads):
            raise ValueError(f"head must be below {trace.calls[layer].heads}; got {head!r}")
        if not MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE:
            raise ValueError(f"temperature must be from 0.01 to 100; got {temperature!r}")
        aggregate, mask = state["aggregate"][side], state["mask"][side]
        if not isinstance(aggregate, bool):
            raise ValueError(f"aggregate must be True or False; got {aggregate!r}")  # noqa: TRY004 - one error type for wrong input
        lengths = (trace.calls[layer].query_len, trace.calls[layer].key_len)
        for name, parameter in mask_parameters().items():
            least, most = parameter.bounds(*lengths)
            value = state[name][side]
            if parameter.fit(parameter.check(value, *lengths), *lengths) != value:
                raise ValueError(f"{name} must be from {least} to {most}; got {value!r}")
        masks = ("model", *mask_kinds())
        if mask not in masks:
            raise ValueError(f"mask must be one of {', '.join(masks)}; got {mask!r}")
