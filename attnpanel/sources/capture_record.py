"""``record(query, key, value)``: tell a capture of attention that it can't see by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from attnpanel.attention_call import Causal
from attnpanel.rules import check_choice

if TYPE_CHECKING:
    from torch import Tensor


def record(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    causal: Causal = "none",
    scale: float | None = None,
    soft_cap: float | None = None,
    sinks: Tensor | None = None,
) -> None:
    """Tell the captures that run in this thread of one attention call.

    For kernels that :func:`attnpanel.capture` can't see, such as flash-attn or xformers called
    directly: put it beside the call, in the module that makes it. Without a capture it does
    nothing and costs nothing.

    Parameters
    ----------
    query : tensor of shape (B, H, T, D)
    key : tensor of shape (B, Hkv, S, D)
    value : tensor of shape (B, Hkv, S, Dv)
        H must be a multiple of Hkv. flash-attn and xformers hold (B, T, H, D): hand over
        ``query.transpose(1, 2)``.
    mask : tensor broadcastable to (B, H, T, S), optional
        Boolean, True = may attend; or additive.
    bias : float tensor broadcastable to (B, H, T, S), optional
        Added to the scores.
    causal : {"none", "top_left", "bottom_right"}, optional
        flash-attn's causal is ``"bottom_right"``.
    scale : float, optional
        Multiplies ``query @ key.T``. Defaults to ``1 / sqrt(D)``.
    soft_cap : float, optional
        ``soft_cap * tanh(product / soft_cap)`` stands in place of the scaled product, before the
        bias: flash-attn's softcap. flash-attn's 0 is None here.
    sinks : tensor of shape (H,), optional
        The score of each head's attention sink.

    Raises
    ------
    ValueError
        While a capture runs, if the shapes disagree or `causal` is none of the three.

    Examples
    --------
    >>> record(q, k, v, causal="bottom_right")   # doctest: +SKIP
    """
    from attnpanel.sources.capture_seen import SeenCall, running_modules
    from attnpanel.sources.capture_session import recorders, report

    if not recorders():
        return
    check_choice("causal", causal, get_args(Causal))
    shapes = [tuple(tensor.shape) for tensor in (query, key, value)]
    if {len(shape) for shape in shapes} != {4}:
        raise ValueError(f"query, key and value must have axes (B, H, T, D); got {shapes}")
    (batch, heads, _, head_dim), (_, kv_heads, key_len, _), _ = shapes
    fits = (
        {shape[0] for shape in shapes} == {batch}
        and shapes[1][3] == head_dim
        and shapes[2][1:3] == (kv_heads, key_len)
        and heads % kv_heads == 0
    )
    if not fits:
        raise ValueError(
            "query, key and value must agree in B, query and key in D, key and value in Hkv and "
            f"S, and H must be a multiple of Hkv; got {shapes}"
        )
    modules = running_modules()
    report(
        lambda: SeenCall(
            modules,
            query,
            key,
            value,
            mask=mask,
            bias=bias,
            causal=causal,
            scale=scale,
            soft_cap=soft_cap,
            sinks=sinks,
        )
    )
