"""Attention that PyTorch computes: SDPA, and ``nn.MultiheadAttention`` with its relatives."""

from __future__ import annotations

import functools
from dataclasses import replace
from types import FunctionType
from typing import TYPE_CHECKING, Any

from attnpanel.sources.capture_by_hand import ByHand
from attnpanel.sources.capture_flex import flex_call
from attnpanel.sources.capture_products import Product
from attnpanel.sources.capture_seen import SeenCall, as_cast, running_modules
from attnpanel.sources.capture_session import (
    Patch,
    interventions,
    listen,
    owned,
    paused,
    recorders,
    rehearsal,
    rehearsing,
    report,
    watched,
)
from attnpanel.sources.intervene_by_hand import WrittenOut, written_out
from attnpanel.sources.intervene_call import changed

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from attnpanel.attention_call import Kind
    from attnpanel.sources.capture_session import Handler


def make_watcher() -> Handler:
    """Make what runs a torch function, and changes and reports it if it computes attention."""
    import torch
    from torch.nn import functional

    by_hand = ByHand(owned)
    flex = getattr(torch.ops.higher_order, "flex_attention", None)

    def see(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not watched():
            return func(*args, **kwargs)
        if func is functional.multi_head_attention_forward:
            return _multi_head_attention(args, kwargs)
        if func is functional.scaled_dot_product_attention:
            result, read = _changed_sdpa(args, kwargs, func(*args, **kwargs))
            report(read)
            return result
        if func is flex:
            result, read = _changed_flex(args, kwargs, func(*args, **kwargs))
            report(read)
            return result
        if interventions():
            args, kwargs = by_hand.scaled(func, args, kwargs)
        result = func(*args, **kwargs)
        _follow(by_hand, func, args, kwargs, result)
        return by_hand.changed(func, args, kwargs, result) if interventions() else result

    return see


def _changed_sdpa(
    args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, kind: Kind | None = None
) -> tuple[Any, Callable[[], SeenCall]]:
    """Return what interventions make of a call of SDPA that has run, and what to report of it."""

    def read() -> SeenCall:
        return replace(_sdpa(*args, **kwargs), kind=kind)

    if not interventions():
        return result, read
    heads_axis = 0 if kwargs.get("enable_gqa") else 1
    dropout = kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0)
    output = _four_axes(result, heads_axis)
    new = changed(running_modules(), read, output, dropout=dropout)
    if new is None:
        return result, read
    return new.output.reshape(result.shape), lambda: new.seen


