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

from attnpanel.models.intercept.call import InterceptedCall, running_modules
from attnpanel.models.intercept.eager_call import make_call
from attnpanel.models.intercept.eager_outputs import (
    follow_output,
    fused_outputs,
    lose,
    lose_low_rank,
    tensors_of,
    used_by_element,
)
from attnpanel.models.intercept.eager_steps import (
    after_operation,
    followed,
    is_layer,
    keeps_weights,
    mixes_heads,
    over_last_axis,
    picks_keys,
    reads_parameter,
    rows_sum_to_one,
    writes_in_place,
)
from attnpanel.models.intercept.matmul import Product, product_of
from attnpanel.models.intercept.new_scores import scores_of
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

# Which of several arguments is followed: the lowest.
RANKS = {"output": 0, "numerator": 0, "derived": 2}


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
        self._softmax = operators()["softmax"]
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
        begins = product is not None or func in self._softmax
        if not begins and not self._tracked.data:
            return None
        with torch.no_grad():
            if product is not None:
                floating = isinstance(result, torch.Tensor) and result.is_floating_point()
                return self._after_product(product, result) if floating else None
            before, tracked = self._find_tracked(args, kwargs)
            if tracked is None:
                if begins:
                    self._track_unscored(args, kwargs, result)
                return None
            if tracked.stage in {"numerator", "output"}:
                return self._after_output(func, args, kwargs, before, tracked, result)
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
            if left is not None and right is not None:
                self._join_pieces(left, right, result)
            elif self._meets_values(facing, tracked):
                return self._mix_values(facing, tracked, result)
            elif keeps_weights(facing, result, tracked):
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
        done = tracked is None or tracked.stage in {"numerator", "output"}
        return None if done or not tracked.several_channels else tracked

    def _track_unscored(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], weights: Tensor
    ) -> None:
        """Follow a softmax of scores that are no product, such as additive ones or distances."""
        scores = args[0] if args else kwargs.get("input", weights)
        note_part("softmax")
        reason, modules = transform_reason(), running_modules()
        if reason:
            self._note(ScoreUse(0, 0, 0, modules, met_values=True, reason=reason))
            return
        rows = weights.dim() > 1 and weights.numel() and over_last_axis(args, kwargs, scores)
        if rows and streams().length(weights) in {None, weights.shape[-2]} and self._owns(modules):
            self._tracked[weights] = unscored_weights(weights.detach())

    def _meets_values(self, product: Product, tracked: TrackedTensor) -> bool:
        """Whether the left side of a product holds whole rows of weights, the right side values."""
        left, use = product.left, tracked.use
        if not product.mixes_values or use.in_pieces or not product.activations:
            return False
        if left.is_sparse or left.is_sparse_csr:
            return False
        if tracked.reordered or is_layer(product, tracked):
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
        if use.recorded:
            if use.modules[:1] == modules[:1]:  # with something else than values, such as positions
                mixed = self._find(product.right)
                if mixed is not None and mixed.stage == "output" and mixed.use is use:
                    lose(use, REPEATED)
                return None
            # Another layer mixes its values by the same weights.
            use = replace(use, modules=(), recorded=False)
            tracked = self._tracked[product.left] = replace(tracked, use=use)
        if not tracked.scored:
            kind, length = (
                streams().kind(product.left, product.right),
                streams().length(product.left),
            )
            tracked = replace(tracked, kind=kind, sequence_len=length)
        if not use.modules:
            use.modules = modules
            self._note(use)
        left = self._unscaled.get(product.left, product.left).detach()
        whole = tracked.sequence_len in {None, left.shape[-2]}
        if left.dim() > 4 and not tracked.grouped and not whole:
            self._lose(tracked)  # blocks of a longer sequence, or one that is padded
            return None
        if tracked.stage == "exp" and not rows_sum_to_one(left):
            self._tracked[result] = replace(
                tracked, stage="numerator", weights=left, value=product.value().detach()
            )
            return None
        use.recorded, use.modules = True, modules
        if use.reordered:
            lose(use, REORDERED)
        lose_low_rank(use, self._find(product.right))
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
            total, exponentials, value = args[1].detach(), tracked.weights, tracked.value
            assert exponentials is not None  # noqa: S101 - set with the stage
            assert value is not None  # noqa: S101
            use.recorded, modules = True, running_modules()
            weights = exponentials / total.reshape(*exponentials.shape[:-1], 1)
            return lambda: make_call(
                replace(tracked, stage="exp", weights=None), weights, value, modules
            )
        adds = func in known["add"] | known["sub"]  # such as what other keys have given
        if partner is None and not adds and getattr(result, "shape", None) == args[0].shape:
            self._tracked[result] = tracked
            return None
        self._lose(replace(tracked, stage="exp"))
        return None

    def _find(self, value: Any) -> TrackedTensor | None:
        return self._tracked.get(value) if hasattr(value, "shape") else None

    def follow_fused(self, inputs: tuple[Any, ...], result: Any) -> None:
        """Follow the output of a function of query, key and value, and its log-sum-exp."""
        modules = running_modules()
        if not self._owns(modules):
            return
        for tensor, tracked in fused_outputs(self._find(inputs[-1]), result, modules):
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

    def _find_tracked(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, TrackedTensor | None]:
        """Find the argument to follow: an output, else the first that is understood."""
        found: list[tuple[Any, TrackedTensor]] = []
        for value in tensors_of((*args, *kwargs.values())):
            tracked = self._tracked.get(value)
            if tracked is not None:
                found.append((value, tracked))
        return min(found, key=lambda pair: RANKS.get(pair[1].stage, 1), default=(None, None))

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
        import torch

        known = operators()
        results = [result] if isinstance(result, torch.Tensor) else result
        if not isinstance(results, (list, tuple)):
            return
        results = followed(func, before, tracked, results)
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
        other = self._other(args, before)
        if func in known["mul"] and tracked.nonlinear and not tracked.use.modules:
            self._note(used_by_element(tracked.use, before, other))
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
        known = picks and self._tracked.get(args[0]) is not None
        if not picks or known or not picks_keys(args[0], tracked, results):
            return False
        self._note(replace(tracked.use, modules=running_modules(), met_values=True, reason=PICKED))
        return True

    def _note(self, use: ScoreUse | None) -> None:
        if use is not None and self._owns(use.modules):
            note_use(use)

    @staticmethod
    def _other(args: tuple[Any, ...], before: Tensor) -> Any:
        if len(args) != 2:
            return None
        return args[1] if args[0] is before else args[0]
