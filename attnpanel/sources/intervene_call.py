"""Changes an attention call that is read from its inputs: SDPA and the Hugging Face interface."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from attnpanel.sources.capture_folded import heads_in_batch, unfolded
from attnpanel.sources.capture_recorder import CROSS
from attnpanel.sources.capture_session import paused, recorders
from attnpanel.sources.intervene_place import Place
from attnpanel.sources.intervene_plan import (
    Plan,
    masked_softmax,
    meaning,
    replace_heads,
    split_additive,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from attnpanel.attention_call import Causal, Kind
    from attnpanel.sources.capture_seen import SeenCall
    from attnpanel.sources.intervene_change import Intervention


@dataclass(frozen=True, eq=False)
class ChangedCall:
    """A call as interventions leave it.

    Attributes
    ----------
    seen : SeenCall
        What a capture stores: the weights computed from it are the changed ones.
    output : tensor of shape (B, H, T, Dv)
        Heads that no intervention means are the model's own, bit for bit.
    weights : tensor of shape (B, H, T, S), or None where the model gave none
    """

    seen: SeenCall
    output: Tensor
    weights: Tensor | None


def changed(
    modules: tuple[nn.Module, ...],
    read: Callable[[], SeenCall],
    output: Tensor,
    *,
    dropout: float = 0.0,
) -> ChangedCall | None:
    """Change a call that has run; None where no intervention means it.

    Parameters
    ----------
    modules : tuple of torch.nn.Module
        The modules that are running, innermost first.
    read : function
        Tells what the call was computed from.
    output : tensor of shape (B, H, T, Dv)
        What the model computed.
    dropout : float, optional
        The share of new weights that is dropped, as the model drops its own.

    Raises
    ------
    ValueError
        If the call can't be read, or a change does not fit it.
    """
    meant = meaning(modules)
    if not meant:
        return None
    layer, watched = meant[0].layer_of(modules), bool(recorders())
    with paused():  # what is computed here is no attention of the model's
        return _changed(meant, layer, read, output, dropout=dropout, watched=watched)


def _changed(
    meant: tuple[Intervention, ...],
    layer: str,
    read: Callable[[], SeenCall],
    output: Tensor,
    *,
    dropout: float,
    watched: bool,
) -> ChangedCall:
    import torch

    if output.is_nested:
        raise ValueError(
            f"attention of layer {layer!r} can't be changed: its sequences of different lengths "
            "are nested tensors"
        )
    try:
        seen = read()
        if seen.folded:
            told = next((one.folded_heads for one in meant if one.folded_heads), None)
            seen = unfolded(seen, heads_in_batch(len(seen.query), seen.modules, told))
            output = output.reshape(*seen.query.shape[:3], -1)
        seen = told_apart(seen)
    except (ValueError, RuntimeError, IndexError, TypeError) as error:
        raise ValueError(f"attention of layer {layer!r} can't be changed: {error}") from error
    with torch.autocast(output.device.type, enabled=False):  # what is computed anew is not cast
        return _computed(Plan(_place(seen, layer), meant), seen, output, dropout, watched=watched)


def _computed(
    plan: Plan, seen: SeenCall, output: Tensor, dropout: float, *, watched: bool
) -> ChangedCall:
    layer, own = plan.place.layer, seen.weights
    if plan.heads:
        if not seen.trusted:
            raise ValueError(
                f"attention of layer {layer!r} can't be changed: it selects keys or changes its "
                "scores in a way that query, key and mask do not tell; only scale can be changed"
            )
        sinks = None if seen.sinks is None else seen.sinks[list(plan.heads)]
        new = plan.weights(*_scores(seen, plan.heads), sinks)
        output = replace_heads(output, plan.heads, _mixed(seen, plan.heads, new, dropout))
        own = None if own is None else replace_heads(own, plan.heads, new)
        if watched:
            seen = recorded(plan, replace(seen, weights=own), new)
    if plan.scales:
        output = plan.scaled(output)
        seen = scaled_values(plan, seen)
    return ChangedCall(seen, output, own)


def told_apart(seen: SeenCall) -> SeenCall:
    """Return a call whose mask is boolean and whose bias is what is added to the scores.

    A row that finite numbers hide throughout sees every key, drowned: see
    :mod:`attnpanel.sources.capture_masks`.
    """
    import torch

    mask, bias = _four_axes(seen.mask, seen.key), _four_axes(seen.bias, seen.key)
    if bias is not None and bias.dtype == torch.bool:
        raise ValueError("a bias must be numbers; got True and False")
    if mask is not None and mask.dtype != torch.bool:
        mask, added = split_additive(mask)
        bias = added if bias is None else bias + added
    return replace(seen, mask=mask, bias=bias)


def recorded(plan: Plan, seen: SeenCall, new: Tensor | None) -> SeenCall:
    """Return what a capture stores of a changed call: query, mask and bias that make its weights.

    Where weights were put in place, nothing makes them: they are stored themselves. Weights that
    `seen` has are the changed ones; `new`, those of the plan's heads, is asked for without.
    """
    import torch

    every = tuple(range(plan.place.heads))
    sharpness = plan.sharpness()
    # A cap is one number for all heads.
    out_of_reach = seen.soft_cap is not None and bool((sharpness != sharpness[0]).any())
    if plan.replaces or out_of_reach:
        own = seen.weights
        if own is None and new is not None:
            own = masked_softmax(*_scores(seen, every), seen.sinks)
            own = replace_heads(own, plan.heads, new)
        return replace(seen, weights=own, trusted=False)
    if bool((sharpness != 1).any()):
        cap, factors = seen.soft_cap, sharpness[:, 0, 0]
        seen = replace(
            seen,
            # In 16 bits a sharp head would lose digits, or leave the range.
            query=seen.query.to(torch.promote_types(seen.query.dtype, torch.float32)) * sharpness,
            soft_cap=None if cap is None else cap * float(factors[0]),
            bias=None if seen.bias is None else seen.bias * sharpness,
            sinks=None if seen.sinks is None else seen.sinks * factors.to(seen.sinks.dtype),
        )
    if plan.hides:
        visible, place = _visible(seen, every), plan.place
        # What the changed mask shows no longer tells where the queries stand.
        known = place.first > 0 or (
            new is not None and not is_cross(place.layer, seen.kind, visible)
        )
        seen = replace(seen, mask=plan.visible(visible, every), causal="none")
        seen = replace(seen, first=place.first if known else None)
    return seen


def _four_axes(added: Tensor | None, key: Tensor) -> Tensor | None:
    if added is None:
        return None
    return added[(None,) * (4 - added.dim())][..., : key.shape[2]]


def _place(seen: SeenCall, layer: str) -> Place:
    batch, heads, query_len, _ = seen.query.shape
    key_len = seen.key.shape[2]
    first = 0
    if query_len < key_len:
        first = first_position(layer, seen.kind, seen.causal, _visible(seen, (0,)))
    return Place(layer, batch, heads, query_len, key_len, first, seen.query.device)


def first_position(layer: str, kind: Kind | None, causal: Causal, visible: Tensor) -> int:
    """Find where the first query stands among the keys: after those of a cache.

    Parameters
    ----------
    visible : bool tensor of shape (…, T, S)
    """
    query_len, key_len = visible.shape[-2:]
    if query_len >= key_len or causal == "top_left" or is_cross(layer, kind, visible):
        return 0
    last = visible.reshape(-1, query_len, key_len)[0, -1].nonzero()
    return max(int(last[-1]) + 1 - query_len, 0) if len(last) else key_len - query_len


def is_cross(layer: str, kind: Kind | None, visible: Tensor) -> bool:
    """Whether the keys are another sequence's: by name, or as several queries see all of them."""
    if kind == "cross" or CROSS.search(layer) is not None:
        return True
    return visible.shape[-2] > 1 and bool(visible[..., :1, :].eq(visible).all())


