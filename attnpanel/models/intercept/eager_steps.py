"""What one operation makes of scores, exponentials or weights that are followed."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.eager_outputs import tensors_of, used_by_element
from attnpanel.models.intercept.session import interventions, streams
from attnpanel.models.intercept.torch_operators import moved_axes, operators
from attnpanel.models.intercept.tracked_scores import (
    Dropout,
    TrackedTensor,
    add_to_scores,
    explain_logits,
    scale_scores,
    unscored_weights,
    version,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from attnpanel.models.intercept.matmul import Product

# How far the sum of a row of weights may be from 1 in 16 bits.
SUM_TOLERANCE = 1e-2
# Which of several arguments is followed: the lowest.
RANKS = {"output": 0, "numerator": 0, "derived": 2}


def first_tracked(
    known: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, TrackedTensor | None]:
    """Find the argument to follow: an output, else the first that is understood."""
    tensors = tensors_of((*args, *kwargs.values()))
    found = [(value, tracked) for value in tensors if (tracked := known.get(value)) is not None]
    return min(found, key=lambda pair: RANKS.get(pair[1].stage, 1), default=(None, None))


def after_operation(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    before: Tensor,
    tracked: TrackedTensor,
    other: Any,
    partner: TrackedTensor | None,
    result: Tensor,
) -> TrackedTensor | None:
    """Return what a result is.

    Parameters
    ----------
    func, args, kwargs : the function and its arguments
    before : tensor
        The argument that is followed.
    tracked : TrackedTensor
        What is known of it.
    other : tensor, number or None
        The other one of two positional arguments.
    partner : TrackedTensor or None
        What is known of that.
    result : floating-point tensor

    Returns
    -------
    TrackedTensor or None
        None if it has to do with attention no longer.
    """
    known = operators()
    if func in known["softmax"] | known["log_softmax"] | known["exp"] | known["other softmax"]:
        if result is before:
            return None
        return _normalised(func, args, kwargs, before, tracked, result)
    if func in known["sum"] and tracked.stage == "exp":
        rows = before.shape[:-1]
        if result.shape in {rows, (*rows, 1)}:
            return replace(tracked, stage="sum")
    if func in known["dropout"]:
        return _dropped(args, kwargs, before, tracked, result)
    if func in known["reorder"] and tracked.use.modules:
        tracked = replace(tracked, reordered=_moves_keys(func, args, kwargs, before))
    made = _of_one_query(tracked, before, result) or _summands(func, tracked, before, other)
    if made is not None:
        return made
    if result.numel() != before.numel():
        if sinks := _sinks(func, args, kwargs, before, tracked, result):
            tracked = replace(tracked, use=replace(tracked.use, sinks=sinks))
        return _resized(func, before, tracked, other, result)
    return _same_size(func, tracked, other, partner, result)


def _of_one_query(tracked: TrackedTensor, before: Tensor, result: Tensor) -> TrackedTensor | None:
    """Follow weights (B, S) that are no longer (T, S), since they have become (B, T = 1, S)."""
    if tracked.scored or before.dim() != 2 or result.shape != (len(before), 1, before.shape[1]):
        return None
    return unscored_weights(result.detach())


def _summands(
    func: Callable[..., Any], tracked: TrackedTensor, before: Tensor, other: Any
) -> TrackedTensor | None:
    """Follow weights that are multiplied with values by element."""
    if func not in operators()["mul"] or not tracked.nonlinear or tracked.use.modules:
        return None
    use = used_by_element(tracked.use, before, other)
    return None if use is None else replace(tracked, stage="summands", use=use)


def _normalised(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    before: Tensor,
    tracked: TrackedTensor,
    result: Tensor,
) -> TrackedTensor:
    """Return what a softmax, its logarithm or an exponential gives."""
    known = operators()
    use = tracked.use
    if func in known["exp"] and tracked.stage == "log":
        return replace(tracked, stage="weights", weights=result.detach())
    if func in known["exp"] and tracked.stage != "scores":
        return replace(tracked, stage="derived", nonlinear=True)
    use.query_len, use.key_len = result.shape[-2:] if result.dim() > 1 else (1, len(result))
    use.numel = result.numel()
    tracked = replace(tracked, dropout=None)  # one of the scores is part of the weights
    derived = replace(tracked, stage="derived", nonlinear=True, logits=None)
    whole_rows = func in known["exp"] or over_last_axis(args, kwargs, before)
    if tracked.stage != "scores" or not whole_rows or func in known["other softmax"]:
        return derived
    explained = explain_logits(tracked, before)
    if explained is None:
        return derived
    if interventions():
        explained = replace(explained, logits=before)
    if func in known["exp"]:
        return replace(explained, stage="exp")
    if func in known["log_softmax"]:
        return replace(explained, stage="log")
    return replace(explained, stage="weights", weights=result.detach())


def other_operand(args: tuple[Any, ...], before: Tensor) -> Any:
    """Return the other one of two positional arguments; None if there are not two."""
    if len(args) != 2:
        return None
    return args[1] if args[0] is before else args[0]


def over_last_axis(args: tuple[Any, ...], kwargs: dict[str, Any], scores: Tensor) -> bool:
    """Whether a softmax of these arguments is one over the last axis."""
    return over_axis(-1, args, kwargs, scores)


def over_axis(axis: int, args: tuple[Any, ...], kwargs: dict[str, Any], tensor: Tensor) -> bool:
    """Whether a softmax or a sum of these arguments is one over an axis, counted from the end."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    dims = dim if isinstance(dim, (tuple, list)) else [dim]
    return not {axis, tensor.dim() + axis}.isdisjoint(dims)


