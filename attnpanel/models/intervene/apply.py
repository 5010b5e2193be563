"""Apply interventions to calls of SDPA, Hugging Face's interface and FlexAttention."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from attnpanel.models.intercept.batched_heads import (
    heads_first,
    heads_in_batch,
    refuse_folded,
    refuse_heads_first,
    unfold_heads,
)
from attnpanel.models.intercept.loop_turns import place_of
from attnpanel.models.intercept.module_names import CROSS
from attnpanel.models.intercept.session import knock_outs, paused, recorders
from attnpanel.models.intervene.plan import (
    Plan,
    masked_softmax,
    matching_interventions,
    replace_heads,
    split_additive,
)
from attnpanel.models.intervene.target import CallTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from attnpanel.models.intercept.call import InterceptedCall
    from attnpanel.models.intervene.intervention import Intervention
    from attnpanel.trace.call import Causal, Kind


@dataclass(frozen=True, eq=False)
class ChangedCall:
    """The result of interventions on a call.

    Attributes
    ----------
    call : InterceptedCall
        The call to record: weights computed from it are the changed ones.
    output : tensor of shape (B, H, T, Dv)
        Bit-identical to the model's own in heads that no intervention changes.
    weights : tensor of shape (B, H, T, S), or None if the model returned none
    plan : Plan
    """

    call: InterceptedCall
    output: Tensor
    weights: Tensor | None
    plan: Plan

    def watch(
        self, result: Tensor, modules: tuple[nn.Module, ...], arrange: Callable[[Tensor], Tensor]
    ) -> None:
        """Check from here on that knocked-out heads are 0 in what the model gets.

        Parameters
        ----------
        result : tensor
            The output as the model gets it.
        modules : tuple of torch.nn.Module
            The running modules, innermost first.
        arrange : function
            Brings a tensor of the output's shape to that of `result`.
        """
        if self.plan.scales_output:
            flags = arrange(self.plan.knocked_out().expand_as(self.output))
            knock_outs().watch(result, flags, self.plan, modules)


def apply_interventions(
    modules: tuple[nn.Module, ...],
    read: Callable[[], InterceptedCall],
    output: Tensor,
    *,
    dropout: float = 0.0,
) -> ChangedCall | None:
    """Change a call that has run; None if no intervention applies to it.

    Parameters
    ----------
    modules : tuple of torch.nn.Module
        The running modules, innermost first.
    read : function
        Returns the inputs of the call.
    output : tensor of shape (B, H, T, Dv)
        What the model computed.
    dropout : float, optional
        Probability with which new weights are dropped, as the model drops its own.

    Raises
    ------
    ValueError
        If the call cannot be read, or an intervention does not fit it.
    """
    active = matching_interventions(modules)
    if not active:
        return None
    layer, recording = active[0].layer_of(modules), bool(recorders())
    with paused():  # what is computed here is not the model's attention
        return _change(active, layer, read, output, dropout=dropout, recording=recording)


def _change(
    active: tuple[Intervention, ...],
    layer: str,
    read: Callable[[], InterceptedCall],
    output: Tensor,
    *,
    dropout: float,
    recording: bool,
) -> ChangedCall:
    import torch

    if output.is_nested:
        raise ValueError(
            f"attention of layer {layer!r} cannot be changed: it uses nested tensors, for "
            "sequences of different lengths"
        )
    try:
        call = read()
        places, folded = (place_of(call.query), place_of(call.key)), call.folded
        if any(i.heads is not None for i in active):
            refuse_heads_first(heads_first(call), layer)
        if folded:
            folded_heads = next((i.folded_heads for i in active if i.folded_heads), None)
            heads = heads_in_batch(len(call.query), call.modules, folded_heads)
            if any(i.heads is not None for i in active):
                refuse_folded(
                    *(len(call.query), heads, call.query.shape[2]),
                    call.sequence_len,
                    call.modules,
                )
            call = unfold_heads(call, heads)
            output = output.reshape(*call.query.shape[:3], -1)
        call = separate_mask(call)
    except (ValueError, RuntimeError, IndexError, TypeError) as error:
        raise ValueError(f"attention of layer {layer!r} cannot be changed: {error}") from error
    with torch.autocast(output.device.type, enabled=False):  # keep new results in full precision
        target = replace(_target(call, layer), places=places, folded=folded)
        plan = Plan(target, active)
        return _apply_plan(plan, call, output, dropout, recording=recording)


def _apply_plan(
    plan: Plan, call: InterceptedCall, output: Tensor, dropout: float, *, recording: bool
) -> ChangedCall:
    layer, weights = plan.target.layer, call.weights
    if plan.heads:
        if not call.trusted:
            raise ValueError(
                f"attention of layer {layer!r} cannot be changed: it selects keys or changes its "
                "scores in a way that query, key and mask do not express; only scale can be changed"
            )
        sinks = None if call.sinks is None else call.sinks[list(plan.heads)]
        new = plan.weights(*_scores(call, plan.heads), sinks)
        output = replace_heads(output, plan.heads, _mix_values(call, plan.heads, new, dropout))
        weights = None if weights is None else replace_heads(weights, plan.heads, new)
        if recording:
            call = call_to_record(plan, replace(call, weights=weights), new)
    if plan.scales_output:
        output = plan.apply_scale(output)
        call = scale_values(plan, call)
    return ChangedCall(call, output, weights, plan)


def separate_mask(call: InterceptedCall) -> InterceptedCall:
    """Return a call whose mask is boolean and whose bias is added to the scores.

    A row that finite numbers hide entirely gets uniform weights: see
    :mod:`attnpanel.models.intercept.masks`.
    """
    import torch

    mask, bias = _four_axes(call.mask, call.key), _four_axes(call.bias, call.key)
    if bias is not None and bias.dtype == torch.bool:
        raise ValueError("a bias must hold numbers; got booleans")
    if mask is not None and mask.dtype != torch.bool:
        mask, added = split_additive(mask)
        bias = added if bias is None else bias + added
    return replace(call, mask=mask, bias=bias)


def call_to_record(plan: Plan, call: InterceptedCall, new: Tensor | None) -> InterceptedCall:
    """Return a call whose query, mask and bias give the changed weights, for captures.

    Replaced weights cannot be computed from these: they are stored themselves. If `call` has
    weights they are the changed ones; `new`, those of the plan's heads, is needed only if not.
    """
    import torch

    all_heads = tuple(range(plan.target.heads))
    sharpness = plan.sharpness()
    # A call has one soft cap for all heads, so it cannot express several temperatures under a cap.
    inexpressible = call.soft_cap is not None and bool((sharpness != sharpness[0]).any())
    if plan.replaces_weights or inexpressible:
        weights = call.weights
        if weights is None and new is not None:
            weights = masked_softmax(*_scores(call, all_heads), call.sinks)
            weights = replace_heads(weights, plan.heads, new)
        return replace(call, weights=weights, trusted=False)
    if bool((sharpness != 1).any()):
        cap, factors = call.soft_cap, sharpness[:, 0, 0]
        call = replace(
            call,
            # In 16 bits a query times a large sharpness would lose digits, or overflow.
            query=call.query.to(torch.promote_types(call.query.dtype, torch.float32)) * sharpness,
            soft_cap=None if cap is None else cap * float(factors[0]),
            bias=None if call.bias is None else call.bias * sharpness,
            sinks=None if call.sinks is None else call.sinks * factors.to(call.sinks.dtype),
        )
    if plan.hides_keys:
        visible, target = _visible(call, all_heads), plan.target
        # The queries' position can no longer be inferred from the changed mask.
        known = (
            call.q_offset is not None
            or target.q_offset > 0
            or (new is not None and not is_cross_attention(target.layer, call.kind, visible))
        )
        call = replace(call, mask=plan.visible(visible, all_heads), causal="none")
        call = replace(call, q_offset=target.q_offset if known else None)
    return call


def _four_axes(added: Tensor | None, key: Tensor) -> Tensor | None:
    if added is None:
        return None
    return added[(None,) * (4 - added.dim())][..., : key.shape[2]]


def _target(call: InterceptedCall, layer: str) -> CallTarget:
    batch, heads, query_len, _ = call.query.shape
    key_len = call.key.shape[2]
    q_offset = 0
    if call.q_offset is not None:
        q_offset = call.q_offset
    elif query_len < key_len:
        q_offset = query_offset(layer, call.kind, call.causal, _visible(call, (0,)))
    device, length = call.query.device, call.sequence_len
    return CallTarget(layer, batch, heads, query_len, key_len, q_offset, device, length)


def query_offset(layer: str, kind: Kind | None, causal: Causal, visible: Tensor) -> int:
    """Return the position of the first query among the keys: after those of a cache.

    Parameters
    ----------
    visible : bool tensor of shape (…, T, S)
    """
    query_len, key_len = visible.shape[-2:]
    if query_len >= key_len or causal == "top_left" or is_cross_attention(layer, kind, visible):
        return 0
    last = visible.reshape(-1, query_len, key_len)[0, -1].nonzero()
    return max(int(last[-1]) + 1 - query_len, 0) if len(last) else key_len - query_len


def is_cross_attention(layer: str, kind: Kind | None, visible: Tensor) -> bool:
    """Whether the keys are another sequence's; unknown, by name or if several queries see all."""
    if kind is not None or CROSS.search(layer) is not None:
        return kind != "self"
    return visible.shape[-2] > 1 and bool(visible[..., :1, :].eq(visible).all())


