"""FlashInfer as a plain function. **Never run by us**: it needs a CUDA device.

Certified by
``attnpanel bench certify attnpanel.bench.adapters.flashinfer_prefill:attention --device cuda``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    mask: torch.Tensor | None = None,
    scale: float,
    is_causal: bool = False,
) -> torch.Tensor:
    """Call ``flashinfer.single_prefill_with_kv_cache`` for each sequence.

    Parameters
    ----------
    query : tensor of shape (B, H, T, D)
    key, value : tensors of shape (B, Hkv, S, D) and (B, Hkv, S, Dv)
    mask : bool tensor broadcastable to (B, 1, T, S), optional
        True where a query may attend.
    scale : float
    is_causal : bool
        With T = S; FlashInfer's diagonal ends at the bottom right.

    Returns
    -------
    tensor of shape (B, H, T, Dv)

    Raises
    ------
    ImportError
        If FlashInfer is not installed.

    References
    ----------
    docs.flashinfer.ai, ``single_prefill_with_kv_cache``: (T, H, D), keys (Hkv, S, D) in layout
    ``"HND"``; ``custom_mask`` (T, S), True where a query may attend, overrides ``causal``.
    """
    import torch
    from flashinfer import single_prefill_with_kv_cache

    sequences = len(query)
    pairs = (query.shape[2], key.shape[2])
    masks = None if mask is None else mask[:, 0].expand(sequences, *pairs)
    outputs = [
        single_prefill_with_kv_cache(
            query[entry].transpose(0, 1).contiguous(),
            key[entry].contiguous(),
            value[entry].contiguous(),
            custom_mask=None if masks is None else masks[entry].contiguous(),
            causal=is_causal,
            kv_layout="HND",
            sm_scale=scale,
        ).transpose(0, 1)
        for entry in range(sequences)
    ]
    return torch.stack(outputs)
