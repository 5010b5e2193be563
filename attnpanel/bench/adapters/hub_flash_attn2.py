"""flash-attn 2 from Hugging Face's kernel hub as a plain function. **Never run by us**.

It needs a CUDA device, and `get_kernel` downloads and runs code of the hub's organisation
kernels-community. Certified by
``attnpanel bench certify attnpanel.bench.adapters.hub_flash_attn2:attention --device cuda``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

REPOSITORY: Final = "kernels-community/flash-attn2"
VERSION: Final = 2


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    scale: float,
    is_causal: bool = False,
) -> torch.Tensor:
    """Call the kernel's ``flash_attn_func``, which takes no mask but the causal one.

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
        If the package kernels is not installed.

    References
    ----------
    huggingface.co/kernels/kernels-community/flash-attn2: ``get_kernel(…, version=2)`` and the
    functions of flash-attn 2, (B, T, H, D); key heads may be fewer. The package keeps what it got.
    """
    from kernels import get_kernel

    kernel = get_kernel(REPOSITORY, version=VERSION)
    tokens_first = (x.transpose(1, 2) for x in (query, key, value))
    output: torch.Tensor = kernel.flash_attn_func(
        *tokens_first, softmax_scale=scale, causal=is_causal
    )
    return output.transpose(1, 2)
