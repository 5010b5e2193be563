"""Combine all interventions of a thread that apply to one attention call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnpanel.models.intercept.masks import HIDDEN_BELOW, UNIFORM_ROW_BIAS
from attnpanel.models.intercept.session import interventions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from attnpanel.models.intervene.intervention import AttentionChange, Intervention
    from attnpanel.models.intervene.target import CallTarget


@dataclass(frozen=True, eq=False)
class _Part:
    """One intervention on one call: its change, its heads, and the call's number in the layer."""

    change: AttentionChange
    heads: tuple[int, ...]
    call_number: int


class Plan:
    """The changes of one call, the outermost intervention's first.

    Temperatures and scales multiply, and masks hide together. Replaced weights are not changed
    further; of several, the innermost apply.

    Parameters
    ----------
    target : CallTarget
    active : sequence of Intervention
        The interventions that apply to the call's layer.
    """

    def __init__(self, target: CallTarget, active: tuple[Intervention, ...]) -> None:
        self.target = target
        numbered = [(intervention, intervention.begin_call(target)) for intervention in active]
        chosen = [(i, number) for i, number in numbered if number is not None]
        # Those that change this pass of the layer.
        self.active = tuple(intervention for intervention, _ in chosen)
        self._parts = tuple(
            _Part(
                intervention.change, intervention.heads_of(target.layer, target.heads), call_number
            )
            for intervention, call_number in chosen
        )
        changed = {h for part in self._parts if part.change.changes_weights for h in part.heads}
        self.heads = tuple(sorted(changed))

    @property
    def replaces_weights(self) -> bool:
        """Whether the softmax's weights are replaced."""
        return any(part.change.weights is not None for part in self._parts)

    @property
    def hides_keys(self) -> bool:
        """Whether keys are hidden in addition to those the model hides."""
        return any(part.change.mask is not None for part in self._parts)

    def sharpness(self) -> Tensor:
        """Return 1 / temperature of every head of the call, of shape (H, 1, 1)."""
        import torch

        product = torch.ones(self.target.heads, 1, 1, device=self.target.device)
        for part in self._parts:
            product[list(part.heads)] *= 1 / part.change.temperature
        return product

    def scale(self) -> Tensor:
        """Return the factor of every head's output, of shape (B, H, 1, 1)."""
        import torch

        target = self.target
        product = torch.ones(target.batch, target.heads, 1, 1, device=target.device)
        for part in self._parts:
            if part.change.scale is not None:
                factors = part.change.scale.factors(target, part.heads)
                product[:, list(part.heads)] *= factors[..., None, None]
        return product

    def apply_scale(self, tensor: Tensor) -> Tensor:
        """Multiply a tensor (B, H, …, …) by the heads' scales; 0 times inf gives 0."""
        scale = self.scale().to(tensor.dtype)
        return (tensor * scale).masked_fill(scale == 0, 0)

    def knocked_out(self) -> Tensor:
        """Return which heads give nothing, a bool tensor of shape (B, H, 1, 1)."""
        return self.scale().eq(0)

    @property
    def scales_output(self) -> bool:
        """Whether an output is multiplied."""
        return any(part.change.scale is not None for part in self._parts)

    def visible(self, visible: Tensor, heads: tuple[int, ...]) -> Tensor:
        """Return which keys queries see, (B, heads, T, S), given those the model shows.

        `heads` are this plan's own, or all of the call.
        """
        target = self.target
        full = (target.batch, len(heads), target.query_len, target.key_len)
        result = visible.expand(full).clone()
        for part in self._parts:
            if part.change.mask is not None:
                positions = [heads.index(head) for head in part.heads]
                result[:, positions] &= part.change.mask.visible(target, len(part.heads))
        return result

    def weights(self, scores: Tensor, visible: Tensor, sinks: Tensor | None = None) -> Tensor:
        """Return the new weights of ``heads``.

        Parameters
        ----------
        scores : float tensor of shape (B, heads, T, S)
            Before temperature and the interventions' masks.
        visible : bool tensor broadcastable to (B, heads, T, S)
            Which keys the model lets each query see.
        sinks : float tensor of shape (heads,), optional
            The score of each head's attention sink; temperature divides it, too.

        Returns
        -------
        float tensor of shape (B, heads, T, S)
            A query that sees no key has weights 0.
        """
        visible = self.visible(visible, self.heads)
        sharpness = self.sharpness()[list(self.heads)].to(scores.dtype)
        if sinks is not None:
            sinks = sinks.to(scores.dtype) * sharpness[:, 0, 0]
        weights = masked_softmax(scores * sharpness, visible, sinks)
        for part in self._parts:
            rule = part.change.weights
            if rule is not None:
                positions = [self.heads.index(head) for head in part.heads]
                new = rule.weights(self.target, part.heads, visible[:, positions], part.call_number)
                indices = _indices(positions, weights)
                weights = weights.index_copy(1, indices, new.to(weights.dtype))
        return weights


def matching_interventions(modules: tuple[nn.Module, ...]) -> tuple[Intervention, ...]:
    """Return the interventions that apply to a call in these modules, innermost module first."""
    return tuple(intervention for intervention in interventions() if intervention.targets(modules))


def masked_softmax(scores: Tensor, visible: Tensor, sinks: Tensor | None = None) -> Tensor:
    """Return the softmax over the visible keys; 0 in rows that see none."""
    import torch

    not_empty = visible.any(-1, keepdim=True)
    # A row of -inf would give nan, also in the gradient: such a row is computed unmasked, then set
    # to 0.
    masked = scores.masked_fill(~visible & not_empty, -torch.inf)
    if sinks is not None:
        column = sinks.to(scores.dtype)[:, None, None].expand(*scores.shape[:-1], 1)
        masked = torch.cat([masked, column], dim=-1)
    weights = masked.softmax(-1)[..., : scores.shape[-1]]
    return weights.masked_fill(~not_empty, 0)


def split_additive(additive: Tensor) -> tuple[Tensor, Tensor]:
    """Split an additive mask or masked scores (…, T, S) into visible keys and a bias.

    A row that finite numbers hide entirely gets uniform weights: see
    :mod:`attnpanel.models.intercept.masks`.
    """
    import torch

    hidden = additive <= max(HIDDEN_BELOW, torch.finfo(additive.dtype).min / 2)
    finite = ~additive.isneginf().any(-1, keepdim=True)
    uniform = hidden.all(-1, keepdim=True) & finite
    bias = additive.float() if additive.dtype.itemsize < 4 else additive
    bias = bias.masked_fill(hidden, 0).masked_fill(uniform, float(UNIFORM_ROW_BIAS))
    return ~hidden | uniform, bias


def replace_heads(tensor: Tensor, heads: tuple[int, ...], new: Tensor) -> Tensor:
    """Replace some heads of a tensor (B, H, …); the others stay bit-identical."""
    return tensor.index_copy(1, _indices(list(heads), tensor), new.to(tensor.dtype))


def _indices(numbers: list[int], like: Tensor) -> Tensor:
    import torch

    return torch.tensor(numbers, device=like.device)
