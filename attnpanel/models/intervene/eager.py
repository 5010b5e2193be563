"""Apply interventions to attention that a model writes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnpanel.models.intercept.batched_heads import (
    axis_of_heads,
    heads_in_batch,
    refuse_folded,
    refuse_heads_first,
    unfold_heads,
)
from attnpanel.models.intercept.call import running_modules
from attnpanel.models.intercept.session import knock_outs
from attnpanel.models.intercept.tracked_scores import (
    RECOMPUTED,
    ROUNDING,
    precision,
    rows_agree,
)
from attnpanel.models.intervene.apply import (
    call_to_record,
    query_offset,
    scale_values,
    separate_mask,
)
from attnpanel.models.intervene.plan import (
    Plan,
    masked_softmax,
    matching_interventions,
    replace_heads,
    split_additive,
)
from attnpanel.models.intervene.target import CallTarget

if TYPE_CHECKING:
    from torch import Tensor, nn

    from attnpanel.models.intercept.call import InterceptedCall
    from attnpanel.models.intercept.loop_turns import Place
    from attnpanel.models.intercept.matmul import Product
    from attnpanel.models.intercept.tracked_scores import TrackedTensor
    from attnpanel.trace.call import Kind


class EagerIntervention:
    """The interventions on one attention that a model writes out, created at its softmax.

    Parameters
    ----------
    plan : Plan
        Each of its interventions notes the layer as unscaled until its scale reaches an output.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._unscaled = [i for i in plan.active if i.change.scale is not None]
        for intervention in self._unscaled:
            intervention.unscaled.append(plan.target.layer)

    def change_weights(self, logits: Tensor, weights: Tensor) -> Tensor:
        """Return the changed weights, in the shape and dtype of the model's own.

        Parameters
        ----------
        logits : tensor of shape (…, T, S)
            The softmax's input.
        weights : tensor of the same shape
            The softmax's result.

        Raises
        ------
        ValueError
            If the weights are not a softmax of `logits`.
        """
        plan = self.plan
        if not plan.heads:
            return weights
        heads = list(plan.heads)
        # In the model's own precision, in which a mask's large number hides keys.
        visible, scores = split_additive(self._four_axes(logits)[:, heads])
        own = self._four_axes(weights)
        expected = masked_softmax(scores, visible).detach()
        # The model's weights are nan in a row that sees no key.
        empty = ~visible.any(-1, keepdim=True)
        actual = own[:, heads].detach().to(expected.dtype).masked_fill(empty, 0)
        # More means a mask that was not recognised.
        if not rows_agree(actual, expected, RECOMPUTED[precision(weights)]):
            raise ValueError(
                f"attention of layer {plan.target.layer!r} cannot be changed: its weights are not "
                "the softmax of its scores alone; only scale can be changed"
            )
        return replace_heads(own, plan.heads, plan.weights(scores, visible)).reshape(weights.shape)

    def refuse_other_weights(self) -> None:
        """Raise ValueError if the weights themselves are to be changed, and not only scaled."""
        if self.plan.heads:
            raise ValueError(
                f"attention of layer {self.plan.target.layer!r} cannot be changed: its weights are "
                "not the softmax of its scores alone; only scale can be changed"
            )

    def note_other_weights(self, tracked: TrackedTensor, used: Tensor) -> None:
        """Note if the model has changed its weights again since an intervention changed them."""
        changed, dropout = tracked.weights, tracked.dropout
        if not self.plan.heads or changed is None:
            return
        before = used if dropout is None else dropout.before
        tolerance = max(1e-4, ROUNDING[precision(used)])
        same = before.numel() == changed.numel() and rows_agree(
            before.detach().reshape(changed.shape), changed, tolerance
        )
        if dropout is None:
            same = same and not tracked.use.written
        else:
            after = dropout.after
            same = same and dropout.untouched() and after.numel() == used.numel()
            same = same and rows_agree(used, after.reshape(used.shape), tolerance)
        if same:
            return
        for intervention in self.plan.active:
            if intervention.change.changes_weights:
                intervention.altered[self.plan.target.layer] = None

    def scale_weights(self, weights: Tensor) -> Tensor:
        """Return weights that give scaled outputs."""
        for intervention in self._unscaled:
            intervention.unscaled.remove(self.plan.target.layer)
        self._unscaled = []
        return self.plan.apply_scale(self._four_axes(weights)).reshape(weights.shape)

    def zero_knocked_out(self, mixed: Tensor, product: Product) -> Tensor:
        """Set the mixed values of knocked-out heads to 0.

        Weights of 0 alone would turn infinite values into nan.
        """
        plan = self.plan
        silent = plan.knocked_out().reshape(product.left.shape[:-2])
        where = product.expand_to_result(silent)
        if where is None or not silent.any():
            return mixed
        if product.added is None:
            mixed = mixed.masked_fill(where, 0)
        else:
            mixed = product.added.to(mixed.dtype).where(where, mixed)
        knock_outs().watch(mixed, where.expand_as(mixed), plan, running_modules())
        return mixed

    def call_to_record(self, call: InterceptedCall) -> InterceptedCall:
        """Return what a capture stores, given the call with its changed weights."""
        call = separate_mask(unfold_heads(call, self.plan.target.heads))
        if self.plan.heads:
            call = call_to_record(self.plan, call, None)
        return scale_values(self.plan, call) if self.plan.scales_output else call

    def _four_axes(self, tensor: Tensor) -> Tensor:
        target = self.plan.target
        return tensor.reshape(target.batch, target.heads, target.query_len, target.key_len)


