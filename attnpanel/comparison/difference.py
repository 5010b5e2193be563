"""Differences between the weights of two heads, over aligned tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.comparison.alignment import Pairs


def attention_difference(
    first: NDArray[Any], second: NDArray[Any], queries: Pairs, keys: Pairs
) -> NDArray[np.float64]:
    """Return ``second - first`` over aligned queries and keys.

    Parameters
    ----------
    first, second : arrays of shape (T1, S1) and (T2, S2)
        Weights.
    queries, keys : Pairs
        The pairs that :func:`align` returns for the T and the S tokens.

    Returns
    -------
    float64 array of shape (len(queries), len(keys))
        From -1 to 1; nan where a token is in one sequence only.

    Examples
    --------
    >>> first, second = np.array([[0.75, 0.25]]), np.array([[0.5, 0.5]])
    >>> attention_difference(first, second, ((0, 0),), ((0, 0), (1, 1)))
    array([[-0.25,  0.25]])
    """
    before, after = (
        _on_aligned(weights, queries, keys, side=side)
        for side, weights in enumerate((first, second))
    )
    difference: NDArray[np.float64] = after - before
    return difference


def moved_shares(
    first: NDArray[Any], second: NDArray[Any], queries: Pairs, keys: Pairs
) -> NDArray[np.float64]:
    """Return the share of each aligned query's weight that is elsewhere in the second matrix.

    Half the sum of all absolute differences, the total variation distance of two rows: 0 if they
    are equal, 1 if they have no key in common. Weight on a key that one sequence lacks counts as
    moved.

    Parameters
    ----------
    first, second, queries, keys
        As for :func:`attention_difference`.

    Returns
    -------
    float64 array of shape (len(queries),)
        nan for a query that is in one sequence only.

    References
    ----------
    Levin, Peres and Wilmer, "Markov Chains and Mixing Times", 2009, proposition 4.2.

    Examples
    --------
    >>> first, second = np.array([[0.75, 0.25]]), np.array([[0.5, 0.5]])
    >>> moved_shares(first, second, ((0, 0),), ((0, 0), (1, 1)))
    array([0.25])
    """
    # Weight on a key that the other sequence lacks counts in full.
    before, after = (
        np.nan_to_num(_on_aligned(weights, queries, keys, side=side))
        for side, weights in enumerate((first, second))
    )
    shares = np.abs(after - before).sum(axis=-1) / 2
    unpaired = [None in pair for pair in queries]
    return np.where(unpaired, np.nan, shares)


def _on_aligned(
    weights: NDArray[Any], queries: Pairs, keys: Pairs, *, side: int
) -> NDArray[np.float64]:
    """Return one side's weights on the aligned grid; nan where it has no such query or key."""
    rows, columns = (_indices(pairs, side) for pairs in (queries, keys))
    if rows == list(range(len(weights))) and columns == list(range(weights.shape[1])):
        return weights.astype(float)  # the same tokens, as of one prompt in two models
    aligned = np.full((len(rows), len(columns)), np.nan)
    at = [[i for i, index in enumerate(found) if index >= 0] for found in (rows, columns)]
    there = np.ix_([rows[i] for i in at[0]], [columns[i] for i in at[1]])
    aligned[np.ix_(*at)] = weights[there]
    return aligned


def _indices(pairs: Pairs, side: int) -> list[int]:
    indices = [pair[side] for pair in pairs]
    return [-1 if index is None else index for index in indices]
