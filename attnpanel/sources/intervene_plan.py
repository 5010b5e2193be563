"""What all interventions of a thread together do to one attention call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnpanel.sources.capture_masks import DROWN, HIDDEN
from attnpanel.sources.capture_session import interventions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from attnpanel.sources.intervene_change import Change, Intervention
    from attnpanel.sources.intervene_place import Place


@dataclass(frozen=True, eq=False)
class _Part:
    """One intervention in one call: its change, the heads it means, and its turn in the layer."""

    change: Change
    heads: tuple[int, ...]
    turn: int


class Plan:
    """The changes of one call, the outermost intervention's first.

    Temperatures and scales multiply, masks hide together; weights that are put in place are
    final, and of several the innermost's count.

    Parameters
    ----------
    place : Place
    meant : sequence of Intervention
        Those that mean this call.
    """

    def __init__(self, place: Place, meant: tuple[Intervention, ...]) -> None:
        self.place = place
        self._parts = tuple(
            _Part(one.change, one.chosen(place.heads, place.layer), one.turn(place.layer))
            for one in meant
        )
        changed = {h for part in self._parts if part.change.reweighs for h in part.heads}
        self.heads = tuple(sorted(changed))

    @property
    def replaces(self) -> bool:
        """Whether weights are put in place of the softmax's."""
        return any(part.change.weights is not None for part in self._parts)

    @property
    def hides(self) -> bool:
        """Whether keys are hidden beside those the model hides."""
        return any(part.change.mask is not None for part in self._parts)

    def sharpness(self) -> Tensor:
        """Return 1 / temperature of every head of the call, of shape (H, 1, 1)."""
        import torch

        product = torch.ones(self.place.heads, 1, 1, device=self.place.device)
        for part in self._parts:
            product[list(part.heads)] *= 1 / part.change.temperature
        return product

    def scale(self) -> Tensor:
        """Return what every head's output is multiplied by, of shape (B, H, 1, 1)."""
        import torch

        place = self.place
        product = torch.ones(place.batch, place.heads, 1, 1, device=place.device)
        for part in self._parts:
            if part.change.scale is not None:
                factors = part.change.scale.factors(place, part.heads)
                product[:, list(part.heads)] *= factors[..., None, None]
        return product

    def scaled(self, tensor: Tensor) -> Tensor:
        """Return a tensor (B, H, …, …) times the heads' scales; 0 makes 0 of inf, too."""
        scale = self.scale().to(tensor.dtype)
        return (tensor * scale).masked_fill(scale == 0, 0)

    @property
    def scales(self) -> bool:
        """Whether an output is multiplied."""
        return any(part.change.scale is not None for part in self._parts)

    def visible(self, visible: Tensor, heads: tuple[int, ...]) -> Tensor:
        """Return what queries see of what the model shows, (B, heads, T, S).

        `heads` are this plan's own, or all of the call.
        """
        place = self.place
        full = (place.batch, len(heads), place.query_len, place.key_len)
        seen = visible.expand(full).clone()
        for part in self._parts:
            if part.change.mask is not None:
                at = [heads.index(head) for head in part.heads]
                seen[:, at] &= part.change.mask.visible(place, len(part.heads))
        return seen

    def weights(self, scores: Tensor, visible: Tensor, sinks: Tensor | None = None) -> Tensor:
        """Return the new weights of ``heads``.

        Parameters
        ----------
        scores : float tensor of shape (B, heads, T, S)
            Before temperature and mask.
        visible : bool tensor broadcastable to (B, heads, T, S)
            What the model lets each query see.
        sinks : float tensor of shape (heads,), optional
            A score beside those of each row, without a value; temperature divides it, too.

        Returns
        -------
        float tensor of shape (B, heads, T, S)
            A query that sees no key has weights 0.
        """
        seen = self.visible(visible, self.heads)
        sharpness = self.sharpness()[list(self.heads)].to(scores.dtype)
        if sinks is not None:
            sinks = sinks.to(scores.dtype) * sharpness[:, 0, 0]
        weights = masked_softmax(scores * sharpness, seen, sinks)
        for part in self._parts:
            if part.change.weights is not None:
                at = [self.heads.index(head) for head in part.heads]
                given = part.change.weights.weights(self.place, part.heads, seen[:, at], part.turn)
                weights = weights.index_copy(1, _indices(at, weights), given.to(weights.dtype))
        return weights


def meaning(modules: tuple[nn.Module, ...]) -> tuple[Intervention, ...]:
    """List the interventions that mean a call in these modules, innermost module first."""
    return tuple(one for one in interventions() if one.wants(modules))


def masked_softmax(scores: Tensor, visible: Tensor, sinks: Tensor | None = None) -> Tensor:
    """Return the softmax over the keys that are seen; 0 in rows that see none."""
    import torch

    some = visible.any(-1, keepdim=True)
    # A row of -inf would be nan, and its gradient, too: such a row is computed as it is, then 0.
    shown = scores.masked_fill(~visible & some, -torch.inf)
    if sinks is not None:
        column = sinks.to(scores.dtype)[:, None, None].expand(*scores.shape[:-1], 1)
        shown = torch.cat([shown, column], dim=-1)
    weights = shown.softmax(-1)[..., : scores.shape[-1]]
    return weights.masked_fill(~some, 0)


def split_additive(additive: Tensor) -> tuple[Tensor, Tensor]:
    """Split what is added to scores (…, T, S) into which keys are seen and what is added.

    A row that finite numbers hide throughout sees every key, drowned: see
    :mod:`attnpanel.sources.capture_masks`.
    """
    import torch

    hidden = additive <= max(HIDDEN, torch.finfo(additive.dtype).min / 2)
    finite = ~additive.isneginf().any(-1, keepdim=True)
    drowned = hidden.all(-1, keepdim=True) & finite
    added = additive.float() if additive.dtype.itemsize < 4 else additive
    return ~hidden | drowned, added.masked_fill(hidden, 0).masked_fill(drowned, float(DROWN))


def replace_heads(whole: Tensor, heads: tuple[int, ...], new: Tensor) -> Tensor:
    """Return a tensor (B, H, …) with other numbers in some heads, bit-identical in the rest."""
    return whole.index_copy(1, _indices(list(heads), whole), new.to(whole.dtype))


def _indices(numbers: list[int], like: Tensor) -> Tensor:
    import torch

    return torch.tensor(numbers, device=like.device)
