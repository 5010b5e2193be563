"""Track attention that a model writes out: ``softmax(query @ key.T * scale + …) @ value``.

Each product of two activations is followed to a product with values. Through operations that keep
its size and up to a softmax over its last axis it is understood, and the recorder checks the
result against the weights that the model computed. Of anything else that is computed from scores
and multiplied with values, the model's own weights are recorded. Scores that are split, padded or
joined are followed as well, to tell which layers compute attention in pieces.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.batched_heads import in_blocks
from attnpanel.models.intercept.call import InterceptedCall, running_modules
from attnpanel.models.intercept.eager_call import divided, make_call
from attnpanel.models.intercept.eager_outputs import (
    MixedValues,
    follow_output,
    fused_outputs,
    lose,
    lose_low_rank,
    rescales_product,
    tensors_of,
)
from attnpanel.models.intercept.eager_steps import (
    after_operation,
    first_tracked,
    followed,
    is_layer,
    keeps_weights,
    mixes_heads,
    other_operand,
    over_axis,
    over_last_axis,
    picks_keys,
    reads_parameter,
    rows_sum_to_one,
    sums_heads,
    writes_in_place,
)
from attnpanel.models.intercept.matmul import Product, product_of
from attnpanel.models.intercept.new_scores import (
    between_sequences,
    of_a_sequence,
    placed,
    scores_of,
)
from attnpanel.models.intercept.session import note_part, note_use, streams, transform_reason
from attnpanel.models.intercept.torch_operators import operators
from attnpanel.models.intercept.tracked_scores import (
    IN_PIECES,
    NO_VALUES,
    PICKED,
    REORDERED,
    REPEATED,
    ScoreUse,
    TrackedTensor,
    unscored_weights,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Read = Callable[[], InterceptedCall]


class EagerTracker:
    """Follow one thread's products of activations; make a call of each attention found.

    Parameters
    ----------
    owns : function of modules
        Whether a call in these modules, innermost first, belongs to a captured or changed model;
        others are not tracked.
    """

    def __init__(self, owns: Callable[[tuple[Any, ...]], bool]) -> None:
        from torch.utils.weak import WeakTensorKeyDictionary

        self._owns = owns
        self._tracked: Any = WeakTensorKeyDictionary()
        self._mixed = MixedValues()
        self._softmax = operators()["softmax"]
        self._by_element = operators()["exp"] | operators()["squash"]
        # Scaled weights -> the weights before an intervention's output scale went into them.
        self._unscaled: Any = WeakTensorKeyDictionary()

    def observe(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
    ) -> Read | None:
        """Update the tracked tensors after a torch function has run.

        Returns
        -------
        function without arguments, or None
            Makes the call, if this function was the last step of an attention.
        """
        import torch

        product = product_of(func, args, kwargs)
        begins = product is not None or func in self._softmax or func in self._by_element
        if not begins and not self._tracked.data:
            return None
        with torch.no_grad():
            if product is not None:
                floating = isinstance(result, torch.Tensor) and result.is_floating_point()
                return self._after_product(product, result) if floating else None
            self._mixed.follow(func, args, result)
            before, tracked = first_tracked(self._tracked, args, kwargs)
            if tracked is None:
                if begins and isinstance(result, torch.Tensor):
                    self._begin(func, args, kwargs, result)
                return None
            if tracked.stage in {"numerator", "output"}:
                return self._after_output(func, args, kwargs, before, tracked, result)
            if tracked.stage == "summands":
                if func in operators()["sum"] and over_axis(-2, args, kwargs, before):
                    self._note(tracked.use)
                return None
            if func in operators()["write"]:
                self._after_write(args[0], tracked)
                return None
            changed = (result is before or result is None) and writes_in_place(func, kwargs)
            if tracked.stage != "scores" and (changed or func in operators()["memory"]):
                tracked.use.written = True
            self._advance(func, args, kwargs, before, tracked, result)
        return None

    def _after_product(self, product: Product, result: Tensor) -> Read | None:
        left, right = self._followed(product.left), self._followed(product.right)
        tracked = left or right
        if tracked is not None:
            facing = product if tracked is left else product.swapped()
            if facing is not product:
                streams().adopt(facing.right, product.left)
            if left is not None and right is not None:
                self._join_pieces(left, right, result)
            elif self._meets_values(facing, tracked):
                return self._mix_values(facing, tracked, result)
            elif rescales_product(tracked, self._find(facing.right)):
                return None
            elif keeps_weights(facing, result, tracked) or sums_heads(facing, tracked):
                mixed = replace(tracked, stage="derived", mixes_heads=True, logits=None)
                self._tracked[result] = mixed
                return None
            elif product.activations and not is_layer(product, tracked):
                self._lose(tracked)
            if tracked.use.modules or tracked.nonlinear:
                return None
        scores = scores_of(product, result) if product.activations else None
        if scores is not None:
            self._tracked[result] = scores
        return None

    def _followed(self, tensor: Tensor) -> TrackedTensor | None:
        tracked = self._tracked.get(tensor)
        done = tracked is None or tracked.stage in {"summands", "numerator", "output"}
        return None if done or not tracked.several_channels else tracked

    def _begin(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        weights: Tensor,
    ) -> None:
        """Follow what may be weights of scores that are no product."""
        scores = args[0] if args else kwargs.get("input", weights)
        if func in self._softmax:
            note_part("softmax")
            if reason := transform_reason():
                use = ScoreUse(0, 0, 0, running_modules(), met_values=True, reason=reason)
                self._note(use)
                return
            rows = over_last_axis(args, kwargs, scores) and of_a_sequence(weights)
        else:
            rows = between_sequences(weights)
        if rows and self._owns(running_modules()):
            self._tracked[weights] = unscored_weights(weights.detach())

    def _meets_values(self, product: Product, tracked: TrackedTensor) -> bool:
        """Whether the left side of a product holds whole rows of weights, the right side values."""
        left, use = product.left, tracked.use
        if not product.mixes_values or use.in_pieces or not product.activations:
            return False
        if left.is_sparse or left.is_sparse_csr:
            return False
        if tracked.reordered or is_layer(product, tracked) or sums_heads(product, tracked):
            return False
        # A softmax may be of anything; as attention it sums over a whole sequence.
        if not tracked.scored and streams().length(product.right) != use.key_len:
            return False
        sizes = {(use.query_len, use.key_len), (use.key_len, use.query_len)}
        whole = tuple(left.shape[-2:]) in sizes
        if tracked.stage == "weights":
            return whole
        whole = whole and (left.numel() == use.numel or tracked.mixes_heads)
        computed = tracked.nonlinear or bool(use.modules)
        return computed and whole and tracked.several_channels and tracked.stage != "sum"

    def _mix_values(self, product: Product, tracked: TrackedTensor, result: Tensor) -> Read | None:
        use, modules = tracked.use, running_modules()
        again = use.modules[:1] == modules[:1]
        if again and self._mixed.repeats(product.right, result, use):
            lose(use, REPEATED)
            return None
        if use.recorded:
            if again:  # with something else than values, such as positions
                return None
            # Another layer mixes its values by the same weights.
            use = replace(use, modules=(), recorded=False)
            tracked = self._tracked[product.left] = replace(tracked, use=use)
        if not tracked.scored:
            tracked = placed(tracked, product)
        length = tracked.sequence_len
        if not use.modules:
            use.modules = modules
            self._note(use)
        left = self._unscaled.get(product.left, product.left).detach()
        whole = length in {None, left.shape[-2]}
        if left.dim() > 4 and not (whole or tracked.grouped) and in_blocks(left, length, modules):
            self._lose(tracked)  # blocks of a longer sequence, or one that is padded
            return None
        plain = tracked.stage == "exp" and (tracked.trusted or not tracked.nonlinear)
        if plain and not rows_sum_to_one(left):
            self._tracked[result] = replace(
                tracked, stage="numerator", weights=left, value=product.value().detach()
            )
            return None
        use.recorded, use.modules = True, modules
        if use.reordered:
            lose(use, REORDERED)
        lose_low_rank(use, self._find(product.right))
        self._mixed.begin(result, use)
        value = product.value().detach()
        self._tracked[result] = replace(tracked, stage="output", weights=None, logits=None)
        return lambda: make_call(tracked, left, value, modules)

    def _join_pieces(self, left: TrackedTensor, right: TrackedTensor, result: Tensor) -> None:
        """Note that weights were multiplied with something else made of scores."""
        for tracked in (left, right):
            self._lose(tracked)
            tracked.use.in_pieces = not tracked.use.recorded
        computed = left if left.use.modules or left.nonlinear else right
        if not computed.use.recorded:
            self._tracked[result] = replace(computed, stage="derived", weights=None, logits=None)

    def _lose(self, tracked: TrackedTensor) -> None:
        """Note that weights were used in a way that gives no call."""
        use = tracked.use
        if not use.recorded and tracked.stage != "sum":
            use.met_values = True
            if use.reason == NO_VALUES:
                use.reason = REORDERED if tracked.reordered else IN_PIECES
            if tracked.nonlinear and tracked.scored and not use.modules:
                use.modules = running_modules()
                self._note(use)

    def _after_output(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        before: Tensor,
        tracked: TrackedTensor,
        result: Any,
    ) -> Read | None:
        """Follow one step of what a product with values has given."""
        known = operators()
        use = tracked.use
        if tracked.stage == "output":
            if follow_output(func, args, kwargs, before, tracked, self._find):
                for tensor in tensors_of((result,)):
                    self._tracked[tensor] = tracked
            return None
        partners = (self._find(other) for other in args[:2] if other is not before)
        partner = next((x for x in partners if x is not None and x.use is use), None)
        if func in known["div"] and partner is not None and partner.stage == "sum":
            use.recorded = True
            return divided(tracked, args[1].detach(), running_modules())
        adds = func in known["add"] | known["sub"]  # such as what other keys have given
        if partner is None and not adds and getattr(result, "shape", None) == args[0].shape:
            self._tracked[result] = tracked
        else:
            self._lose(replace(tracked, stage="exp"))
        return None

    def _find(self, value: Any) -> TrackedTensor | None:
        return self._tracked.get(value) if hasattr(value, "shape") else None

    def follow_fused(self, inputs: tuple[Any, ...], result: Any) -> None:
        """Follow the output of a function of query, key and value, and its log-sum-exp."""
        modules = running_modules()
        if not self._owns(modules):
            return
        found = fused_outputs(inputs[0], self._find(inputs[-1]), result, modules)
        for tensor, tracked in found:
            if any(map(streams().reordered, inputs[:2])):
                lose(tracked.use, REORDERED)
            self._tracked[tensor] = tracked

    def _after_write(self, target: Tensor, tracked: TrackedTensor) -> None:
        """Follow ``target[…] = value``, where either holds something made of scores."""
        known = self._tracked.get(target)
        if known is not None:
            known.use.written = True
            return
        for tensor in (target, target._base):  # noqa: SLF001 - torch has no public name
            if tensor is not None:
                self._tracked[tensor] = replace(tracked, stage="derived", logits=None)

    def _advance(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        before: Tensor,
        tracked: TrackedTensor,
        result: Any,
    ) -> None:
        """Track what an operation has made of scores, exponentials or weights."""
        known = operators()
        results = followed(func, before, tracked, list(tensors_of((result,))))
        if self._picks_values(func, args, before, tracked, results):
            return
        if func in known["layer"] | known["sparse"]:
            mixed = self._after_layer(func, args, before, tracked, results)
            if mixed is None:
                return
            tracked = mixed
        normalises = func in known["softmax"] | known["log_softmax"] | known["other softmax"]
        if normalises or (func in known["exp"] and tracked.stage == "scores"):
            use = self._noted_use(tracked.use)
            if use is None:
                return
            tracked = replace(tracked, use=use)
        other = other_operand(args, before)
        partner = self._find(other)
        for tensor in results:
            after = after_operation(func, args, kwargs, before, tracked, other, partner, tensor)
            if after is not None:
                self._tracked[tensor] = after

    def _noted_use(self, use: ScoreUse) -> ScoreUse | None:
        """Return a use of its own for a softmax of scores, and note it; None if it is not ours."""
        modules = running_modules()
        if not self._owns(modules):
            return None
        own = replace(use, modules=modules, recorded=False, met_values=False)
        note_use(own)
        return own

    def _after_layer(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        before: Tensor,
        tracked: TrackedTensor,
        results: list[Tensor],
    ) -> TrackedTensor | None:
        """Return what is known after a layer that mixes heads; None after another one."""
        if func in operators()["sparse"]:
            self._lose(replace(tracked, nonlinear=True))
            return tracked
        if mixes_heads(func, tracked, before, results):
            return replace(tracked, stage="derived", mixes_heads=True, logits=None)
        if tracked.use.modules or not reads_parameter(args):
            self._lose(tracked)
        return None

    def _picks_values(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        before: Tensor,
        tracked: TrackedTensor,
        results: list[Tensor],
    ) -> bool:
        """Note that values are picked by the numbers of keys; return whether they are."""
        picks = not before.is_floating_point() and func in operators()["pick"]
        if not picks or self._find(args[0]) or not picks_keys(args[0], tracked, results):
            return False
        self._note(replace(tracked.use, modules=running_modules(), met_values=True, reason=PICKED))
        return True

    def _note(self, use: ScoreUse) -> None:
        if self._owns(use.modules):
            note_use(use)
