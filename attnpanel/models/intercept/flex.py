"""Read and change calls of FlexAttention, whose masks and biases are functions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.call import InterceptedCall, running_modules
from attnpanel.models.intercept.session import interventions, paused, streams
from attnpanel.models.intervene.apply import apply_interventions

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# Rounding error allowed when a score_mod is taken for a linear one, relative to the scores.
ROUNDING = 1e-5
# A score so large that tanh of it is 1, whatever a soft cap divides it by.
SATURATED_SCORE = 1e9


def flex_call(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Callable[..., Tensor],
    block_mask: tuple[Any, ...],
    scale: float,
    *_: Any,
) -> InterceptedCall:
    """Read a call of torch's ``flex_attention`` operator, which has the same parameters.

    A `score_mod` that multiplies all scores by one number, caps them by tanh, adds to them or hides
    some becomes scale, soft cap and bias. Of any other, the weights that it gives are recorded.
    """
    batch, heads, query_len = query.shape[:3]
    kind = streams().kind(query, key)
    key, value = (x.expand(batch, -1, -1, -1) for x in (key, value))
    mask = flex_mask(block_mask, query, key)
    call = InterceptedCall(running_modules(), query, key, value, mask=mask, scale=scale, kind=kind)
    if getattr(score_mod, "__name__", "") == "_identity":
        return call
    with paused():
        return _apply_score_mod(call, score_mod, (batch, heads, query_len, key.shape[2]))


def flex_mask(block_mask: tuple[Any, ...], query: Tensor, key: Tensor) -> Tensor:
    """Compute the mask of a ``BlockMask.as_tuple()``, broadcastable to (B, H, T, S)."""
    from torch.nn.attention.flex_attention import create_mask

    # The tuple is (T, S, block counts, …, mask_mod). The counts have the batch entries and heads
    # that have a mask of their own.
    batch, heads = block_mask[2].shape[:2]
    with paused():
        return create_mask(
            block_mask[-1], batch, heads, query.shape[2], key.shape[2], device=query.device
        )


def _apply_score_mod(
    call: InterceptedCall, score_mod: Callable[..., Tensor], full: tuple[int, int, int, int]
) -> InterceptedCall:
    """Express what `score_mod` does as scale, soft cap and bias, or else as weights."""
    import torch

    assert call.scale is not None  # noqa: S101 - flex_attention has put in its default
    assert call.mask is not None  # noqa: S101 - and an empty mask
    visible = call.mask
    # A score_mod is written for one score; its code takes all of them at once.
    indices = [
        torch.arange(length, device=call.query.device).view(
            [-1 if i == axis else 1 for i in range(4)]
        )
        for axis, length in enumerate(full)
    ]
    query, key = call.query.detach().float(), call.key.detach().float()
    scores = query @ key.repeat_interleave(full[1] // key.shape[1], dim=1).mT * call.scale

    def modify(before: Tensor) -> Tensor:
        return score_mod(before, *indices).float().expand(full)

    modified, bias = modify(scores), modify(torch.zeros_like(scores))

    def explains(without_bias: Tensor) -> bool:
        # Where both hide a key the difference is nan, and they agree.
        error = (without_bias + bias - modified).nan_to_num(nan=0.0).abs()
        return bool((error <= ROUNDING * (1 + modified.abs().nan_to_num(posinf=0.0))).all())

    def response(score: float) -> float:
        """What a score becomes, without the bias, at the first visible pair; 0 if there is none."""
        after = modify(torch.full_like(scores, score)) - bias
        finite = after[after.isfinite() & visible]
        return float(finite[0]) if finite.numel() else 0.0

    added = bias if bool(bias.any()) else None
    slope, cap = response(1.0), response(SATURATED_SCORE)
    if slope and explains(slope * scores):
        return replace(call, scale=call.scale * slope, bias=added)
    if cap and explains(cap * torch.tanh(scores / cap)):
        return replace(call, soft_cap=cap, bias=added)
    weights = modified.masked_fill(~visible, -torch.inf).softmax(-1).nan_to_num(nan=0.0)
    return replace(call, weights=weights, trusted=False)


def apply_to_flex(
    args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> tuple[Any, Callable[[], InterceptedCall]]:
    """Apply the interventions to a FlexAttention call that has run.

    Returns
    -------
    (result, function)
        The changed result, and what reads the call to record.
    """

    def read() -> InterceptedCall:
        return flex_call(*args, **kwargs)

    if not interventions():
        return result, read
    modules = running_modules()
    new = apply_interventions(modules, read, result[0])
    if new is None:
        return result, read
    new.watch(new.output, modules, lambda flags: flags)
    return (new.output, *result[1:]), lambda: new.call