def _scores(call: InterceptedCall, heads: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return scores (B, heads, T, S) in at least float32, and which keys are visible."""
    import torch

    group = call.query.shape[1] // call.key.shape[1]
    dtype = torch.promote_types(call.query.dtype, torch.float32)
    query = call.query[:, list(heads)].to(dtype)
    key = call.key[:, [head // group for head in heads]].to(dtype)
    scale = query.shape[-1] ** -0.5 if call.scale is None else call.scale
    scores = (query @ key.mT) * scale
    if call.soft_cap is not None:
        scores = call.soft_cap * (scores / call.soft_cap).tanh()
    if call.bias is not None:
        scores = scores + _of_heads(call.bias, heads)
    return scores, _visible(call, heads)


def _visible(call: InterceptedCall, heads: tuple[int, ...]) -> Tensor:
    """Return which keys each query sees, broadcastable to (B, heads, T, S)."""
    import torch

    query_len, key_len = call.query.shape[2], call.key.shape[2]
    visible = torch.ones(1, 1, query_len, key_len, dtype=torch.bool, device=call.query.device)
    if call.causal != "none":
        visible = visible.tril(0 if call.causal == "top_left" else key_len - query_len)
    if call.mask is not None:
        visible = visible & _of_heads(call.mask, heads)
    return visible


def _of_heads(array: Tensor, heads: tuple[int, ...]) -> Tensor:
    return array if array.shape[1] == 1 else array[:, list(heads)]


def _mix_values(
    call: InterceptedCall, heads: tuple[int, ...], weights: Tensor, dropout: float
) -> Tensor:
    from torch.nn import functional

    group = call.query.shape[1] // call.value.shape[1]
    value = call.value[:, [head // group for head in heads]].to(weights.dtype)
    return functional.dropout(weights, dropout) @ value if dropout else weights @ value


def scale_values(plan: Plan, call: InterceptedCall) -> InterceptedCall:
    """Scale the values, so that outputs computed from them are the changed ones."""
    group = plan.target.heads // call.value.shape[1]
    key, value = call.key, call.value
    if group > 1:  # heads that share values may have different scales
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    return replace(call, key=key, value=plan.apply_scale(value))