def _dropped(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    before: Tensor,
    tracked: TrackedTensor,
    result: Tensor,
) -> TrackedTensor:
    """Follow a dropout, which changes nothing in evaluation or with a probability of 0."""
    probability = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
    position = args[2] if len(args) > 2 else True
    training = kwargs.get("training", kwargs.get("train", position))
    if not training or not probability:
        return tracked
    if result is before:  # in place: what went in is lost
        tracked.use.written = True
    earlier = None if tracked.dropout is None else tracked.dropout.before
    kept = before.detach() if earlier is None else earlier
    # What inference mode does not count is kept as it is now.
    after = result.clone() if result.is_inference() else result.detach()
    return replace(tracked, dropout=Dropout(float(probability), kept, after, version(after)))


def _moves_keys(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], weights: Tensor
) -> bool:
    """Whether a function that changes places does so among queries or keys, and not heads."""
    numbers = moved_axes(func, args, kwargs)
    last_two = {-1, -2, weights.dim() - 1, weights.dim() - 2}
    return not numbers or any(number in last_two for number in numbers)


def _sinks(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    scores: Tensor,
    tracked: TrackedTensor,
    result: Tensor,
) -> int:
    """Return how many columns of no key were joined with scores; 0 if other ones were."""
    from torch.nn import functional

    if tracked.stage != "scores" or scores.dim() < 2 or result.shape[:-1] != scores.shape[:-1]:
        return 0
    added = max(result.shape[-1] - scores.shape[-1], 0)
    if func is functional.pad:
        return added if kwargs.get("mode", "constant") == "constant" else 0
    if func not in operators()["concatenate"] or not args:
        return 0
    others = [part for part in args[0] if part is not scores]
    same = all(streams().learned(part) or _is_same_for_all_queries(part) for part in others)
    return added if same and len(others) + 1 == len(args[0]) else 0


def _is_same_for_all_queries(columns: Tensor) -> bool:
    """Whether columns (…, T, N) hold one row, which is no sign if there is one query."""
    several = columns.dim() > 1 and columns.shape[-2] > 1
    return several and bool((columns == columns[..., :1, :]).all())


def _resized(
    func: Callable[..., Any], before: Tensor, tracked: TrackedTensor, other: Any, result: Tensor
) -> TrackedTensor | None:
    """Follow scores that are split, padded, joined or reduced; not what they are spread over."""
    known = operators()
    if not tracked.several_channels or tracked.stage == "sum":
        return None
    spread = hasattr(other, "shape") and result.numel() > before.numel()
    if spread and func not in known["add"] | known["sub"]:
        if tracked.use.modules:
            tracked.use.met_values = True
        return None
    if func in known["expand"] and result.shape[-2:] == before.shape[-2:] and tracked.nonlinear:
        return replace(tracked, use=replace(tracked.use, numel=result.numel()))
    nonlinear = tracked.nonlinear or func not in known["linear"] | known["add"] | known["sub"]
    return replace(tracked, stage="derived", nonlinear=nonlinear, logits=None)


