"""What heads have in common, and where attention leads through all layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from attnpanel.trace import Trace

# Rows of each head that are compared: with all of them, 72 heads at T = 2048 would take 1.2 GB.
COMPARED_ROWS = 96


def head_affinity(trace: Trace, batch: int = 0) -> tuple[list[tuple[int, int]], NDArray[Any]]:
    """How alike heads attend: ``mean_i Σ_j sqrt(p_ij q_ij)``, 1 where they are the same.

    Every pair of heads with the same number of queries and keys as the first call's; others
    are left out. At most 96 evenly spaced queries are compared.

    Parameters
    ----------
    trace : Trace
    batch : int, optional

    Returns
    -------
    heads : list of (layer, head)
        Places in the trace, in order.
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
    heads, roots = [], []
    for layer, call in enumerate(trace.calls):
        if (call.query_len, call.key_len) != (first.query_len, first.key_len):
            continue
        for head in range(call.heads):
            heads.append((layer, head))
            roots.append(np.sqrt(call.weights(head, batch)[rows]).ravel())
    stacked = np.stack(roots).astype(float)
    seen = np.count_nonzero(stacked.reshape(len(heads), len(rows), -1).any(axis=-1), axis=-1)
    return heads, stacked @ stacked.T / np.maximum(np.minimum.outer(seen, seen), 1)


def rollout(trace: Trace, batch: int = 0, layers: Sequence[int] | None = None) -> NDArray[Any]:
    """Attention through all layers: the product of ``(mean over heads + identity) / 2``.

    The identity stands for the residual connection; rows are normalised.

    Parameters
    ----------
    trace : Trace
    batch : int, optional
    layers : sequence of int, optional
        Places of self-attention calls in the trace; by default all of the first call's length. Of
        an encoder and a decoder, or of several passes, name those of one.

    Returns
    -------
    float64 array of shape (T, T)
        Row i: how much of each input token has reached position i.

    Raises
    ------
    ValueError
        If the trace is empty, or a call is no self-attention of one length.

    References
    ----------
    Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020, section 3.
    """
    if not trace.calls:
        raise ValueError("rollout needs a trace of at least one attention call; got none")
    length = trace.calls[0].query_len
    if layers is None:
        layers = [
            at
            for at, call in enumerate(trace.calls)
            if call.kind == "self" and (call.query_len, call.key_len) == (length, length)
        ]
    product = np.eye(length)
    for at in layers:
        call = trace.calls[at]
        if call.kind != "self" or (call.query_len, call.key_len) != (length, length):
            raise ValueError(
                f"rollout goes through self-attention of one length, {length}; call {at} is "
                f"{call.kind}-attention of {call.query_len} queries and {call.key_len} keys"
            )
        mixed = np.eye(length) * call.heads
        for head in range(call.heads):
            mixed += call.weights(head, batch)
        product = mixed / mixed.sum(axis=-1, keepdims=True) @ product
    return product
