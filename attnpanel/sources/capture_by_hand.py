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
from attnpanel.sources.capture_session import interventions
from attnpanel.sources.intervene_by_hand import WrittenOut, written_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# Below this a score is one that a mask made: 0 or a score less 1e9, in float32.
MASKED = -1e8
# What sums in the precision of the scores may leave, relative to the numbers that are summed.
ROUNDING = {"float64": 1e-10, "float32": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}


@dataclass(frozen=True, eq=False)
class _Step:
    """How far a tensor of attention has come.

    Tensors are held as aliases: the followed tensor itself must stay free to go.

    Attributes
    ----------
    query, key : tensors of shape (…, T, D), (…, S, D)
    scale : float
        What the product was multiplied by since.
    bias : tensor of shape (…, T, S), or None
        What was added since.
    soft_cap : float or None
        What a tanh has bent the products to, with a factor since: ``soft_cap * tanh(scale *
        product / soft_cap)`` stands in place of ``scale * product``.
    stage : {"scores", "exp", "sum", "weights"}
    added : tensor of shape (…, T, S), or None
        From the softmax on: the bias, and less than -1e8 where masked; None where there is neither.
    trusted : bool
        Whether scale, bias and mask give what the softmax got.
    weights : tensor of shape (…, T, S), or None
        The softmax's result.
    dropped : bool
        Whether dropout has changed the weights since.
    logits : tensor of shape (…, T, S), or None
        What the softmax got, while somebody intervenes and has not done so.
    change : WrittenOut or None
        What interventions have done to the weights, and do to the outputs.
    """

    query: Tensor
    key: Tensor
    scale: float
    bias: Tensor | None = None
    soft_cap: float | None = None
    stage: Literal["scores", "exp", "sum", "weights"] = "scores"
    added: Tensor | None = None
    trusted: bool = True
    weights: Tensor | None = None
    dropped: bool = False
    logits: Tensor | None = None
    change: WrittenOut | None = None

    @property
    def grouped(self) -> bool:
        """Whether groups of query heads share a key: two axes of heads."""
        return self.key.dim() == 5 and self.key.shape[2] == 1


