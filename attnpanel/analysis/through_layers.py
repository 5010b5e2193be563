"""Where attention leads through all layers."""

from __future__ import annotations

import warnings
from reprlib import repr as short
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.analysis.max_flow import max_flows
from attnpanel.analysis.queries import query_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from attnpanel.attention_call import AttentionCall
    from attnpanel.trace import Trace


# Of a maximum flow, a query and a layer, times the cube of the length: measured through six layers
# with 17 to 128 tokens, on one core of a 2.1 GHz Xeon.
FLOW_S = 2.4e-6
LONG_S = 60


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
        If the trace is empty, or a call does not exist or is no self-attention of one length.

    References
    ----------
    Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020, section 3.
    """
    product = np.eye(trace.calls[0].query_len if trace.calls else 0)
    for at in layers_of_one_length(trace, layers):
        product = mixed_heads(trace.calls[at], batch) @ product
    return product


def flow(
    trace: Trace,
    queries: Sequence[int] | None = None,
    batch: int = 0,
    layers: Sequence[int] | None = None,
) -> NDArray[Any]:
    """How much can flow from each input token to a position of the last layer: a maximum flow.

    Layers are pipes from every token to every token, as wide as ``(mean over heads + identity)
    / 2``, rows normalised. Where rollout multiplies along paths, here each path carries what its
    narrowest pipe lets through, and paths share their pipes.

    Each query takes about the cube of the length: through six layers 0.1 s for 17 tokens and
    30 s for 128, on one core of a 2.1 GHz Xeon; 512 tokens take half an hour. Of a long text name
    the queries, or take :func:`rollout`.

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
        a maximum of its own; rows need not sum to 1.

    Raises
    ------
    ValueError
        As :func:`rollout`, and if there is no position, or one does not exist.

    Warns
    -----
    UserWarning
        Before it begins, if it will take more than about a minute; says how long.

    References
    ----------
    Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020, section 4.
    """
    pipes = [mixed_heads(trace.calls[at], batch) for at in layers_of_one_length(trace, layers)]
    length = trace.calls[0].query_len
    wanted = np.arange(length) if queries is None else np.asarray(queries)
    whole = wanted.ndim == 1 and len(wanted) > 0 and np.issubdtype(wanted.dtype, np.integer)
    if not whole or ((wanted < 0) | (wanted >= length)).any():
        raise ValueError(
            f"queries must be one or more positions in 0..{length - 1}; got {short(queries)}"
        )
    seconds = FLOW_S * len(wanted) * len(pipes) * length**3
    if len(pipes) > 1 and seconds > LONG_S:
        warnings.warn(
            f"the flow to {len(wanted)} positions through {len(pipes)} layers of {length} tokens "
            f"takes about {seconds / 60:,.0f} minutes; name fewer queries, or use rollout",
            UserWarning,
            stacklevel=2,
        )
    return np.stack([max_flows(pipes, int(query)) for query in wanted])


def mixed_heads(call: AttentionCall, batch: int = 0) -> NDArray[np.float64]:
    """Return ``(mean over heads + identity) / 2`` of one self-attention call, rows normalised."""
    mixed = np.eye(call.query_len) * call.heads
    for queries, part in query_blocks(call):
        for head in range(call.heads):
            mixed[queries] += np.nan_to_num(part.weights(head, batch))
    mixed /= mixed.sum(axis=-1, keepdims=True)
    return mixed


def layers_of_one_length(trace: Trace, layers: Sequence[int] | None) -> Sequence[int]:
    """Return places of self-attention calls of one length; by default all of the first one's.

    Raises
    ------
    ValueError
        If the trace is empty, or one of `layers` does not exist or is no self-attention of that
        length.
    """
    if not trace.calls:
        raise ValueError("layers must be those of at least one attention call; got none")
    length = trace.calls[0].query_len
    fitting = [
        at
        for at, call in enumerate(trace.calls)
        if call.kind == "self" and (call.query_len, call.key_len) == (length, length)
    ]
    for at in fitting if layers is None else layers:
        if at not in range(len(trace.calls)):
            raise ValueError(f"layers must be in 0..{len(trace.calls) - 1}; got {at!r}")
        call = trace.calls[at]
        if at not in fitting:
            raise ValueError(
                f"attention is followed through self-attention of one length, {length}; call {at} "
                f"is {call.kind}-attention of {call.query_len} queries and {call.key_len} keys"
            )
    return fitting if layers is None else layers
