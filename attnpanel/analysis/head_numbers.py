"""Numbers about one head's weights, each with its formula and source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.analysis.rows import Positions, Rows, number_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def entropy(weights: NDArray[Any]) -> float:
    """Mean over queries of the entropy ``-Σ w log w`` of a row, in nats.

    0 where every query takes from one key; ``log S`` where all keys share equally. Rows of
    zeros (queries that see no key) are left out. Rows with a learned sink sum to less than 1; they
    are not scaled up, and what the sink takes has no term.

    Parameters
    ----------
    weights : array of shape (T, S)

    References
    ----------
    Ghader and Monz, "What does Attention in Neural Machine Translation Pay Attention to?",
    2017, section 4.

    Examples
    --------
    >>> round(entropy(np.array([[0.5, 0.5], [1.0, 0.0]])), 3)  # half of log 2
    0.347
    """
    return abs(_mean("entropy", weights))  # abs: 0 has no sign


def mean_distance(weights: NDArray[Any], offset: int = 0) -> float:
    """Mean over queries of ``Σ_j w_ij |i + offset - j|``: how far a head looks, in tokens.

    Rows of zeros are left out. Rows with a learned sink sum to less than 1; they are not scaled
    up, so that what the sink takes counts as distance 0.

    Parameters
    ----------
    weights : array of shape (T, S)
    offset : int, optional
        The position of query 0 among the keys.

    References
    ----------
    Vig and Belinkov, "Analyzing the Structure of Attention in a Transformer Language Model",
    2019, section 4.3.

    Examples
    --------
    >>> mean_distance(np.array([[0.0, 1.0], [0.5, 0.5]]))
    0.75
    """
    return _mean("mean_distance", weights, offset)


def effective_keys(weights: NDArray[Any]) -> float:
    """Mean over queries of ``exp(-Σ w log w)``: among how many keys a row is shared.

    1 where a query takes from one key, S where it takes from all alike. Rows of zeros are left
    out; without any other the number is 0. Of rows with a learned sink it is the exponential of
    their :func:`entropy`, which has no term for the sink.

    Parameters
    ----------
    weights : array of shape (T, S)

    References
    ----------
    Hill, "Diversity and Evenness: A Unifying Notation and Its Consequences", 1973: the number of
    order 1.

    Examples
    --------
    >>> effective_keys(np.array([[0.25, 0.25, 0.25, 0.25], [0.0, 1.0, 0.0, 0.0]]))
    2.5
    """
    return _mean("effective_keys", weights)


def previous_token(weights: NDArray[Any], offset: int = 0) -> float:
    """Mean over queries of the weight on the token just before: ``w[i, i + offset - 1]``.

    Parameters
    ----------
    weights : array of shape (T, S)
    offset : int, optional
        The position of query 0 among the keys. The token at position 0 has none before it.

    References
    ----------
    Voita et al., "Analyzing Multi-Head Self-Attention: Specialized Heads Do the Heavy Lifting, the
    Rest Can Be Pruned", 2019, section 5.2.1: positional heads.

    Examples
    --------
    >>> previous_token(np.array([[1.0, 0.0], [0.75, 0.25]]))
    0.75
    """
    return _mean("previous_token", weights, offset)


def diagonal(weights: NDArray[Any], offset: int = 0) -> float:
    """Mean over queries of the weight on the token itself: ``w[i, i + offset]``.

    Parameters
    ----------
    weights : array of shape (T, S)
    offset : int, optional
        The position of query 0 among the keys.

    References
    ----------
    Clark et al., "What Does BERT Look At? An Analysis of BERT's Attention", 2019, section 3.1.

    Examples
    --------
    >>> diagonal(np.array([[1.0, 0.0], [0.75, 0.25]]))
    0.625
    """
    return _mean("diagonal", weights, offset)


def first_key(weights: NDArray[Any]) -> float:
    """Mean over queries of the weight on the first key: the attention sink.

    A query at position 0 of causal attention has no other key; it counts like all others.

    Parameters
    ----------
    weights : array of shape (T, S)

    References
    ----------
    Xiao et al., "Efficient Streaming Language Models with Attention Sinks", 2023, section 3.1.

    Examples
    --------
    >>> first_key(np.array([[1.0, 0.0], [0.5, 0.5]]))
    0.75
    """
    return _mean("first_key", weights)


def induction(weights: NDArray[Any], tokens: Sequence[str], offset: int = 0) -> float:
    """Mean weight on what followed the same token before: ``Σ w[i, j + 1]``, ``tokens[j]`` alike.

    In "A B … A" it is how much the second A takes from B. The mean is over the queries whose
    token has occurred before; nan where no token repeats.

    Parameters
    ----------
    weights : array of shape (T, S)
    tokens : sequence of S str
        The keys' tokens.
    offset : int, optional
        The position of query 0 among the keys.

    Raises
    ------
    ValueError
        If there are not S tokens.

    References
    ----------
    Olsson et al., "In-context Learning and Induction Heads", 2022, section 1.

    Examples
    --------
    >>> weights = np.eye(3)
    >>> weights[2] = [0.0, 0.75, 0.25]
    >>> induction(weights, ["A", "B", "A"])
    0.75
    """
    if len(tokens) != weights.shape[1]:
        raise ValueError(
            f"tokens must be one for each of {weights.shape[1]} keys; got {len(tokens)}"
        )
    return _mean("induction", weights, offset, tokens, missing=np.nan)


def _mean(
    number: str,
    weights: NDArray[Any],
    offset: int = 0,
    tokens: Sequence[str] | None = None,
    missing: float = 0.0,
) -> float:
    """Mean of a number of :class:`Rows` over those that have it; `missing` where none has."""
    rows = weights.astype(float, copy=False)
    if np.isnan(rows).any():
        return float("nan")  # a row that is undefined has no number, and the mean has none
    names = None if tokens is None else number_names(tokens)
    positions = Positions(np.arange(len(rows)) + offset, rows.shape[1], names)
    made = getattr(Rows(rows, positions), number)
    there = made[~np.isnan(made)]
    return float(there.mean()) if len(there) else missing
