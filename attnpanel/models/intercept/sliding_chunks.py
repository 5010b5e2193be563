"""Put the attention of Longformer and LED together, which they compute in sliding chunks.

A token attends to those within its window and to the global tokens; a global token attends to all,
by query and key projections of its own. Each row is one softmax. So the whole has the form of one
call: where there are global tokens, with twice the channels, of which each row uses one half. The
model's own weights (``output_attentions``) are brought to T × S to check that.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
import weakref
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.call import InterceptedCall, running_modules
from attnpanel.models.intercept.session import Patch, paused, record_call, recorders
from attnpanel.models.intervene.plan import matching_interventions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

# Where the layers are, and what pads their input to whole windows.
CLASSES = {
    "transformers.models.longformer.modeling_longformer": (
        "LongformerSelfAttention",
        "LongformerModel",
    ),
    "transformers.models.led.modeling_led": ("LEDEncoderSelfAttention", "LEDEncoder"),
}
# Bytes of one layer's T × S weights beyond which they are not put together.
MAX_BYTES = 2 << 30
# How many tokens a model has padded its latest input with.
_padding: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def sliding_chunk_patches() -> Iterator[Patch]:
    """Yield the patches of those of the models that are loaded."""
    for module, (layer, model) in CLASSES.items():
        loaded = sys.modules.get(module)
        for name, method, wrap in (
            (layer, "forward", _wrap_forward),
            (model, "_pad_to_window_size", _wrap_padding),
        ):
            owner = getattr(loaded, name, None)
            if owner is not None and method in vars(owner):
                yield _patch(owner, method, wrap)


@functools.cache
def _patch(owner: type, name: str, wrap: Callable[[Any], Any]) -> Patch:
    return Patch(owner, name, wrap)


def _wrap_padding(original: Callable[..., Any]) -> Callable[..., Any]:
    """Note how many tokens are added."""

    @functools.wraps(original)
    def pad(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        _padding[self] = int(result[0])
        return result

    return pad


def _wrap_forward(original: Callable[..., Any]) -> Callable[..., Any]:
    """Record the attention of a layer, whose outputs are the same if it returns its weights."""
    signature = inspect.signature(original)

    @functools.wraps(original)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        modules = running_modules()
        if not recorders() or matching_interventions(modules):
            return original(self, *args, **kwargs)
        given = signature.bind(self, *args, **kwargs)
        asked = given.arguments.get("output_attentions", False)
        given.arguments["output_attentions"] = True
        result = original(*given.args, **given.kwargs)
        padding = next((_padding[module] for module in modules if module in _padding), 0)
        record_call(lambda: _read(self, given.arguments, result, padding))
        return result if asked else result[:1]

    return forward


def _read(layer: Any, given: dict[str, Any], result: Any, padding: int) -> InterceptedCall:
    """Make the call of a layer that has returned its weights."""
    import torch

    hidden, masked = given["hidden_states"], given["is_index_masked"]
    batch, length, _ = hidden.shape
    size = 4 * batch * layer.num_heads * length**2
    if size > MAX_BYTES:
        raise ValueError(
            f"its weights, T × S, would take {size / 1e9:.1f} GB to put together from its chunks"
        )
    with torch.no_grad(), paused():
        is_global = given["is_index_global_attn"] if given["is_global_attn"] else None
        window = layer.one_sided_attn_window_size
        names = ["query", "key", "value"]
        query, key, value = (_heads(layer, name, hidden) for name in names)
        at = torch.arange(length, device=hidden.device)
        visible = ((at[:, None] - at).abs() <= window).expand(batch, 1, -1, -1)
        if is_global is not None:
            rows = is_global[:, None, :, None]
            others = [_heads(layer, f"{name}_global", hidden) for name in names[:2]]
            query = torch.cat([query.masked_fill(rows, 0), others[0].masked_fill(~rows, 0)], -1)
            key = torch.cat([key, others[1]], -1)
            visible = visible | rows | rows.mT
        visible = visible & ~masked[:, None, None] & ~masked[:, None, :, None]
        weights = _whole(result, is_global, window, length)
    end = length - padding
    return InterceptedCall(
        running_modules(),
        query[:, :, :end],
        key[:, :, :end],
        value[:, :, :end],
        mask=visible[:, :, :end, :end],
        scale=1 / math.sqrt(layer.head_dim),
        kind="self",
        weights=weights[:, :, :end, :end],
        dropout=layer.dropout if layer.training else 0.0,
        handed_over=True,
        has_values=is_global is None,
    )


def _heads(layer: Any, name: str, hidden: Tensor) -> Tensor:
    """Return a projection of hidden states (B, T, C) as (B, H, T, D)."""
    projected: Tensor = getattr(layer, name)(hidden)
    return projected.view(*hidden.shape[:2], layer.num_heads, layer.head_dim).transpose(1, 2)


def _whole(result: Any, is_global: Tensor | None, window: int, length: int) -> Tensor:
    """Return the weights (B, H, T, S) of what a layer has returned.

    That is its output, the weights (B, T, H, G + 2 * window + 1) of the global keys and of those
    around each query, and those of global queries (B, H, G, S), if there are any.
    """
    import torch

    own = result[1]
    count = own.shape[-1] - 2 * window - 1
    at = torch.arange(length, device=own.device)[:, None]
    places = at + torch.arange(2 * window + 1, device=own.device)
    padded = own.new_zeros(*own.shape[:3], length + 2 * window)
    padded.scatter_(3, places[None, :, None].expand(*own.shape[:3], -1), own[..., count:])
    whole: Tensor = padded[..., window : window + length].transpose(1, 2)
    for batch in range(0 if is_global is None else len(own)):
        assert is_global is not None  # noqa: S101 - the loop is empty without
        chosen = is_global[batch].nonzero()[:, 0]
        whole[batch, :, :, chosen] = own[batch, :, :, : len(chosen)].transpose(0, 1)
        whole[batch, :, chosen] = result[2][batch, :, : len(chosen)]
    return whole