def _same_size(
    func: Callable[..., Any],
    tracked: TrackedTensor,
    other: Any,
    partner: TrackedTensor | None,
    result: Tensor,
) -> TrackedTensor:
    """Return what an operation that keeps the size makes of scores, exponentials or weights."""
    known = operators()
    arithmetic = known["add"] | known["sub"] | known["mul"] | known["div"]
    of_scores = func in known["mul"] | known["div"] and partner is not None
    if func not in known["linear"] | arithmetic or of_scores:
        tracked = replace(tracked, nonlinear=True)
    if func in known["tanh"] and tracked.stage == "scores":
        # A bias inside the tanh cannot be expressed by the fields of a call.
        first = tracked.bias is None and tracked.soft_cap is None
        return replace(tracked, soft_cap=1.0, trusted=tracked.trusted and first)
    if tracked.stage == "log":  # anything but exp
        return replace(tracked, stage="derived", logits=None)
    if other is None:
        return tracked
    if func in known["div"] and tracked.stage == "exp":
        if partner is not None and partner.stage == "sum" and partner.use is tracked.use:
            return replace(tracked, stage="weights", weights=result.detach())
        return tracked
    if tracked.stage == "scores" and func in known["mul"] | known["div"]:
        return scale_scores(tracked, other, result, inverse=func in known["div"])
    if tracked.stage == "scores" and func in known["add"] | known["sub"]:
        return add_to_scores(tracked, other, result, negative=func in known["sub"])
    return tracked


def rows_sum_to_one(weights: Tensor) -> bool:
    """Whether each row of weights sums to 1, or to 0 if it sees no key."""
    total = weights.float().sum(-1)
    return bool(((total - 1).abs() <= SUM_TOLERANCE).logical_or(total == 0).all())


def writes_in_place(func: Callable[..., Any], kwargs: dict[str, Any]) -> bool:
    """Whether a function that returned its argument has changed it in place."""
    name = getattr(func, "__name__", "")
    marked = name.endswith("_") and not name.endswith("__")
    return (
        marked
        or name.startswith("__i")
        or bool(kwargs.get("inplace"))
        or kwargs.get("out") is not None
    )


def mixes_heads(
    func: Callable[..., Any], tracked: TrackedTensor, before: Tensor, results: list[Tensor]
) -> bool:
    """Whether a layer leaves the axes of queries and keys as they are, and works along another."""
    if not results:
        return False
    axes = before.shape[:-1] if func in operators()["linear layer"] else before.shape[2:]
    sizes = sorted((tracked.use.query_len, tracked.use.key_len))
    return results[0].numel() == before.numel() and any(
        sizes == sorted(pair) for pair in combinations(axes, 2)
    )


def followed(
    func: Callable[..., Any], before: Tensor, tracked: TrackedTensor, results: Sequence[Any]
) -> list[Tensor]:
    """Return the results to follow: floats, numbers of chosen keys, and what is made of those."""
    import torch

    known = operators()
    tensors = [x for x in results if isinstance(x, torch.Tensor)]
    compares = func in known["compare"] and bool(tensors)
    if (
        not before.is_floating_point()
        or func in known["choose"]
        or (compares and tensors[0].numel() == tracked.use.numel)
    ):
        return tensors
    return [x for x in tensors if x.is_floating_point()]


def picks_keys(source: Any, tracked: TrackedTensor, results: list[Tensor]) -> bool:
    """Whether values, of a sequence as long as the keys, are picked by the numbers of keys."""
    floats = bool(results) and results[0].is_floating_point()
    return floats and source.dim() > 2 and tracked.use.key_len in source.shape[1:-1]


def is_layer(product: Product, tracked: TrackedTensor) -> bool:
    """Whether a product applies one matrix to a batch of what is no softmax.

    So does a layer whose weights are no parameters, such as one that is quantised.
    """
    matrix = product.equation is None and product.right.dim() == 2 < product.left.dim()
    return matrix and not tracked.use.modules


def sums_heads(product: Product, tracked: TrackedTensor) -> bool:
    """Whether scores (…, S, H) are summed over heads, each with a factor for every query.

    So does what chooses keys for another attention (DeepSeek's indexer).
    """
    key_len, heads = product.left.shape[-2:]
    use = tracked.use
    transposed = key_len != heads and (heads, key_len) == (use.query_len, use.key_len)
    computed = product.mixes_values and not use.modules
    return transposed and computed and streams().length(product.right) not in {None, heads}


def reads_parameter(args: tuple[Any, ...]) -> bool:
    """Whether one of the arguments is a parameter, or a view of one."""
    from torch.nn import Parameter

    bases = [getattr(argument, "_base", None) for argument in args]
    return any(isinstance(x, Parameter) for x in (*args, *bases))


def keeps_weights(product: Product, result: Tensor, tracked: TrackedTensor) -> bool:
    """Whether a product mixes heads and leaves queries and keys as they are."""
    if product.equation is not None:
        letters = product.equation[0][-2:]
        return all(letter in product.equation[2] for letter in letters)
    # As matmul(mix, weights) with the axes of queries and keys in one.
    sizes = {tracked.use.query_len, tracked.use.key_len}
    return result.numel() == product.left.numel() and not sizes & set(product.left.shape[-2:])
