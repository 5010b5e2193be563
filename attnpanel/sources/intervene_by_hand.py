"""Changes attention that is written out: its softmax's weights, and what mixes the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnpanel.sources.capture_folded import heads_in_batch, unfolded
from attnpanel.sources.capture_recorder import TOLERANCE
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
    from attnpanel.sources.capture_products import Product
    from attnpanel.sources.capture_seen import SeenCall
    from attnpanel.sources.intervene_change import Intervention

# How far exponentials over their sum may be from a softmax, at least, or else the precision of the
# weights: more is a mask we don't know of.
SAME = 1e-3


class WrittenOut:
    """The changes of one attention that a model writes out, met where its softmax is done.

    Parameters
    ----------
    plan : Plan
    meant : sequence of Intervention
        Those of the plan. Each is told where its scale has not reached an output.
    """

    def __init__(self, plan: Plan, meant: tuple[Intervention, ...]) -> None:
        self.plan = plan
        self._owing = [one for one in meant if one.change.scale is not None]
        for one in self._owing:
            one.unscaled.append(plan.place.layer)

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
        at = list(plan.heads)
        # In the model's own precision: what hides a key there is but a number in a finer one.
        visible, scores = split_additive(self._four(logits)[:, at])
        own = self._four(weights)
        plain = masked_softmax(scores, visible).detach()
        near = max(SAME, TOLERANCE[str(weights.dtype).removeprefix("torch.")])
        # A row that sees no key is nan.
        blind = ~visible.any(-1, keepdim=True)
        theirs = own[:, at].detach().to(plain.dtype).masked_fill(blind, 0)
        if not torch.allclose(plain, theirs, atol=near):
            raise ValueError(
                f"attention of layer {plan.place.layer!r} can't be changed: its weights are more "
                "than a softmax of its scores; only scale can be changed"
            )
        return replace_heads(own, plan.heads, plan.weights(scores, visible)).reshape(weights.shape)

    def scaled(self, weights: Tensor) -> Tensor:
        """Return weights that give scaled outputs."""
        for one in self._owing:
            one.unscaled.remove(self.plan.place.layer)
        self._owing = []
        return self.plan.scaled(self._four(weights)).reshape(weights.shape)

    def silenced(self, mixed: Tensor, product: Product) -> Tensor:
        """Return the result of the product that mixes values, 0 in heads that are knocked out.

        Weights of 0 alone would make nan of infinite values.
        """
        plan = self.plan
        silent = plan.scale().eq(0).reshape(product.left.shape[:-2])
        where = product.of_result(silent)
        return mixed if where is None or not silent.any() else mixed.masked_fill(where, 0)

    def recorded(self, seen: SeenCall) -> SeenCall:
        """Return what a capture stores, given the call with its changed weights."""
        seen = told_apart(unfolded(seen, self.plan.place.heads))
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
    grouped: bool = False,
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
    grouped : bool, optional
        Whether of five axes the second and third are groups of query heads that share a key.
    kind : {"self", "cross"}, optional
    """
    meant = meaning(modules)
    if not meant:
        return None
    layer = meant[0].layer_of(modules)
    *lead, query_len, key_len = logits.shape
    told = next((one.folded_heads for one in meant if one.folded_heads), None)
    count = heads or _heads(lead, modules, told, grouped=grouped)
    batch = logits.numel() // (count * query_len * key_len)
    first = 0
    if query_len < key_len:
        visible, _ = split_additive(logits.detach().reshape(batch, count, query_len, key_len))
        first = first_position(layer, kind, "none", visible)
    place = Place(layer, batch, count, query_len, key_len, first, logits.device)
    return WrittenOut(Plan(place, meant), meant)


def _heads(
    lead: list[int], modules: tuple[nn.Module, ...], told: int | None, *, grouped: bool
) -> int:
    """How many heads a softmax has whose leading axes are these."""
    if len(lead) == 3 and grouped:
        return lead[1] * lead[2]
    if len(lead) > 1:  # what comes before the heads is batch
        return lead[-1]
    return heads_in_batch(lead[0], modules, told) if lead else 1
