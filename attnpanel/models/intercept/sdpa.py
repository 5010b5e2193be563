"""Read and change calls of ``F.scaled_dot_product_attention``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.call import InterceptedCall, autocast, running_modules
from attnpanel.models.intercept.eager_call import offset_before
from attnpanel.models.intercept.new_scores import positions_for_heads
from attnpanel.models.intercept.session import interventions, streams
from attnpanel.models.intercept.tracked_scores import A_POSITION, CHANNELS, IN_PIECES
from attnpanel.models.intervene.apply import apply_interventions

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from attnpanel.trace.call import Kind


def apply_to_sdpa(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    result: Any,
    kind: Kind | None = None,
    keys_added: int = 0,
) -> tuple[Any, Callable[[], InterceptedCall]]:
    """Apply the interventions to a call of SDPA that has run.

    Parameters
    ----------
    args, kwargs, result : what it was called with, and what it returned
    kind : {"self", "cross"}, optional
        Given by torch's own module, whose tensors are not followed.
    keys_added : int, optional
        How many keys that module has added at the end.

    Returns
    -------
    (result, function)
        The changed result, and what reads the call to record.
    """
    parts = [*args[:2], *(kwargs[name] for name in ("query", "key")[len(args) :])]
    # Inside torch's own module nothing is followed, and addresses may be those of others before.
    own, length = kind is None, streams().length(parts[0])
    channels = own and streams().axes.between_channels(parts[0])
    positions = own and positions_for_heads(parts[0], length)
    added = streams().added(parts[1]) if own else keys_added
    rows = streams().sequences(parts[0]) if own else ()
    kind = kind or streams().kind(*parts)

    def read() -> InterceptedCall:
        if parts[0].dim() > 4 and length is not None and parts[0].shape[-2] < length:
            raise ValueError(IN_PIECES)  # blocks of a longer sequence, where heads would be
        if channels:
            raise ValueError(CHANNELS)
        if positions:
            raise ValueError(A_POSITION)
        offset = offset_before(added, *parts)
        call = _read_call(*args, **kwargs)
        return replace(call, kind=kind, sequence_len=length, q_offset=offset, rows=rows)

    if not interventions():
        return result, read
    heads_axis = 0 if kwargs.get("enable_gqa") else 1
    dropout = kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0)
    output = _four_axes(result, heads_axis)
    modules = running_modules()
    new = apply_interventions(modules, read, output, dropout=dropout)
    if new is None:
        return result, read
    changed = new.output.reshape(result.shape)
    new.watch(changed, modules, lambda flags: flags.reshape(result.shape))
    return changed, lambda: new.call


def _read_call(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,  # noqa: ARG001 - torch's signature; dropout is no part of the weights
    is_causal: bool = False,  # noqa: FBT001, FBT002 - torch's signature
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> InterceptedCall:
    """Read a call of ``F.scaled_dot_product_attention``, which has the same parameters.

    Tensors of three axes are (batch, T, D) with one head each, unless `enable_gqa` makes them
    (heads, T, D).
    """
    materialize = getattr(attn_mask, "_materialize", None)
    if materialize is not None:  # torch.nn.attention.bias.CausalBias has no public way
        attn_mask = materialize(query.device)
    query, key, value = (autocast(tensor) for tensor in (query, key, value))
    heads_axis = 0 if enable_gqa else 1
    folded = query.dim() == 3 and not enable_gqa
    if attn_mask is not None:
        attn_mask = _four_axes_mask(autocast(attn_mask), query, heads_axis)
    query, key, value = (_four_axes(x, heads_axis) for x in (query, key, value))
    query, key, value = _broadcast_batch(query, key, value)
    return InterceptedCall(
        running_modules(),
        query,
        key,
        value,
        mask=attn_mask,
        causal="top_left" if is_causal else "none",
        scale=scale,
        folded=folded,
    )


def _four_axes(tensor: Tensor, heads_axis: int) -> Tensor:
    """Bring two, three, four or more axes to (B, H, T, D); more are folded into the batch."""
    if tensor.dim() == 2:
        return tensor[None, None]
    if tensor.dim() == 3:
        return tensor.unsqueeze(heads_axis)
    return tensor if tensor.dim() == 4 else tensor.flatten(0, -4)


def _four_axes_mask(mask: Tensor, query: Tensor, heads_axis: int) -> Tensor:
    """Give a mask the axes that :func:`_four_axes` gives its query."""
    if query.dim() == 3 and mask.dim() == 3:
        return mask.unsqueeze(heads_axis)
    if query.dim() > 4 and mask.dim() > 3:
        return mask.expand(*query.shape[:-3], *mask.shape[-3:]).flatten(0, -4)
    return mask


def _broadcast_batch(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Expand B, and the query's heads, as SDPA broadcasts them."""
    tensors = (query, key, value)
    batch = max(tensor.shape[0] for tensor in tensors)
    heads = max(tensor.shape[1] for tensor in tensors)
    query = query.expand(batch, heads if query.shape[1] == 1 else -1, -1, -1)
    if key.shape[1] != value.shape[1]:
        key, value = (x.expand(-1, heads if x.shape[1] == 1 else -1, -1, -1) for x in (key, value))
    return query, key.expand(batch, -1, -1, -1), value.expand(batch, -1, -1, -1)
