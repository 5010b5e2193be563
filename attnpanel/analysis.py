"""Numbers about one head's weights, each with its formula and source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def entropy(weights: NDArray[Any]) -> float:
    """Mean over queries of the entropy ``-Σ w log w`` of a row, in nats.

    0 where every query takes from one key; ``log S`` where all keys share equally. Rows of
    zeros (queries that see no key) are left out.

    Parameters
    ----------
    weights : array of shape (T, S)

    References
    ----------
    Ghader and Monz, "What does Attention in Neural Machine Translation Pay Attention to?",
    2017, section 4.

    Examples
    --------
    >>> round(entropy(np.array([[0.5, 0.5], [1.0, 0.0]])), 12) == round(np.log(2) / 2, 12)
    True
    """
    seen = weights[weights.any(axis=-1)].astype(float)
    if not len(seen):
        return 0.0
    logs = np.log(seen, out=np.zeros_like(seen), where=seen > 0)
    return abs(float((seen * logs).sum(axis=-1).mean()))  # abs, not minus: 0 has no sign


def mean_distance(weights: NDArray[Any]) -> float:
    """Mean over queries of ``Σ_j w_ij |i - j|``: how far a head looks, in tokens.

    Rows of zeros are left out.

    Parameters
    ----------
    weights : array of shape (T, S)

    References
    ----------
    Vig and Belinkov, "Analyzing the Structure of Attention in a Transformer Language Model",
    2019, section 4.3.

    Examples
    --------
    >>> mean_distance(np.array([[0.0, 1.0], [0.5, 0.5]]))
    0.75
    """
    rows = np.flatnonzero(weights.any(axis=-1))
    if not len(rows):
        return 0.0
    apart = np.abs(rows[:, None] - np.arange(weights.shape[1]))
    return float((weights[rows] * apart).sum(axis=-1).mean())
