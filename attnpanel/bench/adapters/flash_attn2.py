"""flash-attn 2 as a plain function. **Never run by us**: it needs a CUDA device.

Certified by
``attnpanel bench certify attnpanel.bench.adapters.flash_attn2:attention --device cuda``.
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
    scale: float,
    is_causal: bool = False,
) -> torch.Tensor:
    """Call ``flash_attn.flash_attn_func``, which takes no mask but the causal one.

    Parameters
    ----------
    query : tensor of shape (B, H, T, D)
    key, value : tensors of shape (B, Hkv, S, D)
    scale : float
    is_causal : bool
        With T = S; flash-attn's diagonal ends at the bottom right.

    Returns
    -------
    tensor of shape (B, H, T, D)

    Raises
    ------
    ImportError
        If flash-attn is not installed.

    References
    ----------
    Dao-AILab/flash-attention, ``flash_attn/flash_attn_interface.py``, 2.x: (B, T, H, D); key heads
    may be fewer.
    """
    from flash_attn import flash_attn_func

    tokens_first = (x.transpose(1, 2) for x in (query, key, value))
    output: torch.Tensor = flash_attn_func(*tokens_first, softmax_scale=scale, causal=is_causal)
    return output.transpose(1, 2)
