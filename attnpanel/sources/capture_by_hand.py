"""Attention that a model writes out: ``softmax(query @ key.T * scale + …) @ value``.

Each product of two activations is followed, through whatever keeps its size, to a softmax over its
last axis, and from there to a product with the values. What lies between, masks and biases in any
spelling, need not be understood: it is what the softmax got less what query and key give. Whether
that was right is checked by the recorder, against the weights the model computed itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from attnpanel.sources.capture_products import Product, product_of
from attnpanel.sources.capture_seen import SeenCall, running_modules

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# Below this a score is one that a mask made: 0 or a score less 1e9, in float32.
MASKED = -1e8
# What float32 sums taken in another order may leave of a bias that is none, relative to the scores.
ROUNDING = {"float64": 1e-10, "float32": 1e-5, "float16": 5e-3, "bfloat16": 4e-2}


@dataclass(frozen=True, eq=False)
class _Step:
    """How far a tensor of attention has come.

    Attributes
    ----------
    query, key : tensors of shape (…, T, D), (…, S, D)
    scale : float
        What the product was multiplied by since.
    stage : {"scores", "exp", "sum", "weights"}
    added : tensor of shape (…, T, S), or None
        From the softmax on: what it got beyond scaled products, below -1e8 where masked.
    weights : tensor of shape (…, T, S), or None
        The softmax's result.
    """

    query: Tensor
    key: Tensor
    scale: float
    stage: Literal["scores", "exp", "sum", "weights"] = "scores"
    added: Tensor | None = None
    weights: Tensor | None = None


class ByHand:
    """Follows one thread's products of activations, and makes a call of each attention."""

    def __init__(self) -> None:
        from torch.utils.weak import WeakTensorKeyDictionary

        self._steps: Any = WeakTensorKeyDictionary()

    def see(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
    ) -> Callable[[], SeenCall] | None:
        """Look at one torch function that has run.

        Returns
        -------
        function without arguments, or None
            Makes the call that this was the last step of.
        """
        import torch

        if not isinstance(result, torch.Tensor):
            return None
        product = product_of(func, args, kwargs)
        if product is not None:
            return self._multiplied(product, result)
        at, step = self._followed(args, kwargs)
        if step is not None:
            after = _after(func, args, kwargs, at, step, result, self._steps)
            if after is not None:
                self._steps[result] = after
        return None

    def _multiplied(self, product: Product, result: Tensor) -> Callable[[], SeenCall] | None:
        step = self._steps.get(product.left)
        if step is not None and step.stage == "weights":
            left, modules = product.left, running_modules()
            return lambda: _seen(step, left, product.value(), modules)
        if product.activations:
            query, key = product.query_and_key()
            if query is not None and key is not None:
                self._steps[result] = _Step(query, key, product.scale)
        return None

    def _followed(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[int | str, _Step | None]:
        import torch

        named: list[tuple[int | str, Any]] = [*enumerate(args[:3]), *kwargs.items()]
        for at, value in named:
            step = self._steps.get(value) if isinstance(value, torch.Tensor) else None
            if step is not None:
                return at, step
        return 0, None


def _after(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    at: int | str,
    step: _Step,
    result: Tensor,
    steps: Any,
) -> _Step | None:
    """What a followed tensor has become; None where it is attention no more."""
    known = _functions()
    before = args[at] if isinstance(at, int) else kwargs[at]
    if func in known["softmax"] and step.stage == "scores":
        if not _over_last(args, kwargs, before):
            return None
        added = _added(step, before)
        return (
            None if added is None else replace(step, stage="weights", added=added, weights=result)
        )
    if func in known["exp"] and step.stage == "scores" and result is not before:
        added = _added(step, before)
        return None if added is None else replace(step, stage="exp", added=added)
    if func in known["sum"] and step.stage == "exp":
        return (
            replace(step, stage="sum")
            if result.numel() * before.shape[-1] == before.numel()
            else None
        )
    if result.numel() != before.numel() or not result.is_floating_point():
        return None
    if func in known["div"] and step.stage == "exp":
        total = steps.get(args[1]) if at == 0 and hasattr(args[1], "shape") else None
        if total is not None and total.stage == "sum" and total.added is step.added:
            return replace(step, stage="weights", weights=result)
    if step.stage == "scores" and func in known["mul"] | known["div"] and len(args) == 2:
        return _scaled(
            step,
            args[1 - at] if isinstance(at, int) and at < 2 else None,
            inverse=func in known["div"],
        )
    return step


def _scaled(step: _Step, factor: Any, *, inverse: bool) -> _Step:
    """Take a factor into the scale, or into the query where each of its rows has its own."""
    import torch

    if isinstance(factor, torch.Tensor) and factor.numel() != 1:
        if factor.shape[-1] != 1 or factor.dim() > step.query.dim():
            return step
        return replace(step, query=step.query / factor if inverse else step.query * factor)
    if factor is None:
        return step
    number = float(factor)
    if number == 0:
        return step
    return replace(step, scale=step.scale / number if inverse else step.scale * number)


def _over_last(args: tuple[Any, ...], kwargs: dict[str, Any], scores: Tensor) -> bool:
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return dim in {-1, scores.dim() - 1}


def _added(step: _Step, logits: Tensor) -> Tensor | None:
    """What the softmax got beyond ``scale * query @ key.T``: 0 where that explains it."""
    import torch

    with torch.no_grad():
        products = (step.query @ step.key.transpose(-2, -1)) * step.scale
        if products.numel() != logits.numel():
            return None
        products = products.reshape(logits.shape)
        added = (logits - products).float()
        masked = logits <= max(MASKED, torch.finfo(logits.dtype).min / 2)
        rounding = ROUNDING[str(logits.dtype).removeprefix("torch.")]
        size = torch.where(masked, 0, products.abs() + logits.abs()).amax(-1, keepdim=True).float()
        # A row may be shifted as a whole, by its largest score: its weights stay.
        shift = torch.where(masked, -torch.inf, added).amax(-1, keepdim=True)
        shift = torch.where(shift.isinf(), 0, shift)
        shifted = torch.where(masked, 0, added - shift)
        if bool((shifted.abs() <= rounding * size + 1e-30).all()):
            added = torch.zeros_like(added)
        hidden = torch.where(logits.isneginf(), -torch.inf, torch.finfo(torch.float32).min)
        return torch.where(masked, hidden.float(), added)


def _seen(step: _Step, weights: Tensor, value: Tensor, modules: tuple[Any, ...]) -> SeenCall:
    """Give all tensors the leading axes (B, H)."""
    assert step.added is not None  # noqa: S101 - set with the stage
    assert step.weights is not None  # noqa: S101
    # Heads folded into the batch on the way are unfolded where they were told apart.
    shapes = [x.shape[:-2] for x in (step.weights, weights, value)]
    lead = max(shapes, key=len)

    def four(x: Tensor) -> Tensor:
        same = x.shape[:-2].numel() == lead.numel()
        whole = x.reshape(*lead, *x.shape[-2:]) if same else x.expand(*lead, -1, -1)
        if whole.dim() > 4:
            return whole.flatten(0, -4)
        return whole[(None,) * (4 - whole.dim())] if whole.dim() != 3 else whole.unsqueeze(1)

    return SeenCall(
        modules,
        four(step.query),
        four(step.key),
        four(value),
        mask=four(step.added),
        scale=step.scale,
        weights=four(step.weights),
    )


@cache
def _functions() -> dict[str, frozenset[Any]]:
    import torch
    from torch.nn import functional

    tensor = torch.Tensor
    return {
        "softmax": frozenset({functional.softmax, torch.softmax, tensor.softmax}),
        "exp": frozenset({torch.exp, tensor.exp}),
        "sum": frozenset({torch.sum, tensor.sum}),
        "mul": frozenset(
            {torch.mul, tensor.mul, tensor.mul_, tensor.__mul__, tensor.__imul__, tensor.__rmul__}
        ),
        "div": frozenset(
            {
                torch.div,
                tensor.div,
                tensor.div_,
                tensor.__truediv__,
                tensor.__itruediv__,
                torch.true_divide,
            }
        ),
    }
