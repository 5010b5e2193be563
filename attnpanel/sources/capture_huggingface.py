"""Attention of Hugging Face models: what their attention interface is called with.

The interface is where a model's own code ends: it gets the module, keys and values not yet
repeated for grouped heads, mask and position bias, whichever ``attn_implementation`` follows.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from attnpanel.sources.capture_flex import flex_mask
from attnpanel.sources.capture_seen import SeenCall, as_cast, running_modules
from attnpanel.sources.capture_session import Patch, interventions, paused, report, watched
from attnpanel.sources.intervene_call import changed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

# Arguments that change the weights in a way that query, key, mask and bias do not tell.
OUT_OF_REACH = ("indices", "block_indices", "cache")
# What an attention function may be handed a head's sinks as.
SINKS = ("s_aux", "sinks")
MODELING = "transformers.modeling_utils"


def attention_interface() -> Sequence[Patch]:
    """Give the patch that shows Hugging Face models; none where transformers is not loaded."""
    interface = getattr(sys.modules.get(MODELING), "AttentionInterface", None)
    if interface is None or "get_interface" not in vars(interface):
        return ()
    return (_patch(interface),)


@functools.cache
def _patch(interface: type) -> Patch:
    return Patch(interface, "get_interface", _seen_interface)


def _seen_interface(get_interface: Callable[..., Any]) -> Callable[..., Any]:
    """Make ``AttentionInterface.get_interface`` give functions that report their calls."""

    @functools.wraps(get_interface)
    def get(self: Any, attn_implementation: str, default: Callable[..., Any]) -> Any:
        attend = get_interface(self, attn_implementation, default)
        if not watched():
            return attend
        read = _reader(attend, default)
        # An implementation of the user's own: what it calls is seen as in any other model.
        return attend if read is None else functools.partial(_attend, attend, read)

    return get


def _attend(
    attend: Callable[..., Any],
    read: Callable[..., SeenCall],
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Run the attention function, unseen so that nothing is recorded twice; change, report it."""
    if args:  # options by position: the function knows their names, we do not
        return attend(module, query, key, value, attention_mask, *args, **kwargs)
    with paused():
        result = attend(module, query, key, value, attention_mask, **kwargs)

    def seen() -> SeenCall:
        return read(module, query, key, value, attention_mask, result, kwargs)

    if interventions():
        dropout = float(kwargs.get("dropout") or 0) if module.training else 0.0
        modules = (module, *running_modules())
        # The interface gives (B, T, H, Dv).
        new = changed(modules, seen, result[0].transpose(1, 2), dropout=dropout)
        if new is not None:
            report(lambda: new.seen)
            weights = result[1] if new.weights is None else new.weights
            return new.output.transpose(1, 2).contiguous(), weights, *result[2:]
    report(seen)
    return result


def _reader(attend: Callable[..., Any], default: Callable[..., Any]) -> Any:
    if attend is default:
        return _read_eager
    known = {"sdpa_attention_forward": _read_sdpa, "flex_attention_forward": _read_flex}
    ours = getattr(attend, "__module__", "").startswith("transformers.")
    return known.get(getattr(attend, "__name__", "")) if ours else None


def _read_eager(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    result: tuple[Any, ...],
    options: dict[str, Any],
) -> SeenCall:
    """Read a model's own attention function: it only masks by `mask`, and gives its weights."""
    # A module's own learned sinks reach its eager function without an argument.
    sinks = next((options[name] for name in SINKS if options.get(name) is not None), None)
    return _seen(
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
) -> SeenCall:
    """Read transformers' SDPA function: without a mask, the module decides whether it is causal.

    It refuses to cap scores, and passes over sinks.
    """
    import torch

    query_len = query.shape[2]
    is_causal = options.get("is_causal")
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    causal = bool(is_causal) and mask is None and query_len > 1
    if causal and key.shape[2] > query_len:  # an empty static cache: the rest is not there yet
        key, value = key[:, :, :query_len], value[:, :, :query_len]
    if mask is not None and mask.dtype == torch.bool and options.get("position_bias") is not None:
        # It then fills with the smallest finite number, so a row without keys is uniform.
        fill = torch.finfo(key.dtype).min
        mask = torch.zeros_like(mask, dtype=key.dtype).masked_fill(~mask, fill)
    query, key, value = (as_cast(one) for one in (query, key, value))
    mask = None if mask is None else as_cast(mask)
    if options.get("position_bias") is not None:
        options = {**options, "position_bias": as_cast(options["position_bias"])}
    return _seen(module, query, key, value, mask, options, causal=causal)


def _read_flex(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Any,
    result: tuple[Any, ...],  # noqa: ARG001 - it gives no weights
    options: dict[str, Any],
) -> SeenCall:
    """Read transformers' FlexAttention function: its mask is a function of the indices."""
    if hasattr(mask, "mask_mod"):
        mask = flex_mask(mask.as_tuple(), query, key)
    return _seen(
        module,
        query,
        key,
        value,
        mask,
        options,
        soft_cap=options.get("softcap"),
        sinks=options.get("s_aux"),
    )


def _seen(
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
) -> SeenCall:
    scaling = options.get("scaling")
    trusted = all(options.get(name) is None for name in OUT_OF_REACH)
    if sinks is not None and getattr(sinks, "shape", None) != (query.shape[1],):
        sinks, trusted = None, False  # sinks of another kind: each query its own
    batch = max(query.shape[0], key.shape[0])  # learned queries may come once for all
    return SeenCall(
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
        kind="cross" if getattr(module, "is_cross_attention", False) else None,
        weights=weights,
        dropped=module.training and bool(options.get("dropout")),
        trusted=trusted,
    )
