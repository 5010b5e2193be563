"""Similarity of attention heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.analysis.query_blocks import query_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.trace import Trace

# Compared rows of each head. Comparing all takes 20 times as long, for 72 heads at T = 2048.
COMPARED_ROWS = 96


def head_affinity(trace: Trace, batch: int = 0) -> tuple[list[tuple[int, int]], NDArray[Any]]:
    """Compute how alike heads attend: ``mean_i Σ_j sqrt(p_ij q_ij)``, 1 if they are equal.

    Compared are all heads with the same numbers of queries and keys as the first call's, on at
    most 96 evenly spaced queries. The weight of a learned sink belongs to no key and is not
    compared: the affinity of a head with itself is then the mean sum of its rows, less than 1.

    Parameters
    ----------
    trace : Trace
    batch : int, optional

    Returns
    -------
    heads : list of (layer, head)
        Indices in the trace, in order.
    affinity : float64 array of shape (N, N)
        The Bhattacharyya coefficient of each pair, from 0 to 1.

    References
    ----------
    Bhattacharyya, "On a Measure of Divergence between Two Statistical Populations", 1943.
    """
    if not trace.calls:
        return [], np.zeros((0, 0))
    first = trace.calls[0]
    count = min(first.query_len, COMPARED_ROWS)
    rows = np.unique(np.linspace(0, first.query_len - 1, count).round().astype(int))
    size = (first.query_len, first.key_len)
    same_size = [
        (layer, call)
        for layer, call in enumerate(trace.calls)
        if (call.query_len, call.key_len) == size
    ]
    heads = [(layer, head) for layer, call in same_size for head in range(call.heads)]
    overlap, counts = np.zeros((len(heads), len(heads))), np.zeros(len(heads))
    parts = (query_blocks(call, rows, together=len(heads)) for _, call in same_size)
    for blocks in zip(*parts, strict=True):
        weights = [part.weights(head, batch) for _, part in blocks for head in range(part.heads)]
        roots = np.sqrt(np.nan_to_num(weights), dtype=float)  # (N, R, S)
        counts += np.count_nonzero(roots.any(axis=-1), axis=-1)
        flat = roots.reshape(len(heads), -1)
        overlap += flat @ flat.T
    return heads, overlap / np.maximum(np.minimum.outer(counts, counts), 1)