def _changed_flex(
    args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> tuple[Any, Callable[[], SeenCall]]:
    """Return what interventions make of a call of FlexAttention, and what to report of it."""

    def read() -> SeenCall:
        return flex_call(*args, **kwargs)

    new = changed(running_modules(), read, result[0]) if interventions() else None
    if new is None:
        return result, read
    return (new.output, *result[1:]), lambda: new.seen


def _follow(
    by_hand: ByHand,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    result: Any,
) -> None:
    """See whether the model writes attention out; whatever it writes, it must run on."""
    try:
        written = by_hand.see(func, args, kwargs, result)
    except Exception as error:  # noqa: BLE001 - meta and traced tensors, odd shapes and dtypes
        modules = running_modules()
        for recorder in recorders():
            recorder.leave_out(modules, f"{type(error).__name__}: {error}")
        return
    if written is not None:
        report(written)


def _sdpa(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,  # noqa: ARG001 - torch's signature; dropout is no part of the weights
    is_causal: bool = False,  # noqa: FBT001, FBT002 - torch's signature
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> SeenCall:
    """Read a call of ``F.scaled_dot_product_attention``: same parameters.

    Of three axes the first is the batch, one head each, unless `enable_gqa` says heads.
    """
    materialize = getattr(attn_mask, "_materialize", None)
    if materialize is not None:  # torch.nn.attention.bias.CausalBias: it has no public way
        attn_mask = materialize(query.device)
    query, key, value = (as_cast(one) for one in (query, key, value))
    heads_axis = 0 if enable_gqa else 1
    folded = query.dim() == 3 and not enable_gqa
    if attn_mask is not None:
        attn_mask = _four_axes_mask(as_cast(attn_mask), query, heads_axis)
    query, key, value = (_four_axes(x, heads_axis) for x in (query, key, value))
    query, key, value = _shared_batch(query, key, value)
    return SeenCall(
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
    """Make (B, H, T, D) of two, three, four or more axes; more are folded into the batch."""
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


def _shared_batch(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Expand B, and the query's heads, as SDPA broadcasts them."""
    tensors = (query, key, value)
    batch = max(tensor.shape[0] for tensor in tensors)
    heads = max(tensor.shape[1] for tensor in tensors)
    query = query.expand(batch, heads if query.shape[1] == 1 else -1, -1, -1)
    if key.shape[1] != value.shape[1]:
        key, value = (x.expand(-1, heads if x.shape[1] == 1 else -1, -1, -1) for x in (key, value))
    return query, key.expand(batch, -1, -1, -1), value.expand(batch, -1, -1, -1)


class _InsideMultiHead:
    """Listens inside one ``F.multi_head_attention_forward`` for the attention it computes.

    With need_weights=False that is one SDPA call. With need_weights=True torch writes it out:
    ``softmax((query * scale) @ key.T + mask) @ value``.
    """

    def __init__(self, heads: int, kind: Kind) -> None:
        self.heads, self.kind = heads, kind
        self.change: WrittenOut | None = None
        self.sdpa: Callable[[], SeenCall] | None = None
        self.query: Tensor | None = None
        self.key: Tensor | None = None
        self.value: Tensor | None = None
        self.mask: Tensor | None = None
        self.weights: Tensor | None = None
        self.scale = 1.0
        self._product: tuple[Any, ...] = (None, None, 1.0)

    def see(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run one torch function of the body, and keep what is part of the attention."""
        import torch
        from torch.nn import functional

        if self.change is not None and func is torch.bmm and self.change.plan.scales:
            args = (self.change.scaled(args[0]), *args[1:])
        result = func(*args, **kwargs)
        if self.change is not None and func is torch.bmm and self.change.plan.scales:
            result = self.change.silenced(result, Product(*args))
        if func is functional.scaled_dot_product_attention:
            result, self.sdpa = _changed_sdpa(args, kwargs, result, self.kind)
        elif func in {torch.Tensor.mul, torch.Tensor.__mul__}:
            self._product = (result, *args)
        elif func in {torch.bmm, torch.baddbmm} and self.query is None:
            self._scores(args)
        elif func is functional.softmax:
            self.change = written_out(running_modules(), args[0], heads=self.heads, kind=self.kind)
            if self.change is not None:
                result = self.change.weights(args[0], result)
            self.weights = result
        elif func is torch.bmm and self.weights is not None:
            self.value = args[1]
        return result

    def _scores(self, args: tuple[Any, ...]) -> None:
        *mask, query, key = args
        self.mask = mask[0] if mask else None
        self.query, self.key = query, key.transpose(-2, -1)
        product, unscaled, scale = self._product
        if product is query:
            self.query, self.scale = unscaled, float(scale)

    def seen(self) -> SeenCall:
        """Make the call, with the heads that torch folds into the batch on an axis of their own."""
        if self.sdpa is not None:
            return self.sdpa()
        if self.query is None or self.key is None or self.value is None or self.weights is None:
            raise ValueError("F.multi_head_attention_forward must compute attention in known steps")

        def split(folded: Tensor) -> Tensor:
            return folded.reshape(-1, self.heads, *folded.shape[1:])

        shared = self.mask is None or self.mask.shape[0] == 1
        seen = SeenCall(
            running_modules(),
            split(self.query),
            split(self.key),
            split(self.value),
            mask=self.mask if self.mask is None or shared else split(self.mask),
            scale=self.scale,
            kind=self.kind,
            weights=split(self.weights),
        )
        return seen if self.change is None else self.change.recorded(seen)


def _multi_head_attention(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run the body of ``F.multi_head_attention_forward`` where its steps can be seen."""
    from torch.nn import functional

    # (query, key, value, embed_dim_to_check, num_heads, …): all callers pass these by position.
    query, key, _, _, heads = args[:5] if len(args) >= 5 else _named(args, kwargs)
    inside = _InsideMultiHead(heads, "self" if _same(query, key) else "cross")
    body = _without_dispatch(functional.multi_head_attention_forward)
    with listen(inside.see):
        result = body(*args, **kwargs)
    report(inside.seen)
    return result


def _named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    names = ("query", "key", "value", "embed_dim_to_check", "num_heads")
    return (*args, *(kwargs[name] for name in names[len(args) :]))


def _same(one: Tensor, other: Tensor) -> bool:
    return one is other or (
        one.data_ptr() == other.data_ptr()
        and one.shape == other.shape
        and one.stride() == other.stride()
    )


def _without_dispatch(function: Callable[..., Any]) -> Callable[..., Any]:
    """Copy a torch function, leaving out its question whether a mode wants to handle it.

    Torch asks first and hands over the whole function, so that its steps stay out of sight:
    a handler runs without its mode, and with the mode the function hands itself over again.
    """
    names = {**function.__globals__, "has_torch_function": lambda _: False}
    return FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )


@functools.cache
def fused_modules() -> tuple[Patch, ...]:
    """Give the patches for the modules that torch may compute with one fused kernel."""
    from torch import nn

    owners = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)
    return tuple(Patch(owner, "forward", _twice) for owner in owners)


def _twice(original: Callable[..., Any]) -> Callable[..., Any]:
    """Run a module that torch may fuse a first time to see it, then as if nobody looked.

    The fused kernel shows no query or key, and with a mode active torch does not use it at
    all: then the last bits differ, and so do padded rows, which it fills with zeros. The
    result is that of the second run. Only a module without dropout and gradients may be
    fused, so the first run leaves no trace but for the user's own hooks, which it calls, too.
    """

    @functools.wraps(original)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not watched() or rehearsing() or not _may_fuse(self):
            return original(self, *args, **kwargs)
        if any(one.reaches_into(self) for one in interventions()):
            return original(self, *args, **kwargs)  # what is changed can't be fused
        if any(getattr(x, "is_nested", False) for x in (*args, *kwargs.values())):
            for recorder in recorders():
                recorder.leave_out((self,), "a nested tensor went into torch's fused attention")
        else:
            with rehearsal():
                original(self, *args, **kwargs)
        with paused():
            return original(self, *args, **kwargs)

    return forward


def _may_fuse(module: Any) -> bool:
    """Whether torch may fuse this module now: false only where it surely does not."""
    import torch

    if module.training or not getattr(module, "batch_first", True):
        return False
    trained = any(parameter.requires_grad for parameter in module.parameters())
    return not (torch.is_grad_enabled() and trained)
