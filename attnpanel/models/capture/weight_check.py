"""Check weights recomputed from a stored call against the model's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.attention.reference import attend

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from attnpanel.attention.reference import Attention
    from attnpanel.trace.call import AttentionCall

# Rows of each head on which recomputed weights are compared with the model's own.
CHECKED_ROWS = 8
# Allowed difference, by the model's precision: sums are taken in another order. In a row whose
# largest weight is below 0.1, ten times this share of it.
TOLERANCE = {"float64": 1e-4, "float32": 1e-4, "float16": 5e-3, "bfloat16": 3e-2}


def weights_agree(
    call: AttentionCall, weights: Tensor, tolerance: float, *, dropout: float = 0.0
) -> bool:
    """Whether recomputed weights match the model's own, on some rows of each head.

    With a probability of `dropout` only those that it has kept are compared.
    """
    import torch

    rows = np.unique(np.linspace(0, call.query_len - 1, CHECKED_ROWS).round().astype(int))
    full = (call.batch, call.heads, call.query_len, call.key_len)
    if tuple(weights.shape) != full or call.query is None or call.key is None:
        return False
    if not np.isfinite(call.query).all() or not np.isfinite(call.key).all():
        return False
    own = weights.detach()[:, :, torch.from_numpy(rows).to(weights.device)]
    try:
        recomputed = attention_of_rows(call, rows, None)
    except ValueError:  # scores beyond float32
        return False
    limit = max(TOLERANCE[str(weights.dtype).removeprefix("torch.")], tolerance)
    given = own.to("cpu", torch.float32).numpy() * (1 - dropout)
    expected = recomputed.weights * (given != 0) if dropout else recomputed.weights
    # nan compares False, so a nan of the model's own counts as a difference.
    limits = limit * np.minimum(1, 10 * recomputed.weights.max(-1, keepdims=True))
    return bool((np.abs(expected - given) <= limits).all())


def attention_of_rows(
    call: AttentionCall, rows: NDArray[np.intp], value: NDArray[np.floating] | None
) -> Attention:
    """Compute the attention of some queries of a live call, of all heads and sequences.

    Raises
    ------
    ValueError
        If scores exceed float32.
    """
    assert call.query is not None  # noqa: S101 - the call is live
    assert call.key is not None  # noqa: S101
    full = (call.batch, call.heads, call.query_len, call.key_len)
    past = call.q_offset if call.causal == "top_left" else call.key_len - call.query_len
    visible = np.arange(call.key_len) <= rows[:, None] + past
    mask = visible if call.causal != "none" else np.ones_like(visible)
    if call.mask is not None:
        mask = mask & np.broadcast_to(call.mask, full)[:, :, rows]
    bias = None if call.bias is None else np.broadcast_to(call.bias, full)[:, :, rows]
    return attend(
        call.query[:, :, rows],
        call.key,
        value,
        mask=mask,
        bias=bias,
        scale=call.scale,
        soft_cap=call.soft_cap,
        sinks=call.sinks,
    )