def eager_intervention(
    modules: tuple[nn.Module, ...],
    logits: Tensor,
    *,
    heads: int | None = None,
    grouped: bool = False,
    kind: Kind | None = None,
    sequence_len: int | None = None,
    keys_added: int = 0,
    places: tuple[Place, ...] = (),
    heads_first: int = 0,
) -> EagerIntervention | None:
    """Return the interventions on a softmax of `logits`; None if none applies to its layer.

    Parameters
    ----------
    modules : tuple of torch.nn.Module
        The running modules, innermost first.
    logits : tensor of shape (…, H, T, S) or (B · H, T, S)
    heads : int, optional
        H, where the caller knows it.
    grouped : bool, optional
        Whether, of five axes, the second and third are groups of query heads that share a key.
    kind : {"self", "cross"}, optional
    sequence_len : int, optional
        The length of the sequence that the queries belong to.
    keys_added : int, optional
        How many keys follow those of a sequence, as an added bias does.
    places : tuple of Place, optional
        Where query and key lie in memory.
    heads_first : int, optional
        H, if the heads come before the batch.

    Raises
    ------
    ValueError
        If a head is chosen, and which are in the batch cannot be told.
    """
    active = matching_interventions(modules)
    if not active:
        return None
    layer = active[0].layer_of(modules)
    *lead, query_len, key_len = logits.shape
    folded_heads = next((i.folded_heads for i in active if i.folded_heads), None)
    count = heads or _count_heads(lead, modules, folded_heads, grouped=grouped)
    batch = logits.numel() // (count * query_len * key_len)
    q_offset = 0
    if keys_added:
        q_offset = max(key_len - keys_added - query_len, 0)
    elif query_len < key_len:
        visible, _ = split_additive(logits.detach().reshape(batch, count, query_len, key_len))
        q_offset = query_offset(layer, kind, "none", visible)
    sizes = batch, count, query_len, key_len
    chosen = any(i.heads is not None for i in active)
    if chosen:
        refuse_heads_first(heads_first, layer)
    if len(lead) == 1 and chosen:
        refuse_folded(lead[0], count, query_len, sequence_len, modules)
    if chosen and not grouped and axis_of_heads(lead, modules) < len(lead) - 1:
        raise ValueError(
            f"heads must be the axis before the queries to be chosen; in layer {layer!r} the "
            f"axes before the queries are {tuple(lead)}"
        )
    target = CallTarget(
        layer, *sizes, q_offset, logits.device, sequence_len, places, folded=len(lead) == 1
    )
    return EagerIntervention(Plan(target, active))


def _count_heads(
    lead: list[int], modules: tuple[nn.Module, ...], folded_heads: int | None, *, grouped: bool
) -> int:
    """Return the number of heads of a softmax with these leading axes."""
    if len(lead) == 3 and grouped:
        return lead[1] * lead[2]
    if len(lead) > 1:  # what comes before the heads is batch
        return lead[-1]
    return heads_in_batch(lead[0], modules, folded_heads) if lead else 1
