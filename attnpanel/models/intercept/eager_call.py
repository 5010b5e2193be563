"""Make an intercepted call of the tensors that the eager tracker has followed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.batched_heads import axis_of_heads
from attnpanel.models.intercept.call import InterceptedCall
from attnpanel.models.intercept.tracked_scores import (
    RECOMPUTED,
    ROUNDING,
    TrackedTensor,
    explained_weights,
    precision,
    rows_agree,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def make_call(
    tracked: TrackedTensor, left: Tensor, value: Tensor, modules: tuple[Any, ...]
) -> InterceptedCall:
    """Make the call of an attention whose weights were multiplied with the values.

    Parameters
    ----------
    tracked : TrackedTensor
        At any stage from weights on.
    left : tensor of shape (…, T, S)
        The left side of the product with the values.
    value : tensor of shape (…, S, Dv)
    modules : tuple of torch.nn.Module
        The running modules, innermost first.

    Returns
    -------
    InterceptedCall
        All tensors with the leading axes (B, H).
    """
    import torch

    query, key = tracked.query, tracked.key
    if left.shape[-2] != query.shape[-2] and left.shape[-2] == key.shape[-2]:
        query, key = key, query  # weights of keys over queries, transposed
    # Heads may be folded into the batch in some of the tensors: the longest shape separates them.
    parts = [left, value, query, *([] if tracked.weights is None else [tracked.weights])]
    leads = [x.shape[:-2] for x in parts]
    lead = max(leads, key=len)
    grouped = len(lead) == 3 and tracked.grouped
    if len(lead) > 2 and 1 in lead and not grouped:  # an axis of length 1 is no axis of heads
        lead = next((x for x in leads if len(x) == 2 and x.numel() == lead.numel()), lead)

    heads = axis_of_heads(lead, modules)

    def four_axes(x: Tensor) -> Tensor:
        same = x.shape[:-2].numel() == lead.numel()
        full = x.reshape(*lead, *x.shape[-2:]) if same else x.expand(*lead, -1, -1)
        if full.dim() > 4:
            return full.flatten(1, 2) if grouped else full.movedim(heads, -3).flatten(0, -4)
        return full[(None,) * (4 - full.dim())] if full.dim() != 3 else full.unsqueeze(1)

    weights, changed = _used_weights(tracked, left, four_axes)
    if changed:
        shape = weights.shape[:2]
        query, key = (_of_heads(four_axes(x), shape) for x in (query, key))
        if key.shape[2] < weights.shape[3]:  # scores of no key were joined, such as a sink's
            rest = weights.shape[3] - key.shape[2]
            key = torch.cat([key, key.new_zeros(*key.shape[:2], rest, key.shape[3])], 2)
    else:
        query, key = four_axes(query), four_axes(key)
    call = InterceptedCall(
        modules,
        query,
        key,
        four_axes(value),
        mask=None if tracked.added is None or changed else four_axes(tracked.added),
        scale=tracked.scale,
        soft_cap=tracked.soft_cap,
        kind=tracked.kind,
        weights=weights,
        trusted=tracked.trusted and not changed,
        folded=len(lead) == 1,
        q_offset=offset_before(tracked.keys_added, query, key),
        sequence_len=tracked.sequence_len,
        rows=tracked.rows,
        use=tracked.use,
    )
    intervention = tracked.intervention
    return call if intervention is None else intervention.call_to_record(call)


def offset_before(keys_added: int, query: Tensor, key: Tensor) -> int | None:
    """Return the position of the first query (…, T, D) among keys (…, S, D) that end with others.

    None if no others were added.
    """
    if not keys_added:  # nested tensors have no numbers of keys to subtract
        return None
    return max(key.shape[-2] - keys_added - query.shape[-2], 0)


def divided(
    tracked: TrackedTensor, total: Tensor, modules: tuple[Any, ...]
) -> Callable[[], InterceptedCall]:
    """Return what makes the call of exponentials that met values before the division by their sum.

    Parameters
    ----------
    tracked : TrackedTensor
        At the stage "numerator".
    total : tensor of shape (…, T, 1) or (…, T)
    modules : tuple of torch.nn.Module
    """
    exponentials, value = tracked.weights, tracked.value
    assert exponentials is not None  # noqa: S101 - set with the stage
    assert value is not None  # noqa: S101
    weights = exponentials / total.reshape(*exponentials.shape[:-1], 1)
    met = replace(tracked, stage="exp", weights=None)
    return lambda: make_call(met, weights, value, modules)


def _of_heads(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Expand or cut (B, H, …) to the heads of mixed weights; its numbers are not used."""
    return tensor[:, :1].expand(*shape, -1, -1) if tensor.shape[:2] != shape else tensor


def _used_weights(
    tracked: TrackedTensor, left: Tensor, four_axes: Callable[[Tensor], Tensor]
) -> tuple[Tensor, bool]:
    """Return the weights that the model mixed the values by, and whether it had changed them.

    Dropout is no part of them: they are compared before it.

    Raises
    ------
    ValueError
        If they were changed after a dropout, so that the two cannot be told apart.
    """
    tolerance = max(1e-4, *(ROUNDING[precision(x)] for x in (left, tracked.key)))
    softmax = tracked.weights if tracked.stage == "weights" else None
    if tracked.use.written or tracked.stage == "exp":
        softmax = explained_weights(tracked) if tracked.intervention is None else None
        tolerance = max(RECOMPUTED[precision(x)] for x in (left, tracked.key))
    used, dropout = four_axes(left), tracked.dropout
    if dropout is not None:
        if dropout.probability >= 1:
            raise ValueError("its dropout keeps none of its weights; call eval() first")
        # Written over by a dropout in place, its input can be told from the softmax alone.
        before = softmax if tracked.use.written else dropout.before
        expected = None if before is None else four_axes(before)
        after = four_axes(dropout.after)
        unchanged = dropout.untouched() and used.shape == after.shape
        if expected is None or not (
            unchanged
            and rows_agree(used, after, tolerance)
            and rows_agree(used * (1 - dropout.probability), expected * (after != 0), tolerance)
        ):
            raise ValueError(
                "its weights are changed after a dropout that is at work, so that the two cannot "
                "be told apart; call eval() first"
            )
        used = expected
    own = None if softmax is None else four_axes(softmax)
    if own is not None and used.shape == own.shape and rows_agree(used, own, tolerance):
        # Query and key give a row that sees no key another weight than nan.
        return used, bool(own.isnan().any())
    return used, True
