"""``record(query, key, value)``: report an attention call that a capture cannot intercept."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, get_args

from attnpanel.attention.validation import check_choice
from attnpanel.trace.call import Causal

if TYPE_CHECKING:
    from torch import Tensor

_calls = count()


def record(
    query: Tensor | None = None,
    key: Tensor | None = None,
    value: Tensor | None = None,
    *,
    weights: Tensor | None = None,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    causal: Causal = "none",
    scale: float | None = None,
    soft_cap: float | None = None,
    sinks: Tensor | None = None,
) -> None:
    """Report one attention call to the captures that run in this thread.

    For kernels that :func:`attnpanel.capture` cannot intercept, such as flash-attn or xformers
    called directly: put it beside the call, in the module that makes it. Without a capture it does
    nothing and costs nothing. Attention that is no softmax of query and key hands over its weights
    instead: ``record(weights=weights, value=value)``.

    Parameters
    ----------
    query : tensor of shape (B, H, T, D)
    key : tensor of shape (B, Hkv, S, D)
    value : tensor of shape (B, Hkv, S, Dv)
        H must be a multiple of Hkv. flash-attn and xformers hold (B, T, H, D): pass
        ``query.transpose(1, 2)``. With `weights`, none of the three is needed.
    weights : tensor of shape (B, H, T, S), optional
        The model's own weights, in place of query and key: temperature and mask are then fixed.
    mask : tensor broadcastable to (B, H, T, S), optional
        Boolean, True = may attend; or additive.
    bias : float tensor broadcastable to (B, H, T, S), optional
        Added to the scores.
    causal : {"none", "top_left", "bottom_right"}, optional
        flash-attn's causal is ``"bottom_right"``.
    scale : float, optional
        Multiplies ``query @ key.T``. Defaults to ``1 / sqrt(D)``.
    soft_cap : float, optional
        Replaces the scaled product by ``soft_cap * tanh(product / soft_cap)``, before the bias:
        flash-attn's softcap. flash-attn's 0 is None here.
    sinks : tensor of shape (H,), optional
        The score of each head's attention sink.

    Raises
    ------
    ValueError
        While a capture runs, if the shapes disagree, `causal` is none of the three values, or
        `weights` come with anything but `value`.

    Examples
    --------
    >>> record(q, k, v, causal="bottom_right")   # doctest: +SKIP
    """
    from attnpanel.models.intercept.call import InterceptedCall, running_modules
    from attnpanel.models.intercept.session import record_call, recorders

    if not recorders():
        return
    check_choice("causal", causal, get_args(Causal))
    query, key, value, weights = (
        _checked(name, tensor)
        for name, tensor in zip(
            ("query", "key", "value", "weights"), (query, key, value, weights), strict=True
        )
    )
    if weights is not None:
        others = (query, key, mask, bias, scale, soft_cap, sinks)
        if any(other is not None for other in others) or causal != "none":
            raise ValueError(
                "weights replace query, key and all that acts on scores; give value alone"
            )
        _record_weights(weights, value)
        return
    if query is None or key is None or value is None:
        raise ValueError("record needs query, key and value, or weights")
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
    record_call(
        lambda: InterceptedCall(
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
            handed_over=True,
        )
    )


def _checked(name: str, given: Any) -> Tensor | None:
    """Return a tensor of at least 16 bits; raise ValueError if it is no ordinary tensor."""
    import torch

    if given is None:
        return None
    if not isinstance(given, torch.Tensor) or given.is_nested:
        kind = "a nested tensor" if isinstance(given, torch.Tensor) else type(given).__name__
        raise ValueError(f"{name} must be an ordinary torch tensor; got {kind}")
    return given.float() if given.is_floating_point() and given.dtype.itemsize == 1 else given


def _record_weights(weights: Tensor, value: Tensor | None) -> None:
    """Report a call by its weights (B, H, T, S) and values (B, Hkv, S, Dv)."""
    from attnpanel.models.intercept.call import InterceptedCall, running_modules
    from attnpanel.models.intercept.session import record_call
    from attnpanel.models.intercept.tracked_scores import MAX_CALL_NUMBER

    shape = tuple(weights.shape)
    fits = value is None or (
        value.dim() == 4
        and tuple(value.shape[::2]) == (shape[0], shape[-1])
        and shape[1] % value.shape[1] == 0
    )
    if len(shape) != 4 or not fits:
        raise ValueError(
            "weights must have axes (B, H, T, S), and value (B, Hkv, S, Dv) with H a multiple of "
            f"Hkv; got {shape} and {None if value is None else tuple(value.shape)}"
        )
    modules = running_modules()
    batch, heads, query_len, key_len = shape
    keys = (batch, heads if value is None else value.shape[1], key_len, 1)
    # In place of the keys: another number for each call, so that none continues an earlier one.
    number = next(_calls) % MAX_CALL_NUMBER
    record_call(
        lambda: InterceptedCall(
            modules,
            weights.new_zeros(batch, heads, query_len, 1),
            weights.new_full(keys, number),
            weights.new_zeros(keys) if value is None else value,
            weights=weights,
            trusted=False,
            handed_over=True,
        )
    )
