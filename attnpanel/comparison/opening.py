"""Where a comparison opens: the choices of both sides, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnpanel.comparison.alignment import align
from attnpanel.comparison.search import heads_by_change, query_by_change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from attnpanel.trace import Trace

MASKS = ("model", "none", "padding", "causal", "key_padding", "window")
WINDOW = 3  # hides something of the shortest text, and not all of a long one
PADDED = 2  # so many tokens are padding where nobody says how many
LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.01, 100.0
SIDES = ("first", "second")


def opening(
    first: Trace,
    second: Trace,
    *,
    query_index: int | None = 0,
    choices: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the state in which a page of two traces opens.

    Parameters
    ----------
    first, second : Trace
        Of at least one call each.
    query_index : int, optional
        The query looked at, in the first trace; None is the one whose row moves most over all
        heads, of those that have a counterpart in the second trace.
    choices : mapping, optional
        ``layer``, ``head``, ``aggregate`` (the mean of the layer's heads), ``temperature``,
        ``mask``, and for masks that need it ``pad_len`` (how many leading tokens are real) and
        ``window``, each a pair for the two sides or one value for both. Without a head, it is the
        one in which the query's row changes most.

    Returns
    -------
    dict
        Pairs by name, ``apart`` (the names of those that differ), and ``row``, the query's place
        among the aligned ones.

    Raises
    ------
    ValueError
        If a trace holds no call, or a choice does not exist in one.
    """
    for side, trace in zip(SIDES, (first, second), strict=True):
        if not trace.calls:
            raise ValueError(f"a comparison needs a call in each trace; the {side} has none")
    if query_index is None:
        query_index = query_by_change(first, second)
    pairs = {name: _pair(value) for name, value in (choices or {}).items()}
    state: dict[str, Any] = {
        "layer": (0, 0),
        "head": (0, 0),
        "aggregate": (False, False),
        "temperature": (1.0, 1.0),
        "mask": tuple("none" if trace.source == "toy" else "model" for trace in (first, second)),
        "pad_len": _pair(max(_shortest(first, second) - PADDED, 1)),
        "window": _pair(min(WINDOW, _shortest(first, second))),
    }
    unknown = set(pairs) - set(state)
    if unknown:
        raise ValueError(f"a comparison has no choice called {min(unknown)!r}")
    if "head" not in pairs and not any(pairs.get("aggregate", ())):
        pairs |= _most_changed(first, second, query_index)
    state |= pairs
    _check(first, second, state)
    ours, theirs = (
        trace.calls[layer] for trace, layer in zip((first, second), state["layer"], strict=True)
    )
    queries = align(first.tokens_of(ours)[0], second.tokens_of(theirs)[0])
    places = [one for one, _ in queries]
    if query_index not in places:
        raise ValueError(f"query_index must be a query of the first trace; got {query_index!r}")
    apart = [name for name, (one, other) in state.items() if one != other]
    return {
        **{name: list(pair) for name, pair in state.items()},
        "apart": apart,
        "row": places.index(query_index),
        "key": None,
        "every": False,
    }


def _pair(value: Any) -> tuple[Any, Any]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def _shortest(*traces: Trace) -> int:
    """The fewest keys of a call in any of them, in tokens."""
    return min(call.key_len for trace in traces for call in trace.calls)


def _most_changed(first: Trace, second: Trace, query_index: int) -> dict[str, tuple[int, int]]:
    """The head that a search finds; the first one where the query has no counterpart."""
    try:
        best = heads_by_change(first, second, query_index=query_index)[0]
    except ValueError:
        return {"head": (0, 0)}
    return {"layer": (best.layer, best.layer), "head": (best.head, best.head)}


def _check(first: Trace, second: Trace, state: Mapping[str, Any]) -> None:
    for at, trace in enumerate((first, second)):
        layer, head, heat = (state[name][at] for name in ("layer", "head", "temperature"))
        if layer not in range(len(trace.calls)):
            raise ValueError(f"layer must be below {len(trace.calls)}; got {layer!r}")
        if head not in range(trace.calls[layer].heads):
            raise ValueError(f"head must be below {trace.calls[layer].heads}; got {head!r}")
        if not LEAST_TEMPERATURE <= heat <= MOST_TEMPERATURE:
            raise ValueError(f"temperature must be from 0.01 to 100; got {heat!r}")
        if not isinstance(state["aggregate"][at], bool):
            raise ValueError(f"aggregate must be True or False; got {state['aggregate'][at]!r}")  # noqa: TRY004 - one error type for wrong input
        most = trace.calls[layer].key_len
        for name, least in (("pad_len", 0), ("window", 1)):
            if state[name][at] not in range(least, most + 1):
                raise ValueError(f"{name} must be from {least} to {most}; got {state[name][at]!r}")
        if state["mask"][at] not in MASKS:
            raise ValueError(f"mask must be one of {', '.join(MASKS)}; got {state['mask'][at]!r}")