def _scores(seen: SeenCall, heads: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return scores (B, heads, T, S) in at least float32, and which keys are seen."""
    import torch

    group = seen.query.shape[1] // seen.key.shape[1]
    dtype = torch.promote_types(seen.query.dtype, torch.float32)
    query = seen.query[:, list(heads)].to(dtype)
    key = seen.key[:, [head // group for head in heads]].to(dtype)
    scale = query.shape[-1] ** -0.5 if seen.scale is None else seen.scale
    scores = (query @ key.mT) * scale
    if seen.soft_cap is not None:
        scores = seen.soft_cap * (scores / seen.soft_cap).tanh()
    if seen.bias is not None:
        scores = scores + _of_heads(seen.bias, heads)
    return scores, _visible(seen, heads)


def _visible(seen: SeenCall, heads: tuple[int, ...]) -> Tensor:
    """Return which keys are seen, broadcastable to (B, heads, T, S)."""
    import torch

    query_len, key_len = seen.query.shape[2], seen.key.shape[2]
    seen_keys = torch.ones(1, 1, query_len, key_len, dtype=torch.bool, device=seen.query.device)
    if seen.causal != "none":
        seen_keys = seen_keys.tril(0 if seen.causal == "top_left" else key_len - query_len)
    if seen.mask is not None:
        seen_keys = seen_keys & _of_heads(seen.mask, heads)
    return seen_keys


def _of_heads(array: Tensor, heads: tuple[int, ...]) -> Tensor:
    return array if array.shape[1] == 1 else array[:, list(heads)]


def _mixed(seen: SeenCall, heads: tuple[int, ...], weights: Tensor, dropout: float) -> Tensor:
    from torch.nn import functional

    group = seen.query.shape[1] // seen.value.shape[1]
    value = seen.value[:, [head // group for head in heads]].to(weights.dtype)
    return functional.dropout(weights, dropout) @ value if dropout else weights @ value


def scaled_values(plan: Plan, seen: SeenCall) -> SeenCall:
    """Scale the values, so that outputs computed from them are the changed ones."""
    group = plan.place.heads // seen.value.shape[1]
    key, value = seen.key, seen.value
    if group > 1:  # heads that share values may have different scales
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    return replace(seen, key=key, value=plan.scaled(value))
