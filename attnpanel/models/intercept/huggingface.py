"""Intercept Hugging Face models at their attention interface.

The interface is where a model's own code ends: it receives the module, keys and values not yet
repeated for grouped heads, mask and position bias, whatever ``attn_implementation`` follows.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.call import InterceptedCall, autocast, running_modules
from attnpanel.models.intercept.flex import flex_mask
from attnpanel.models.intercept.session import (
    Patch,
    interventions,
    is_active,
    paused,
    record_call,
    streams,
)
from attnpanel.models.intervene.apply import apply_interventions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

# Options that change the weights in a way that query, key, mask and bias do not express.
UNSUPPORTED_OPTIONS = ("indices", "block_indices", "cache")
# Option names of a head's attention sinks.
SINK_OPTIONS = ("s_aux", "sinks")
MODELING = "transformers.modeling_utils"


def huggingface_patches() -> Sequence[Patch]:
    """Return the patch of the attention interface; none if transformers is not loaded."""
    interface = getattr(sys.modules.get(MODELING), "AttentionInterface", None)
    if interface is None or "get_interface" not in vars(interface):
        return ()
    return (_patch(interface),)


@functools.cache
def _patch(interface: type) -> Patch:
    return Patch(interface, "get_interface", _wrap_get_interface)


def _wrap_get_interface(get_interface: Callable[..., Any]) -> Callable[..., Any]:
    """Make ``AttentionInterface.get_interface`` return functions that report their calls."""

    @functools.wraps(get_interface)
    def get(self: Any, attn_implementation: str, default: Callable[..., Any]) -> Any:
        attend = get_interface(self, attn_implementation, default)
        if not is_active():
            return attend
        read = _reader(attend, default)
        # An implementation of the user's own: what it calls is intercepted as in any other model.
        return attend if read is None else functools.partial(_attend, attend, read)

    return get


def _attend(
    attend: Callable[..., Any],
    read: Callable[..., InterceptedCall],
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Run an attention function paused, to record nothing twice; change and record it."""
    if args:  # options passed by position: their names are not known here
        return attend(module, query, key, value, attention_mask, *args, **kwargs)
    with paused():
        result = attend(module, query, key, value, attention_mask, **kwargs)
    sequences = streams()
    kind = "cross" if getattr(module, "is_cross_attention", False) else sequences.kind(query, key)
    length = sequences.length(query)
    sequences.adopt(result[0], query)

    def read_call() -> InterceptedCall:
        call = read(module, query, key, value, attention_mask, result, kwargs)
        return replace(call, kind=kind, sequence_len=length)

    if interventions():
        dropout = float(kwargs.get("dropout") or 0) if module.training else 0.0
        modules = (module, *running_modules())
        # The interface's output is (B, T, H, Dv).
        new = apply_interventions(modules, read_call, result[0].transpose(1, 2), dropout=dropout)
        if new is not None:
            record_call(lambda: new.call)
            weights = result[1] if new.weights is None else new.weights
            output = new.output.transpose(1, 2).contiguous()
            new.watch(output, modules, lambda flags: flags.transpose(1, 2))
            sequences.adopt(output, query)
            return output, weights, *result[2:]
    record_call(read_call)
    return result


def _reader(attend: Callable[..., Any], default: Callable[..., Any]) -> Any:
    if attend is default:
        return _read_eager
    known = {"sdpa_attention_forward": _read_sdpa, "flex_attention_forward": _read_flex}
    own = getattr(attend, "__module__", "").startswith("transformers.")
    return known.get(getattr(attend, "__name__", "")) if own else None


def _read_eager(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    result: tuple[Any, ...],
    options: dict[str, Any],
) -> InterceptedCall:
    """Read a model's own eager function: it masks by `mask` only, and returns its weights."""
    # A module's own learned sinks reach its eager function without an argument.
    sinks = next((options[name] for name in SINK_OPTIONS if options.get(name) is not None), None)
    return _make_call(
        module,
        query,
        key,
        value,
        mask,
        options,
        weights=result[1],
        soft_cap=options.get("softcap"),
        sinks=getattr(module, "sinks", None) if sinks is None else sinks,
    )


def _read_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    result: tuple[Any, ...],  # noqa: ARG001 - it gives no weights
    options: dict[str, Any],
) -> InterceptedCall:
    """Read transformers' SDPA function; without a mask, the module decides if it is causal.

    It raises for a soft cap and ignores sinks.
    """
    import torch

    query_len = query.shape[2]
    is_causal = options.get("is_causal")
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    causal = bool(is_causal) and mask is None and query_len > 1
    if causal and key.shape[2] > query_len:  # an empty static cache: the rest is not filled yet
        key, value = key[:, :, :query_len], value[:, :, :query_len]
    if mask is not None and mask.dtype == torch.bool and options.get("position_bias") is not None:
        # transformers then fills with the smallest finite number, so a row without keys is uniform.
        fill = torch.finfo(key.dtype).min
        mask = torch.zeros_like(mask, dtype=key.dtype).masked_fill(~mask, fill)
    query, key, value = (autocast(tensor) for tensor in (query, key, value))
    mask = None if mask is None else autocast(mask)
    if options.get("position_bias") is not None:
        options = {**options, "position_bias": autocast(options["position_bias"])}
    return _make_call(module, query, key, value, mask, options, causal=causal)


def _read_flex(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Any,
    result: tuple[Any, ...],  # noqa: ARG001 - it gives no weights
    options: dict[str, Any],
) -> InterceptedCall:
    """Read transformers' FlexAttention function, whose mask is a function of the indices."""
    if hasattr(mask, "mask_mod"):
        mask = flex_mask(mask.as_tuple(), query, key)
    return _make_call(
        module,
        query,
        key,
        value,
        mask,
        options,
        soft_cap=options.get("softcap"),
        sinks=options.get("s_aux"),
    )


def _make_call(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    options: dict[str, Any],
    *,
    causal: bool = False,
    weights: Tensor | None = None,
    soft_cap: float | None = None,
    sinks: Any = None,
) -> InterceptedCall:
    scaling = options.get("scaling")
    trusted = all(options.get(name) is None for name in UNSUPPORTED_OPTIONS)
    if sinks is not None and getattr(sinks, "shape", None) != (query.shape[1],):
        sinks, trusted = None, False  # another kind of sinks, such as one for each query
    batch = max(query.shape[0], key.shape[0])  # learned queries may come once for the whole batch
    return InterceptedCall(
        (module, *running_modules()),
        query.expand(batch, -1, -1, -1),
        key.expand(batch, -1, -1, -1),
        value.expand(batch, -1, -1, -1),
        mask=mask,
        bias=options.get("position_bias"),
        causal="top_left" if causal else "none",
        scale=None if scaling is None else float(scaling),
        soft_cap=None if soft_cap is None else float(soft_cap),
        sinks=sinks,
        weights=weights,
        dropout=float(options.get("dropout") or 0) if module.training else 0.0,
        trusted=trusted,
    )
