"""Bring an intercepted call to the form in which a trace stores it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from attnpanel.models.intercept.masks import hidden_threshold
from attnpanel.models.intercept.module_names import CROSS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from attnpanel.models.intercept.call import InterceptedCall
    from attnpanel.trace.call import Kind


def pad_nested(call: InterceptedCall) -> InterceptedCall:
    """Pad a call of nested tensors (sequences of different lengths) with masked keys."""
    import torch

    if not (call.query.is_nested and call.key.is_nested):
        return call
    if call.mask is not None:
        raise ValueError("nested tensors must come without a mask; got one")

    def pad(nested: Tensor) -> Tensor:
        parts = [part.transpose(0, 1) for part in nested.detach().unbind()]  # each (T_b, H, D)
        return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True).transpose(1, 2)

    lengths = torch.tensor([part.shape[1] for part in call.key.unbind()])
    key = pad(call.key)
    real = torch.arange(key.shape[2]) < lengths[:, None, None, None]
    return replace(call, query=pad(call.query), key=key, value=pad(call.value), mask=real)


def drop_unused_keys(call: InterceptedCall, layer: str) -> InterceptedCall:
    """Drop the unfilled end of a static key/value cache: keys that no query sees."""
    import torch

    query_len, key_len, mask = call.query.shape[-2], call.key.shape[-2], call.mask
    is_cross = call.kind == "cross" or (call.kind is None and CROSS.search(layer) is not None)
    if mask is None or is_cross or not query_len < key_len == mask.shape[-1]:
        return call
    visible = mask if mask.dtype == torch.bool else mask > hidden_threshold(mask.dtype)
    visible_keys = visible.reshape(-1, key_len).any(dim=0).nonzero()
    used = int(visible_keys[-1]) + 1 if len(visible_keys) else key_len
    if call.q_offset is not None:  # an intervention may hide the queries' own keys
        used = max(used if len(visible_keys) else 0, call.q_offset + query_len)
    if not query_len <= used < key_len:
        return call
    return replace(
        call,
        key=call.key[..., :used, :],
        value=call.value[..., :used, :],
        weights=None if call.weights is None else call.weights[..., :used],
    )


def infer_kind(
    layer: str, query_len: int, key_len: int, mask: NDArray[np.bool_] | None, causal: str
) -> Kind:
    """Infer self or cross attention where a call doesn't say, by name or lengths.

    A cached decoding step also has more keys than queries; it has one query or a mask.
    """
    if CROSS.search(layer) or query_len > key_len:
        return "cross"
    all_visible = causal == "none" and (mask is None or mask.shape[-2] == 1)
    return "cross" if 1 < query_len < key_len and all_visible else "self"


def last_visible(mask: NDArray[np.bool_] | None, key_len: int) -> int:
    """Return the last key that the last query sees; with cached keys, its own position."""
    if mask is None or mask.shape[-1] != key_len:
        return key_len - 1
    visible = np.flatnonzero(mask[0, 0, -1])
    return int(visible[-1]) if len(visible) else key_len - 1
