"""Begin to follow the product of a query with keys, or weights of scores that are no product."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from attnpanel.models.intercept.batched_heads import declared_heads
from attnpanel.models.intercept.call import running_modules
from attnpanel.models.intercept.session import streams
from attnpanel.models.intercept.tracked_scores import (
    A_POSITION,
    CHANNELS,
    IN_PIECES,
    OTHER_ORDER,
    ScoreUse,
    TrackedTensor,
    unscored_weights,
)

if TYPE_CHECKING:
    from torch import Tensor

    from attnpanel.models.intercept.matmul import Product


def scores_of(product: Product, result: Tensor) -> TrackedTensor | None:
    """Return what is known of a product of two activations; None if it cannot be of scores."""
    query, key = product.query_and_key()
    if query is None or key is None:
        if product.scores_in_another_order:
            return unscored_weights(result, reason=OTHER_ORDER)
        return unscored_weights(result, reason=IN_PIECES) if product.scores_own_keys else None
    length = streams().length(product.left)
    if _between_channels(query, length) or streams().axes.between_channels(query):
        return unscored_weights(result, reason=CHANNELS)
    if positions_for_heads(query, length):
        shared = key.dim() > 2 and key.shape[-3] == 1
        return unscored_weights(result, reason=OTHER_ORDER if shared else A_POSITION)
    reordered = any(map(streams().reordered, (product.left, product.right)))
    return TrackedTensor(
        query.detach(),
        key.detach(),
        product.scale,
        ScoreUse(result.shape[-2], result.shape[-1], result.numel(), reordered=reordered),
        None if product.added is None else product.added.detach().expand_as(result),
        several_channels=product.sums_one_axis,
        kind=streams().kind(product.left, product.right),
        sequence_len=length,
        rows=streams().sequences(product.left),
        keys_added=streams().added(product.right),
    )


def placed(tracked: TrackedTensor, product: Product) -> TrackedTensor:
    """Say of weights without queries and keys, which meet values, whose sequences they are of.

    Those made of parameters alone are of whatever they meet.
    """
    weights = product.left
    kind = None if streams().learned(weights) else streams().kind(weights, product.right)
    return replace(tracked, kind=kind, sequence_len=streams().length(weights))


def of_a_sequence(weights: Tensor) -> bool:
    """Whether a softmax over the last axis may be of a whole sequence of queries.

    That of a matrix may also be of one query for each sequence of a batch, as in a recurrent
    decoder.
    """
    if weights.dim() < 2 or not weights.numel():
        return False
    return weights.dim() == 2 or streams().length(weights) in {None, weights.shape[-2]}


def between_sequences(weights: Tensor) -> bool:
    """Whether numbers (…, T, S) may be between the positions of a sequence and of a known one."""
    if weights.dim() < 3 or not weights.is_floating_point() or not weights.numel():
        return False
    query_len, key_len = weights.shape[-2:]
    return streams().has_length(key_len) and streams().length(weights) == query_len


def positions_for_heads(query: Tensor, length: int | None) -> bool:
    """Whether the axis before the last two of a query holds the positions of its sequence.

    It has as many places, is no axis of channels in memory, and the running module does not declare
    as many heads.
    """
    if length is None or query.dim() != 4 or not 1 < query.shape[1] == length != query.shape[2]:
        return False
    channels = streams().axes.of(query)
    is_heads = channels is not None and 1 in channels
    return not is_heads and length not in declared_heads(running_modules())


def _between_channels(query: Tensor, length: int | None) -> bool:
    """Whether a query (…, C, T), transposed, is summed over the positions of its sequence."""
    transposed = query.stride(-2) == 1 < query.stride(-1)
    return transposed and query.shape[-1] == length != query.shape[-2]
