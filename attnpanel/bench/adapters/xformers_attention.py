"""xformers as a plain function. **Never run by us**: its kernels need a CUDA device.

Certified by
``attnpanel bench certify attnpanel.bench.adapters.xformers_attention:attention --device cuda``.
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
    """Call ``xformers.ops.memory_efficient_attention`` with no mask but the causal one.

    Parameters
    ----------
    query : tensor of shape (B, H, T, D)
    key, value : tensors of shape (B, Hkv, S, D) and (B, Hkv, S, Dv)
    scale : float
    is_causal : bool
        By ``LowerTriangularMask``, with T = S.

    Returns
    -------
    tensor of shape (B, H, T, Dv)

    Raises
    ------
    ImportError
        If xformers is not installed.

    References
    ----------
    xformers' documentation, ``memory_efficient_attention``: (B, T, H, D), or with groups of heads
    (B, T, G, H / G, D), keys expanded.
    """
    from xformers.ops import LowerTriangularMask, memory_efficient_attention

    group = query.shape[1] // key.shape[1]
    tokens_first = [x.transpose(1, 2) for x in (query, key, value)]
    if group > 1:
        kv_heads = key.shape[1]
        batch, _, query_len, width = query.shape
        tokens_first[0] = tokens_first[0].reshape(batch, query_len, kv_heads, group, width)
        tokens_first[1:] = [x.unsqueeze(3).expand(-1, -1, -1, group, -1) for x in tokens_first[1:]]
    output: torch.Tensor = memory_efficient_attention(
        *tokens_first, attn_bias=LowerTriangularMask() if is_causal else None, scale=scale
    )
    if group > 1:
        output = output.flatten(2, 3)
    return output.transpose(1, 2)
