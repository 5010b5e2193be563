"""Attention through several layers: rollout and maximum flow."""

from __future__ import annotations

import warnings
from reprlib import repr as short
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.analysis.max_flow import max_flows
from attnpanel.analysis.query_blocks import query_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from attnpanel.trace import Trace
    from attnpanel.trace.call import AttentionCall


# Seconds of a maximum flow, per query, layer and cubed length: measured through six layers with 17
# to 128 tokens, on one core of a 2.1 GHz Xeon.
FLOW_S = 2.4e-6
WARN_S = 60


def rollout(trace: Trace, batch: int = 0, layers: Sequence[int] | None = None) -> NDArray[Any]:
    """Multiply ``(mean over heads + identity) / 2`` through all layers.

    The identity models the residual connection; rows are normalised.

    Parameters
    ----------
    trace : Trace
    batch : int, optional
    layers : sequence of int, optional
        Indices of self-attention calls in the trace; by default all of the first call's length.
        Needed to choose encoder or decoder, or one of several forward passes.

    Returns
    -------
    float64 array of shape (T, T)
        Row i: the fraction of each input token that has reached position i.

    Raises
    ------
    ValueError
        If the trace is empty, or a call does not exist or is not self-attention of one length.

    References
    ----------
    Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020, section 3.
    """
    product = np.eye(trace.calls[0].query_len if trace.calls else 0)
    for index in self_attention_layers(trace, layers):
        product = attention_with_residual(trace.calls[index], batch) @ product
    return product


def rollout_row(
    trace: Trace, query: int, batch: int = 0, layers: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """Return row `query` of :func:`rollout`, without multiplying matrices.

    Returns
    -------
    float64 array of shape (T,)
    """
    fitting = self_attention_layers(trace, layers)
    row: NDArray[np.float64] = np.eye(trace.calls[fitting[-1]].query_len)[query]
    for index in reversed(fitting):
        row = row @ attention_with_residual(trace.calls[index], batch)
    return row


def flow(
    trace: Trace,
    queries: Sequence[int] | None = None,
    batch: int = 0,
    layers: Sequence[int] | None = None,
) -> NDArray[Any]:
    """Compute the maximum flow from each input token to positions of the last layer.

    The capacities between two layers are ``(mean over heads + identity) / 2``, rows normalised.
    Rollout multiplies weights along paths; here each path carries at most its smallest capacity,
    and paths share capacities.

    Each query takes about the cube of the length: through six layers 0.1 s for 17 tokens and
    30 s for 128, on one core of a 2.1 GHz Xeon; 512 tokens take half an hour. For a long text
    choose few queries, or use :func:`rollout`.

    Parameters
    ----------
    trace : Trace
    queries : sequence of int, optional
        Positions of the last layer; by default all.
    batch : int, optional
    layers : sequence of int, optional
        As in :func:`rollout`.

    Returns
    -------
    float64 array of shape (Q, T)
        Row q: the flow from each input token to position ``queries[q]``, from 0 to 1. Each is
        maximal on its own; rows need not sum to 1.

    Raises
    ------
    ValueError
        As :func:`rollout`, and if `queries` is empty or a position does not exist.

    Warns
    -----
    UserWarning
        Before it starts, if it will take more than about a minute; says how long.

    References
    ----------
    Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020, section 4.
    """
    capacities = [
        attention_with_residual(trace.calls[index], batch)
        for index in self_attention_layers(trace, layers)
    ]
    length = trace.calls[0].query_len
    wanted = np.arange(length) if queries is None else np.asarray(queries)
    valid = wanted.ndim == 1 and len(wanted) > 0 and np.issubdtype(wanted.dtype, np.integer)
    if not valid or ((wanted < 0) | (wanted >= length)).any():
        raise ValueError(
            f"queries must be one or more positions in 0..{length - 1}; got {short(queries)}"
        )
    seconds = FLOW_S * len(wanted) * len(capacities) * length**3
    if len(capacities) > 1 and seconds > WARN_S:
        warnings.warn(
            f"the flow to {len(wanted)} positions through {len(capacities)} layers of {length} "
            f"tokens takes about {seconds / 60:,.0f} minutes; choose fewer queries, or use rollout",
            UserWarning,
            stacklevel=2,
        )
    return np.stack([max_flows(capacities, int(query)) for query in wanted])


def attention_with_residual(call: AttentionCall, batch: int = 0) -> NDArray[np.float64]:
    """Return ``(mean over heads + identity) / 2`` of one self-attention call, rows normalised."""
    mixed = np.eye(call.query_len) * call.heads
    for queries, part in query_blocks(call):
        for head in range(call.heads):
            mixed[queries] += np.nan_to_num(part.weights(head, batch))
    mixed /= mixed.sum(axis=-1, keepdims=True)
    return mixed


def self_attention_layers(trace: Trace, layers: Sequence[int] | None) -> Sequence[int]:
    """Return indices of self-attention calls of one length; by default the first call's.

    Raises
    ------
    ValueError
        If the trace is empty, or one of `layers` does not exist or is not self-attention of that
        length.
    """
    if not trace.calls:
        raise ValueError("layers must be those of at least one attention call; got none")
    length = trace.calls[0].query_len
    fitting = [
        index
        for index, call in enumerate(trace.calls)
        if call.kind == "self" and (call.query_len, call.key_len) == (length, length)
    ]
    for index in fitting if layers is None else layers:
        if index not in range(len(trace.calls)):
            raise ValueError(f"layers must be in 0..{len(trace.calls) - 1}; got {index!r}")
        call = trace.calls[index]
        if index not in fitting:
            raise ValueError(
                f"layers must be self-attention of one length, {length}; call {index} "
                f"is {call.kind}-attention of {call.query_len} queries and {call.key_len} keys"
            )
    return fitting if layers is None else layers
