"""Changes attention that is written out: its softmax's weights, and what mixes the values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnpanel.sources.intervene_call import first_position, recorded, scaled_values, told_apart
from attnpanel.sources.intervene_place import Place
from attnpanel.sources.intervene_plan import (
    Plan,
    masked_softmax,
    meaning,
    replace_heads,
    split_additive,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from attnpanel.attention_call import Kind
    from attnpanel.sources.capture_seen import SeenCall

# What model code calls its number of heads, where it folds them into the batch.
HEAD_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead", "heads")
# How far exponentials over their sum may be from a softmax: more is a mask we don't know of.
SAME = 1e-3


class WrittenOut:
    """The changes of one attention that a model writes out, met where its softmax is done.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def weights(self, logits: Tensor, weights: Tensor) -> Tensor:
        """Return the changed weights, in the shape and dtype of the model's own.

        Parameters
        ----------
        logits : tensor of shape (…, T, S)
            What the softmax got.
        weights : tensor of the same shape
            What it gave.

        Raises
        ------
        ValueError
            If the weights are no softmax of `logits`.
        """
        import torch

        plan = self.plan
        if not plan.heads:
            return weights
        dtype = torch.promote_types(logits.dtype, torch.float32)
        at = list(plan.heads)
        visible, scores = split_additive(self._four(logits).to(dtype)[:, at])
        own = self._four(weights)
        plain = masked_softmax(scores, visible).detach()
        if not torch.allclose(plain, own[:, at].detach().to(dtype), atol=SAME):
            raise ValueError(
                f"attention of layer {plan.place.layer!r} can't be changed: its weights are more "
                "than a softmax of its scores; only scale can be changed"
            )
        return replace_heads(own, plan.heads, plan.weights(scores, visible)).reshape(weights.shape)

    def scaled(self, weights: Tensor) -> Tensor:
        """Return weights that give scaled outputs."""
        scale = self.plan.scale().to(weights.dtype)
        return (self._four(weights) * scale).reshape(weights.shape)

    def recorded(self, seen: SeenCall) -> SeenCall:
        """Return what a capture stores, given the call with its changed weights."""
        place = self.plan.place
        if seen.query.shape[:2] != (place.batch, place.heads):
            return seen  # heads in the batch: the weights are stored as they are
        seen = told_apart(seen)
        if self.plan.heads:
            seen = recorded(self.plan, seen, None)
        return scaled_values(self.plan, seen) if self.plan.scales else seen

    def _four(self, tensor: Tensor) -> Tensor:
        place = self.plan.place
        return tensor.reshape(place.batch, place.heads, place.query_len, place.key_len)


def written_out(
    modules: tuple[nn.Module, ...],
    logits: Tensor,
    *,
    heads: int | None = None,
    kind: Kind | None = None,
) -> WrittenOut | None:
    """Find the changes of an attention whose softmax got `logits`; None where nobody means it.

    Parameters
    ----------
    modules : tuple of torch.nn.Module
        The modules that are running, innermost first.
    logits : tensor of shape (…, H, T, S) or (B · H, T, S)
    heads : int, optional
        H, where the caller knows it.
    kind : {"self", "cross"}, optional
    """
    meant = meaning(modules)
    if not meant:
        return None
    layer = meant[0].layer_of(modules)
    *lead, query_len, key_len = logits.shape
    count = heads or _heads(lead, modules)
    batch = logits.numel() // (count * query_len * key_len)
    first = 0
    if query_len < key_len:
        visible, _ = split_additive(logits.detach().reshape(batch, count, query_len, key_len))
        first = first_position(layer, kind, "none", visible)
    return WrittenOut(
        Plan(Place(layer, batch, count, query_len, key_len, first, logits.device), meant)
    )


def _heads(lead: list[int], modules: tuple[nn.Module, ...]) -> int:
    """How many heads a softmax has whose leading axes are these."""
    if len(lead) == 2:
        return lead[1]
    if len(lead) == 3:  # groups of query heads that share a key
        return lead[1] * lead[2]
    if len(lead) != 1:
        return 1
    named: list[Any] = [
        getattr(owner, name, None)
        for module in modules[:1]
        for owner in (module, getattr(module, "config", None))
        for name in HEAD_COUNTS
    ]
    counts = [n for n in named if type(n) is int and n > 0 and lead[0] % n == 0]
    return counts[0] if counts else 1
