"""Apply interventions to the attention that an eager tracker follows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.call import running_modules
from attnpanel.models.intercept.eager import EagerTracker
from attnpanel.models.intercept.loop_turns import place_of
from attnpanel.models.intercept.matmul import Product, product_of
from attnpanel.models.intercept.session import streams
from attnpanel.models.intercept.torch_operators import operators
from attnpanel.models.intervene.eager import EagerIntervention, eager_intervention

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from attnpanel.models.intercept.tracked_scores import TrackedTensor


class ChangingTracker(EagerTracker):
    """An eager tracker that changes weights and outputs, too."""

    def change_result(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
    ) -> Any:
        """Apply the interventions to a function's result: attention weights or mixed values."""
        known = operators()
        scaled = self._find_scaled(func, args, kwargs)
        if scaled is not None:
            product, scaling = scaled
            mixed = scaling.zero_knocked_out(result, product)
            if result in self._tracked:
                self._tracked[mixed] = self._tracked[result]
            return mixed
        makes_weights = func in known["softmax"] | known["div"] | known["exp"]
        tracked = self._tracked.get(result) if makes_weights else None
        if tracked is None or tracked.logits is None or tracked.stage != "weights":
            return result
        intervention = _intervention(tracked, tracked.logits)
        if intervention is None:
            return result
        tracked.use.intervened = True
        weights = intervention.change_weights(tracked.logits, result)
        self._tracked[weights] = replace(
            tracked, weights=weights.detach(), logits=None, intervention=intervention
        )
        return weights

    def change_arguments(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Apply the interventions' output scales to the weights that a function mixes values by."""
        self._intervene_on_derived(func, args, kwargs)
        scaled = self._find_scaled(func, args, kwargs)
        if scaled is None:
            return args, kwargs
        product, intervention = scaled
        left = intervention.scale_weights(product.left)
        self._tracked[left], self._unscaled[left] = self._tracked[product.left], product.left
        changed: tuple[tuple[Any, ...], dict[str, Any]] = _substitute(
            (args, kwargs), product.left, left
        )
        return changed

    def _find_scaled(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Product, EagerIntervention] | None:
        """Find the intervention that scales the output of a product which mixes values."""
        product = product_of(func, args, kwargs)
        if product is None or not product.mixes_values:
            return None
        tracked = self._tracked.get(product.left)
        intervention = None if tracked is None else tracked.intervention
        if intervention is None or not intervention.plan.scales_output:
            return None
        if not self._meets_values(product, tracked):
            return None
        return product, intervention

    def _intervene_on_derived(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Let the interventions see weights that are not the softmax of scores, before their use.

        Raises
        ------
        ValueError
            If an intervention changes the weights themselves.
        """
        product = product_of(func, args, kwargs)
        tracked = None if product is None else self._tracked.get(product.left)
        if product is None or tracked is None or not self._meets_values(product, tracked):
            return
        intervention = tracked.intervention
        if intervention is None and tracked.stage != "weights":
            intervention = _intervention(tracked, product.left)
            if intervention is not None:
                tracked.use.intervened = True
                self._tracked[product.left] = replace(tracked, intervention=intervention)
        if intervention is not None and (tracked.stage != "weights" or tracked.mixes_heads):
            intervention.refuse_other_weights()
        if intervention is not None:
            intervention.note_other_weights(tracked, product.left)


def _intervention(tracked: TrackedTensor, logits: Tensor) -> EagerIntervention | None:
    return eager_intervention(
        running_modules(),
        logits,
        grouped=tracked.grouped,
        kind=tracked.kind,
        sequence_len=tracked.sequence_len,
        keys_added=tracked.keys_added,
        places=(place_of(tracked.query), place_of(tracked.key)) if tracked.scored else (),
        heads_first=_heads_first(tracked) if tracked.scored else 0,
    )


def _heads_first(tracked: TrackedTensor) -> int:
    """Return H if the scores' heads come before the batch, by the memory of query and key.

    Scores may have an axis of heads where query and key have folded theirs.
    """
    axes = streams().axes
    found = (
        axes.heads_first(x.unsqueeze(1) if x.dim() == 3 else x, folded=x.dim() == 3)
        for x in (tracked.query, tracked.key)
    )
    return next((heads for heads in found if heads is not None), 0)


def _substitute(arguments: Any, old: Tensor, new: Tensor) -> Any:
    """Replace one tensor by another in arguments, at any depth of lists and dicts."""
    if isinstance(arguments, (list, tuple)):
        return type(arguments)(_substitute(item, old, new) for item in arguments)
    if isinstance(arguments, dict):
        return {name: _substitute(item, old, new) for name, item in arguments.items()}
    return new if arguments is old else arguments
