"""Metrics of one head's weights, each with its formula and source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.analysis.query_blocks import BLOCK_CELLS
from attnpanel.analysis.row_metrics import Positions, RowMetrics, token_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def entropy(weights: NDArray[Any]) -> float:
    """Compute the mean over queries of the entropy ``-Σ w log w`` of a row, in nats.

    0 if every query attends to one key; ``log S`` if all keys get equal weight. Rows of zeros
    (queries that see no key) are ignored. Rows with a learned sink sum to less than 1; they are not
    rescaled, and the sink's weight has no term.

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
    return abs(_mean("entropy", weights))  # abs turns -0.0 into 0.0


def mean_distance(weights: NDArray[Any], offset: int = 0) -> float:
    """Compute the mean over queries of ``Σ_j w_ij |i + offset - j|``, in tokens.

    It is how far a head looks. Rows of zeros are ignored. Rows with a learned sink sum to less than
    1; they are not rescaled, so that the sink's weight counts as distance 0.

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
    """Compute the mean over queries of ``exp(-Σ w log w)``: keys that share a row's weight.

    1 if a query attends to one key, S if it attends to all equally. Rows of zeros are ignored; if
    there are no others the result is 0. For rows with a learned sink it is the exponential of their
    :func:`entropy`, which has no term for the sink.

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
    """Compute the mean over queries of the weight on the previous token.

    That is ``w[i, i + offset - 1]``.

    Parameters
    ----------
    weights : array of shape (T, S)
    offset : int, optional
        The position of query 0 among the keys. The token at position 0 has no previous one.

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
    """Compute the mean over queries of the weight on the token itself: ``w[i, i + offset]``.

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
    """Compute the mean over queries of the weight on the first key: the attention sink.

    A query at position 0 of causal attention sees no other key; it counts like all others.

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
    """Compute the mean weight on the token after an earlier occurrence of the query's token.

    That is ``Σ_j w[i, j + 1]`` over the j with ``tokens[j] == tokens[i]``. In "A B … A" it is the
    weight of the second A on B. The mean is over the queries whose token has occurred before; nan
    if no token repeats.

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
    metric: str,
    weights: NDArray[Any],
    offset: int = 0,
    tokens: Sequence[str] | None = None,
    missing: float = 0.0,
) -> float:
    """Return the mean of a :class:`RowMetrics` over the rows that have it, or `missing`."""
    if np.isnan(weights).any():
        return float("nan")  # an undefined row makes the mean undefined
    ids = None if tokens is None else token_ids(tokens)
    return mean_of_rows(values_of_rows(metric, weights, offset, ids), missing)


def values_of_rows(
    metric: str, weights: NDArray[Any], offset: int = 0, ids: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """Compute a :class:`RowMetrics` of each row, (T,), a few rows at a time; nan without it."""
    size = max(BLOCK_CELLS // weights.shape[1], 1)
    blocks = []
    for start in range(0, len(weights), size):
        rows = weights[start : start + size].astype(float, copy=False)
        positions = Positions(start + np.arange(len(rows)) + offset, rows.shape[1], ids)
        blocks.append(getattr(RowMetrics(rows, positions), metric))
    return np.concatenate(blocks)


def mean_of_rows(values: NDArray[np.float64], missing: float = 0.0) -> float:
    """Return the mean over the rows that have a value, or `missing`."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else missing
