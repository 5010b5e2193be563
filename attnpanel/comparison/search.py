"""Find the heads and queries whose attention differs most between two traces."""

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
    """How much of a head's attention has moved in the second trace.

    Attributes
    ----------
    layer, head : int
        Indices in both traces.
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
        are ignored.
    query_index : int, optional
        A query of the first trace, whose row is compared. By default the mean over all queries
        that have a counterpart.
    batches : (int, int), optional
        Which sequence of each trace.

    Returns
    -------
    list of HeadChange
        Sorted by `moved`; equal ones in the order of layers and heads.

    Raises
    ------
    ValueError
        If the query has no counterpart in the second trace, or no query has one.

    Examples
    --------
    >>> from attnpanel.models.toy import toy_trace
    >>> max(change.moved for change in heads_by_change(toy_trace(), toy_trace()))
    0.0
    """
    found = []
    for layer, (first_call, second_call) in enumerate(zip(first.calls, second.calls, strict=False)):
        queries, keys = (
            align(left, right)
            for left, right in zip(
                first.tokens_of(first_call, batches[0]),
                second.tokens_of(second_call, batches[1]),
                strict=True,
            )
        )
        counted = tuple(
            pair for pair in queries if None not in pair and query_index in (None, pair[0])
        )
        if not counted:
            which = "no query of the first trace has a"
            if query_index is not None:
                which = f"query {query_index} of the first trace has no"
            raise ValueError(f"{which} counterpart in layer {layer} of the second trace")
        for head in range(min(first_call.heads, second_call.heads)):
            before = np.nan_to_num(first_call.weights(head, batches[0]))
            after = np.nan_to_num(second_call.weights(head, batches[1]))
            moved = moved_shares(before, after, counted, keys)
            found.append(HeadChange(layer, head, float(moved.mean())))
    return sorted(found, key=lambda change: -change.moved)


def query_by_change(first: Trace, second: Trace) -> int:
    """Return the query of the first trace whose row moves most, on average over all heads.

    Special tokens such as “[CLS]” rank behind the others, and queries without a counterpart last:
    they cannot be compared.

    Parameters
    ----------
    first, second : Trace
        As for :func:`heads_by_change`; the first sequence of each.

    Examples
    --------
    >>> from attnpanel.models.toy import toy_trace
    >>> query_by_change(toy_trace(), toy_trace())
    0
    """
    tokens = first.tokens_of(first.calls[0])[0]
    moved = np.zeros(len(tokens))
    paired = np.zeros(len(tokens), bool)
    for first_call, second_call in zip(first.calls, second.calls, strict=False):
        queries, keys = (
            align(left, right)
            for left, right in zip(
                first.tokens_of(first_call), second.tokens_of(second_call), strict=True
            )
        )
        pairs = [
            (row, left)
            for row, (left, right) in enumerate(queries)
            if left is not None and right is not None and left < len(tokens)
        ]
        rows, indices = [row for row, _ in pairs], [index for _, index in pairs]
        paired[indices] = True
        for head in range(min(first_call.heads, second_call.heads)):
            before, after = (
                np.nan_to_num(call.weights(head)) for call in (first_call, second_call)
            )
            moved[indices] += moved_shares(before, after, queries, keys)[rows]
    ordinary = [token.strip("[]<>") == token for token in tokens]
    return max(range(len(tokens)), key=lambda i: (paired[i], ordinary[i], moved[i]))
