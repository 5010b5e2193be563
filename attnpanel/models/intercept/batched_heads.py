"""Split heads that a model folds into the batch axis, (B · H, T, D), into (B, H, T, D)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnpanel.attention.validation import check_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from attnpanel.models.intercept.call import InterceptedCall

# Attribute names by which model code declares its number of heads.
HEAD_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead", "heads")


def check_folded_heads(folded_heads: int | None) -> None:
    """Raise ValueError unless `folded_heads` is None or an integer from 1."""
    if folded_heads is not None:
        check_count("folded_heads", folded_heads)
        if folded_heads < 1:
            raise ValueError(f"folded_heads must be at least 1; got {folded_heads}")


def heads_in_batch(
    batch: int, modules: tuple[nn.Module, ...], folded_heads: int | None = None
) -> int:
    """Return how many heads per sequence are folded into a batch axis of length B · H.

    Parameters
    ----------
    batch : int
        B · H.
    modules : tuple of torch.nn.Module
        The running modules, innermost first. The innermost, or its `config`, may declare the
        number of heads.
    folded_heads : int, optional
        The number of heads, where the caller knows it.

    Returns
    -------
    int
        1 if nothing declares a number that divides `batch`.

    Raises
    ------
    ValueError
        If `folded_heads` does not divide `batch`.
    """
    if folded_heads is not None:
        if batch % folded_heads:
            raise ValueError(
                f"folded_heads={folded_heads} must divide the batch, B · H; got {batch}"
            )
        return folded_heads
    declared = (n for n in declared_heads(modules) if batch % n == 0)
    return next(declared, 1)


def declared_heads(modules: tuple[nn.Module, ...]) -> list[int]:
    """Return the numbers of heads that the innermost module, or its `config`, declares."""
    found: list[Any] = [
        getattr(owner, name, None)
        for module in modules[:1]
        for owner in (module, getattr(module, "config", None))
        for name in HEAD_COUNTS
    ]
    return [number for number in found if type(number) is int and number > 0]


def axis_of_heads(lead: Sequence[int], modules: tuple[nn.Module, ...]) -> int:
    """Return which of the axes before the queries has the heads, where it may be any.

    The last one, unless the innermost module declares as many heads as another one has places.
    """
    last = len(lead) - 1
    declared = declared_heads(modules)
    if len(lead) < 3 or lead[last] in declared:
        return last
    found = [axis for axis in range(1, last) if lead[axis] in declared]
    return found[0] if len(found) == 1 else last


def in_blocks(weights: Tensor, length: int | None, modules: tuple[nn.Module, ...]) -> bool:
    """Whether weights (…, T, S) are those of blocks of a sequence, or of one that is padded."""
    lead = weights.shape[:-2]
    heads = axis_of_heads(lead, modules)
    blocks = math.prod(size for axis, size in enumerate(lead) if axis not in {0, heads})
    return blocks > 1 or (length is not None and weights.shape[-2] > length)


def blocks_among_heads(call: InterceptedCall) -> bool:
    """Whether the axis of heads holds each head several times, for blocks of a longer sequence."""
    length, (_, heads, query_len, _) = call.sequence_len, call.query.shape
    if length is None or query_len >= length:
        return False
    blocks = -(-length // query_len)
    return heads in {blocks * number for number in declared_heads(call.modules)}


def positions_in_batch(call: InterceptedCall) -> bool:
    """Whether the batch may hold the positions of a sequence, each with one query of its own."""
    length, (batch, _, query_len, _) = call.sequence_len, call.query.shape
    return query_len == 1 and length is not None and length > 1 and batch % length == 0


def refuse_folded(
    batch: int,
    heads: int,
    query_len: int,
    sequence_len: int | None,
    modules: tuple[nn.Module, ...],
) -> None:
    """Raise ValueError if an axis (B · H) or (H · T) may hold what nobody can separate.

    Blocks of a longer sequence may be folded into the batch before or after its heads, and heads
    into the queries before or after these.
    """
    if not sequence_len:
        return
    if heads > 1 and query_len < sequence_len and batch > heads:
        raise ValueError(
            f"heads folded into the batch must come without blocks of a sequence; got {batch} rows "
            f"of {query_len} queries for {heads} heads and a sequence of {sequence_len}"
        )
    for number in declared_heads(modules):
        if query_len == number * sequence_len > sequence_len:
            raise ValueError(
                "heads must have an axis of their own, or be folded into the batch; got "
                f"{query_len} queries of {number} heads and a sequence of {sequence_len}"
            )


def heads_first(call: InterceptedCall) -> int:
    """Return H of a call (H, B, T, D) or (H · B, 1, T, D) by its memory; 0 if B comes first."""
    from attnpanel.models.intercept.session import (
        streams,  # with torch, which servers start without
    )

    axes = streams().axes
    found = (axes.heads_first(x, folded=call.folded) for x in (call.query, call.key, call.value))
    return next((heads for heads in found if heads is not None), 0)


def refuse_heads_first(heads: int, layer: str) -> None:
    """Raise ValueError where a head is chosen among heads that come before the batch."""
    if heads > 1:
        raise ValueError(
            "heads must come after the batch to be chosen; layer "
            f"{layer!r} puts its {heads} heads before it"
        )


def batch_first(call: InterceptedCall) -> InterceptedCall:
    """Exchange the first two axes of a call (H, B, T, D) whose heads come before the batch."""
    if call.folded or not heads_first(call):
        return call
    query, key, value = (x.transpose(0, 1) for x in (call.query, call.key, call.value))
    weights, mask, bias = (
        x if x is None or x.dim() < 4 else x.transpose(0, 1)
        for x in (call.weights, call.mask, call.bias)
    )
    return replace(call, query=query, key=key, value=value, weights=weights, mask=mask, bias=bias)


def unfold_heads(call: InterceptedCall, heads: int) -> InterceptedCall:
    """Reshape a call of shape (B · H, 1, T, D), or (H · B, 1, T, D), to (B, H, T, D)."""
    if not call.folded or heads == 1:
        return call
    batch, first = call.query.shape[0], heads_first(call)
    heads = first or heads

    def split(tensor: Tensor | None) -> Tensor | None:
        """Split one tensor; leave it as it is if the whole batch shares it."""
        if tensor is None or tensor.dim() < 4 or tensor.shape[0] != batch:
            return tensor
        if first:
            return tensor.reshape(heads, batch // heads, *tensor.shape[2:]).transpose(0, 1)
        return tensor.reshape(batch // heads, heads, *tensor.shape[2:])

    tensors = {name: split(getattr(call, name)) for name in ("query", "key", "value", "weights")}
    return replace(
        call,
        **tensors,  # type: ignore[arg-type]  # a dict does not say which of them may be None
        mask=split(call.mask),
        bias=split(call.bias),
        folded=False,
    )
