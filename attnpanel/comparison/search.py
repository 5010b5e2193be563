"""The heads that tell two traces apart best, found by looking at every one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnpanel.comparison.alignment import align
from attnpanel.comparison.difference import moved_shares

if TYPE_CHECKING:
    from attnpanel.trace import Trace


@dataclass(frozen=True)
class HeadChange:
    """How much of a head's attention lies elsewhere in the second trace.

    Attributes
    ----------
    layer, head : int
        Places in both traces.
    moved : float
        The share of weight that moved, from 0 to 1; see :func:`moved_shares`.
    """

    layer: int
    head: int
    moved: float


def heads_by_change(
    first: Trace,
    second: Trace,
    *,
    query_index: int | None = None,
    batches: tuple[int, int] = (0, 0),
) -> list[HeadChange]:
    """Compare every head of one trace with the same head of another, the most changed first.

    Parameters
    ----------
    first, second : Trace
        Of one model, or of two whose layers and heads correspond; heads that only one of them has
        are left out.
    query_index : int, optional
        A query of the first trace: how much of its row moves. Without it, the mean over all
        queries that have a counterpart.
    batches : (int, int), optional
        Which sequence of each trace.

    Returns
    -------
    list of HeadChange
        Of equal ones, in the order of the layers and heads.

    Raises
    ------
    ValueError
        If the query has no counterpart in the second trace, or no query has one.

    Examples
    --------
    >>> from attnpanel.sources.toy import toy_trace
    >>> max(change.moved for change in heads_by_change(toy_trace(), toy_trace()))
    0.0
    """
    found = []
    for layer, (ours, theirs) in enumerate(zip(first.calls, second.calls, strict=False)):
        tokens, others = first.tokens_of(ours, batches[0]), second.tokens_of(theirs, batches[1])
        queries, keys = (align(one, other) for one, other in zip(tokens, others, strict=True))
        counted = [
            at
            for at, (one, other) in enumerate(queries)
            if None not in (one, other) and query_index in (None, one)
        ]
        if not counted:
            which = "no query of the first trace has a"
            if query_index is not None:
                which = f"query {query_index} of the first trace has no"
            raise ValueError(f"{which} counterpart in layer {layer} of the second trace")
        for head in range(min(ours.heads, theirs.heads)):
            one, other = ours.weights(head, batches[0]), theirs.weights(head, batches[1])
            moved = moved_shares(np.nan_to_num(one), np.nan_to_num(other), queries, keys)
            found.append(HeadChange(layer, head, float(moved[counted].mean())))
    return sorted(found, key=lambda change: -change.moved)


def query_by_change(first: Trace, second: Trace) -> int:
    """Return the query of the first trace whose row moves most, on average over all heads.

    Special tokens such as “[CLS]” come behind the others, and a query without a counterpart behind
    all: nothing of it can be compared.

    Parameters
    ----------
    first, second : Trace
        As for :func:`heads_by_change`; the first sequence of each.

    Examples
    --------
    >>> from attnpanel.sources.toy import toy_trace
    >>> query_by_change(toy_trace(), toy_trace())
    0
    """
    names = first.tokens_of(first.calls[0])[0]
    moved = np.zeros(len(names))
    paired = np.zeros(len(names), bool)
    for ours, theirs in zip(first.calls, second.calls, strict=False):
        tokens, others = first.tokens_of(ours), second.tokens_of(theirs)
        queries, keys = (align(one, other) for one, other in zip(tokens, others, strict=True))
        both = [
            (at, one)
            for at, (one, other) in enumerate(queries)
            if one is not None and other is not None and one < len(names)
        ]
        rows, places = [at for at, _ in both], [one for _, one in both]
        paired[places] = True
        for head in range(min(ours.heads, theirs.heads)):
            one, other = (np.nan_to_num(call.weights(head)) for call in (ours, theirs))
            moved[places] += moved_shares(one, other, queries, keys)[rows]
    ordinary = [token.strip("[]<>") == token for token in names]
    return max(range(len(names)), key=lambda at: (paired[at], ordinary[at], moved[at]))
