"""What changes from one head's weights to another's, over tokens that correspond."""

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
        As :func:`align` pairs the T and the S tokens.

    Returns
    -------
    float64 array of shape (len(queries), len(keys))
        In points of weight, from -1 to 1; nan where a token is in one sequence only.

    Examples
    --------
    >>> first, second = np.array([[0.75, 0.25]]), np.array([[0.5, 0.5]])
    >>> attention_difference(first, second, ((0, 0),), ((0, 0), (1, 1)))
    array([[-0.25,  0.25]])
    """
    lost, won = (
        _spread(weights, queries, keys, side=side) for side, weights in enumerate((first, second))
    )
    difference: NDArray[np.float64] = won - lost
    return difference


def moved_shares(
    first: NDArray[Any], second: NDArray[Any], queries: Pairs, keys: Pairs
) -> NDArray[np.float64]:
    """Which share of each aligned query's weight lies elsewhere in the second matrix.

    Half the sum of all absolute differences, the total variation distance of two rows: 0 where
    they are the same, 1 where they have no key in common. What goes to a key that one sequence
    lacks has moved.

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
    # Weight on a key that the other sequence lacks counts as it is.
    lost, won = (
        np.nan_to_num(_spread(weights, queries, keys, side=side))
        for side, weights in enumerate((first, second))
    )
    shares = np.abs(won - lost).sum(axis=-1) / 2
    alone = [None in pair for pair in queries]
    return np.where(alone, np.nan, shares)


def _spread(
    weights: NDArray[Any], queries: Pairs, keys: Pairs, *, side: int
) -> NDArray[np.float64]:
    """One side's weights on the aligned grid; nan where it has no such query or key."""
    # One row and column of nan at the end: -1 takes it for a token that is not there.
    wider = np.pad(weights.astype(float), ((0, 1), (0, 1)), constant_values=np.nan)
    rows, columns = (_places(pairs, side) for pairs in (queries, keys))
    spread: NDArray[np.float64] = wider[np.ix_(rows, columns)]
    return spread


def _places(pairs: Pairs, side: int) -> list[int]:
    places = [pair[side] for pair in pairs]
    return [-1 if place is None else place for place in places]
