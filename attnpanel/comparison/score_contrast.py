"""The difference of two heads' scores as a sum of few rank-one components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.comparison.alignment import Pairs


@dataclass(frozen=True)
class ScoreContrast:
    """Components of ``second - first``, the largest first; R is the smaller of n and m.

    Attributes
    ----------
    queries, keys : tuples of (int, int)
        The n queries and m keys that both sides have, as indices in the first and the second.
    difference : float64 array of shape (n, m)
        What is decomposed: the centred scores of the second side less those of the first.
    sizes : float64 array of shape (R,)
        Singular values of `difference`.
    shares : float64 array of shape (R,)
        Each component's share of the sum of squared differences; 0 if nothing differs.
    query_vectors, key_vectors : float64 arrays of shape (R, n) and (R, m)
        Singular vectors: a component is ``size * np.outer(query_vector, key_vector)``, and the
        components sum to `difference`.
    query_loadings : float64 array of shape (2, R, n)
        Of the first and the second side: how far each query's centred scores lie along a
        component. Their difference is the component's size times its query vector.
    key_loadings : float64 array of shape (2, R, m)
        The same of each key.
    """

    queries: tuple[tuple[int, int], ...]
    keys: tuple[tuple[int, int], ...]
    difference: NDArray[np.float64]
    sizes: NDArray[np.float64]
    shares: NDArray[np.float64]
    query_vectors: NDArray[np.float64]
    key_vectors: NDArray[np.float64]
    query_loadings: NDArray[np.float64]
    key_loadings: NDArray[np.float64]


def score_contrast(
    first: NDArray[Any], second: NDArray[Any], queries: Pairs, keys: Pairs
) -> ScoreContrast:
    """Decompose the difference of two heads' scores into rank-one components.

    Each row of scores is centred: its mean over the pairs that both sides may see is subtracted,
    since a constant added to a row changes no weight. The singular value decomposition of the
    difference gives the components. A sign is arbitrary: the query that a component moves most
    has a positive one.

    The scores are queries times keys, so few components are large if few directions of queries and
    keys tell the two sides apart. They describe these two sides only.

    Parameters
    ----------
    first, second : arrays of shape (T1, S1) and (T2, S2)
        Scores as the softmax takes them, divided by a temperature if there is one. What is not
        finite is left out: -inf for a pair that a mask hides.
    queries, keys : Pairs
        The pairs that :func:`align` returns for the T and the S tokens; tokens without a
        counterpart are left out.

    Raises
    ------
    ValueError
        If the sides have no query or no key in common.

    References
    ----------
    Lee, Belinkov, Viégas and Wattenberg, "Decomposing Query-Key Feature Interactions Using
    Contrastive Covariances", 2026, arXiv 2602.04752, decompose the difference of two means of
    ``q kᵀ`` over many pairs, by channel. Two prompts are too few for means, so here the products
    of all their pairs are decomposed, by token.

    Examples
    --------
    >>> first, second = np.zeros((2, 2)), np.array([[3.0, -3.0], [1.0, -1.0]])
    >>> contrast = score_contrast(first, second, ((0, 0), (1, 1)), ((0, 0), (1, 1)))
    >>> contrast.shares.round(6)
    array([1., 0.])
    """
    rows, columns = (
        tuple((one, other) for one, other in pairs if one is not None and other is not None)
        for pairs in (queries, keys)
    )
    if not rows or not columns:
        raise ValueError(
            "both sides must have a query and a key in common; "
            f"got {len(rows)} queries and {len(columns)} keys"
        )
    sides = [
        np.asarray(scores, np.float64)[np.ix_([r[at] for r in rows], [c[at] for c in columns])]
        for at, scores in enumerate((first, second))
    ]
    shared = np.isfinite(sides[0]) & np.isfinite(sides[1])
    counts = np.maximum(shared.sum(axis=1, keepdims=True), 1)
    centred = []
    for scores in sides:
        kept = np.where(shared, scores, 0)
        centred.append(np.where(shared, kept - kept.sum(axis=1, keepdims=True) / counts, 0))
    difference = centred[1] - centred[0]
    left, sizes, right = np.linalg.svd(difference, full_matrices=False)
    most = np.abs(left).argmax(axis=0)
    signs = np.where(left[most, np.arange(len(sizes))] < 0, -1.0, 1.0)
    left, right = left * signs, right * signs[:, None]
    total = float((sizes**2).sum())
    return ScoreContrast(
        queries=rows,
        keys=columns,
        difference=difference,
        sizes=sizes,
        shares=sizes**2 / total if total > 0 else np.zeros(len(sizes)),
        query_vectors=left.T,
        key_vectors=right,
        query_loadings=np.stack([right @ scores.T for scores in centred]),
        key_loadings=np.stack([left.T @ scores for scores in centred]),
    )