class ByHand:
    """Follows one thread's products of activations, and makes a call of each attention.

    Parameters
    ----------
    owned : function of modules
        Whether a call in these modules, innermost first, is of a model that is captured: no other
        is read.
    """

    def __init__(self, owned: Callable[[tuple[Any, ...]], bool]) -> None:
        from torch.utils.weak import WeakTensorKeyDictionary

        self._owned = owned
        self._steps: Any = WeakTensorKeyDictionary()
        # A softmax that several products read is one attention: that of the first.
        self._told: Any = WeakTensorKeyDictionary()
        # Weights as they were before a scale of the output went into them.
        self._unscaled: Any = WeakTensorKeyDictionary()

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

        product = product_of(func, args, kwargs)
        if product is None and not self._steps.data:
            return None
        if not isinstance(result, torch.Tensor) or not result.is_floating_point():
            return None
        with torch.no_grad():
            if product is not None:
                return self._multiplied(product, result)
            at, step = self._followed(args, kwargs)
            if step is not None:
                after = self._after(func, args, kwargs, at, step, result)
                if after is not None:
                    self._steps[result] = after
        return None

    def changed(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
    ) -> Any:
        """Return what interventions make of a result: weights of attention, or mixed values."""
        known = _functions()
        scaled = self._scaled(func, args, kwargs)
        if scaled is not None:
            product, scaling = scaled
            return scaling.silenced(result, product)
        step = self._steps.get(result) if func in known["softmax"] | known["div"] else None
        if step is None or step.logits is None or step.stage != "weights":
            return result
        change = written_out(running_modules(), step.logits, grouped=step.grouped)
        if change is None:
            return result
        weights = change.weights(step.logits, result)
        after = replace(step, weights=weights.detach(), logits=None, change=change)
        self._steps[weights] = after
        return weights

    def scaled(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a function, so that interventions scale a mix of values."""
        scaled = self._scaled(func, args, kwargs)
        if scaled is None:
            return args, kwargs
        product, change = scaled
        left = change.scaled(product.left)
        self._steps[left], self._unscaled[left] = self._steps[product.left], product.left
        exchanged: tuple[tuple[Any, ...], dict[str, Any]] = _exchanged(
            (args, kwargs), product.left, left
        )
        return exchanged

    def _scaled(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Product, WrittenOut] | None:
        """Find the change whose scale a product that mixes values is to have."""
        product = product_of(func, args, kwargs)
        step = None if product is None else self._steps.get(product.left)
        if product is None or step is None or step.change is None or not step.change.plan.scales:
            return None
        return (product, step.change) if product.mixes_values else None

    def _multiplied(self, product: Product, result: Tensor) -> Callable[[], SeenCall] | None:
        step = self._steps.get(product.left)
        if step is not None and step.stage == "weights" and product.mixes_values:
            if step.weights in self._told:
                return None
            self._told[step.weights] = True
            left, value, modules = (
                self._unscaled.get(product.left, product.left).detach(),
                product.value().detach(),
                running_modules(),
            )
            return lambda: _seen(step, left, value, modules)
        if product.activations:
            query, key = product.query_and_key()
            if query is not None and key is not None:
                bias = None if product.added is None else product.added.detach().expand_as(result)
                self._steps[result] = _Step(query.detach(), key.detach(), product.scale, bias)
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
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        at: int | str,
        step: _Step,
        result: Tensor,
    ) -> _Step | None:
        """What a followed tensor has become; None where it is attention no more."""
        known = _functions()
        before = args[at] if isinstance(at, int) else kwargs[at]
        other = args[1 - at] if isinstance(at, int) and at < 2 and len(args) == 2 else None
        if step.stage == "scores" and func in known["softmax"] | known["exp"]:
            whole = func in known["exp"] or _over_last(args, kwargs, before)
            if not whole or result is before or not self._owned(running_modules()):
                return None
            made = _explained(step, before)
            if made is not None and interventions():
                made = replace(made, logits=before)
            if made is None or func in known["exp"]:
                return made and replace(made, stage="exp")
            return replace(made, stage="weights", weights=result.detach())
        if func in known["sum"] and step.stage == "exp":
            rows = before.shape[:-1]
            return replace(step, stage="sum") if result.shape in {rows, (*rows, 1)} else None
        if result.numel() != before.numel():
            return None
        return self._kept(func, step, other, result)

    def _kept(self, func: Callable[..., Any], step: _Step, other: Any, result: Tensor) -> _Step:
        """What an operation that keeps the size has made of scores, exponentials or weights."""
        known = _functions()
        if func in known["dropout"] and step.stage == "weights":
            return replace(step, dropped=True)
        if func in known["tanh"] and step.stage == "scores":
            # A bias below the cap is part of what is bent: no field of a call says that.
            once = step.bias is None and step.soft_cap is None
            return replace(step, soft_cap=1.0, trusted=step.trusted and once)
        if other is None:
            return step
        if func in known["div"] and step.stage == "exp":
            total = self._steps.get(other) if hasattr(other, "shape") else None
            if total is not None and total.stage == "sum" and total.query is step.query:
                return replace(step, stage="weights", weights=result.detach())
        if step.stage == "scores" and func in known["mul"] | known["div"]:
            return _scaled(step, other, result, inverse=func in known["div"])
        if step.stage == "scores" and func in known["add"] | known["sub"]:
            return _raised(step, other, result, negative=func in known["sub"])
        return step


def _exchanged(given: Any, old: Tensor, new: Tensor) -> Any:
    """Return arguments, or a list or dict among them, with another tensor in place of one."""
    if isinstance(given, (list, tuple)):
        return type(given)(_exchanged(one, old, new) for one in given)
    if isinstance(given, dict):
        return {name: _exchanged(one, old, new) for name, one in given.items()}
    return new if given is old else given


def _scaled(step: _Step, factor: Any, result: Tensor, *, inverse: bool) -> _Step:
    """Take a factor into the scale, or into the query where each of its rows has its own."""
    import torch

    if isinstance(factor, torch.Tensor):
        factor = factor.detach()
        if factor.numel() != 1:
            bent = step.soft_cap is not None
            if bent or factor.shape[-1] != 1 or factor.dim() > step.query.dim():
                return replace(step, trusted=False)
            times = 1 / factor if inverse else factor
            bias = None if step.bias is None else step.bias.reshape(result.shape) * times
            return replace(step, query=(step.query * times).to(step.query.dtype), bias=bias)
    number = float(factor)
    if number == 0:
        return replace(step, trusted=False)
    times = 1 / number if inverse else number
    return replace(
        step,
        scale=step.scale * times,
        bias=None if step.bias is None else step.bias * times,
        # The sign stays with the scale: a tanh is odd.
        soft_cap=None if step.soft_cap is None else step.soft_cap * abs(times),
    )


def _raised(step: _Step, other: Any, result: Tensor, *, negative: bool) -> _Step:
    """Keep what is added to the scores; the same number for a whole row changes no weight."""
    import torch

    if not isinstance(other, torch.Tensor) or other.dim() == 0 or other.shape[-1] == 1:
        return step
    added = (-other.detach() if negative else other.detach()).expand_as(result)
    # The scores may have been regrouped since.
    return replace(
        step, bias=added if step.bias is None else step.bias.reshape(result.shape) + added
    )


def _over_last(args: tuple[Any, ...], kwargs: dict[str, Any], scores: Tensor) -> bool:
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return dim in {-1, scores.dim() - 1}


def _explained(step: _Step, logits: Tensor) -> _Step | None:
    """Tell mask and bias apart, and see whether they give what the softmax got."""
    import torch

    products = (step.query.to(logits.dtype) @ step.key.to(logits.dtype).mT) * step.scale
    if products.numel() != logits.numel():
        return None
    products = products.reshape(logits.shape)
    if step.soft_cap is not None:
        products = step.soft_cap * (products / step.soft_cap).tanh()
    added = (logits - products).float()
    masked = logits <= max(MASKED, torch.finfo(logits.dtype).min / 2)
    size = torch.where(masked, 0, (products.abs() + logits.abs()).float()).amax(-1, keepdim=True)
    limit = ROUNDING[_precision(step.key)] * size + 1e-30

    def is_nothing(left: Tensor) -> bool:
        # A row may be shifted as a whole, by its largest score: its weights stay.
        shift = torch.where(masked, -torch.inf, left).amax(-1, keepdim=True).nan_to_num(neginf=0)
        return bool((torch.where(masked, 0, left - shift).abs() <= limit).all())

    plain = is_nothing(added)
    trusted = step.trusted and (
        plain
        or (step.bias is not None and is_nothing(added - step.bias.reshape(logits.shape).float()))
    )
    if plain and not bool(masked.any()):
        return replace(step, added=None, trusted=trusted)
    hidden = torch.where(logits.isneginf(), -torch.inf, torch.finfo(torch.float32).min).float()
    kept = torch.where(masked, hidden, torch.zeros_like(added) if plain else added)
    return replace(step, added=kept, trusted=trusted)


def _precision(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _seen(step: _Step, left: Tensor, value: Tensor, modules: tuple[Any, ...]) -> SeenCall:
    """Give all tensors the leading axes (B, H)."""
    import torch

    assert step.weights is not None  # noqa: S101 - set with the stage
    # Heads folded into the batch on the way are unfolded where they were told apart.
    lead = max((x.shape[:-2] for x in (step.weights, left, value)), key=len)
    grouped = len(lead) == 3 and step.grouped

    def four(x: Tensor) -> Tensor:
        same = x.shape[:-2].numel() == lead.numel()
        whole = x.reshape(*lead, *x.shape[-2:]) if same else x.expand(*lead, -1, -1)
        if whole.dim() > 4:
            return whole.flatten(1, 2) if grouped else whole.flatten(0, -4)
        return whole[(None,) * (4 - whole.dim())] if whole.dim() != 3 else whole.unsqueeze(1)

    weights, mixed = four(step.weights), four(left)
    # Weights that were mixed or replaced between the softmax and the values are those that count.
    near = max(1e-3, ROUNDING[_precision(left)])
    changed = not step.dropped and not torch.allclose(mixed.float(), weights.float(), atol=near)
    seen = SeenCall(
        modules,
        four(step.query),
        four(step.key),
        four(value),
        mask=None if step.added is None else four(step.added),
        scale=step.scale,
        soft_cap=step.soft_cap,
        weights=mixed if changed else weights,
        trusted=step.trusted and not changed,
        folded=len(lead) == 1,
    )
    return seen if step.change is None else step.change.recorded(seen)


@cache
def _functions() -> dict[str, frozenset[Any]]:
    import torch
    from torch.nn import functional

    tensor = torch.Tensor
    return {
        "softmax": frozenset({functional.softmax, torch.softmax, tensor.softmax}),
        "exp": frozenset({torch.exp, tensor.exp}),
        "tanh": frozenset({torch.tanh, tensor.tanh, tensor.tanh_}),
        "sum": frozenset({torch.sum, tensor.sum}),
        "dropout": frozenset({functional.dropout, torch.dropout}),
        "add": frozenset(
            {torch.add, tensor.add, tensor.add_, tensor.__add__, tensor.__iadd__, tensor.__radd__}
        ),
        "sub": frozenset({torch.sub, tensor.sub, tensor.sub_, tensor.__sub__, tensor.__isub__}),
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
