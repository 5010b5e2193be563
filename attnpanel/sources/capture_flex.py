"""Calls of FlexAttention: what its functions of the indices do to the scores, as numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnpanel.sources.capture_seen import SeenCall, running_modules
from attnpanel.sources.capture_session import paused

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# What rounding may leave of a change of the scores that is linear, relative to their size.
ROUNDING = 1e-5
# A score at which tanh is 1, whatever it is divided by before.
FAR = 1e9


def flex_call(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Callable[..., Tensor],
    block_mask: tuple[Any, ...],
    scale: float,
    *_: Any,
) -> SeenCall:
    """Read a call of torch's ``flex_attention`` operator: same parameters.

    A `score_mod` that multiplies all scores by one number, caps them by tanh, adds to them or hides
    them becomes scale, soft cap and bias. Of any other the weights it makes are kept.
    """
    batch, heads, query_len = query.shape[:3]
    key, value = (x.expand(batch, -1, -1, -1) for x in (key, value))
    mask = flex_mask(block_mask, query, key)
    seen = SeenCall(running_modules(), query, key, value, mask=mask, scale=scale)
    if getattr(score_mod, "__name__", "") == "_identity":
        return seen
    with paused():
        return _changed(seen, score_mod, (batch, heads, query_len, key.shape[2]))


def flex_mask(block_mask: tuple[Any, ...], query: Tensor, key: Tensor) -> Tensor:
    """Compute the mask of a ``BlockMask.as_tuple()``, broadcastable to (B, H, T, S)."""
    from torch.nn.attention.flex_attention import create_mask

    # (T, S, blocks a query has, …, the function): the blocks are counted for each batch entry and
    # head that has a mask of its own.
    batch, heads = block_mask[2].shape[:2]
    with paused():
        return create_mask(
            block_mask[-1], batch, heads, query.shape[2], key.shape[2], device=query.device
        )


def _changed(
    seen: SeenCall, score_mod: Callable[..., Tensor], full: tuple[int, int, int, int]
) -> SeenCall:
    """Take what `score_mod` does into scale and bias, or else into weights."""
    import torch

    assert seen.scale is not None  # noqa: S101 - flex_attention has put in its default
    assert seen.mask is not None  # noqa: S101 - and an empty mask
    visible = seen.mask
    # Written for one score, and such code takes all of them at once.
    indices = [
        torch.arange(length, device=seen.query.device).view(
            [-1 if i == axis else 1 for i in range(4)]
        )
        for axis, length in enumerate(full)
    ]
    query, key = seen.query.detach().float(), seen.key.detach().float()
    scores = query @ key.repeat_interleave(full[1] // key.shape[1], dim=1).mT * seen.scale

    def modified(given: Tensor) -> Tensor:
        return score_mod(given, *indices).float().expand(full)

    made, bias = modified(scores), modified(torch.zeros_like(scores))

    def explains(without_bias: Tensor) -> bool:
        # Where both hide a key the difference is nan, and they agree.
        error = (without_bias + bias - made).nan_to_num(nan=0.0).abs()
        return bool((error <= ROUNDING * (1 + made.abs().nan_to_num(posinf=0.0))).all())

    def constant(given: float) -> float:
        """What is made of a score that all pairs have, less what is added; 0 if it isn't one."""
        raised = modified(torch.full_like(scores, given)) - bias
        known = raised[raised.isfinite() & visible]
        return float(known[0]) if known.numel() else 0.0

    added = bias if bool(bias.any()) else None
    slope, cap = constant(1.0), constant(FAR)
    if slope and explains(slope * scores):
        return replace(seen, scale=seen.scale * slope, bias=added)
    if cap and explains(cap * torch.tanh(scores / cap)):
        return replace(seen, soft_cap=cap, bias=added)
    weights = made.masked_fill(~visible, -torch.inf).softmax(-1).nan_to_num(nan=0.0)
    return replace(seen, weights=weights, trusted=False)
