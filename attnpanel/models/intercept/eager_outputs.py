"""Follow the output of an attention, to tell whether it is whole: a piece is no attention.

An output that something computed from scores rescales, or that is joined with another one along the
queries, comes from other weights than those of its softmax.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.call import running_modules
from attnpanel.models.intercept.session import note_use, streams
from attnpanel.models.intercept.torch_operators import operators
from attnpanel.models.intercept.tracked_scores import (
    IN_PIECES,
    RESCALED,
    SOME_QUERIES,
    ScoreUse,
    TrackedTensor,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    Find = Callable[[Any], TrackedTensor | None]


class MixedValues:
    """The outputs of attentions, and what is computed of them by element."""

    def __init__(self) -> None:
        from torch.utils.weak import WeakTensorKeyDictionary

        self._uses: Any = WeakTensorKeyDictionary()

    def begin(self, output: Tensor, use: ScoreUse) -> None:
        """Follow an output from here on."""
        self._uses[output] = use

    def follow(self, func: Callable[..., Any], args: tuple[Any, ...], result: Any) -> None:
        """Note what a function makes of outputs; layers end it."""
        if not self._uses.data or func in operators()["linear layer"]:
            return
        for source in tensors_of(args):
            use = self._uses.get(source)
            if use is not None:
                for tensor in tensors_of((result,)):
                    if tensor.numel() == source.numel():
                        self._uses[tensor] = use
                return

    def repeats(self, values: Tensor, output: Tensor, use: ScoreUse) -> bool:
        """Whether the same weights have mixed what these values are made of."""
        found = self._uses.get(values) is use
        if found:
            self.begin(output, use)
        return found


def follow_output(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    before: Tensor,
    tracked: TrackedTensor,
    find: Find,
) -> bool:
    """Note what a function makes of an output.

    Parameters
    ----------
    func, args, kwargs : the function and its arguments
    before : tensor
        The output among them.
    tracked : TrackedTensor
        What is known of it.
    find : function
        Returns what is known of a tensor.

    Returns
    -------
    bool
        Whether the result is the same output in another layout.
    """
    known, use = operators(), tracked.use
    if func in known["layout"] or func in known["solve"]:
        return True
    tensors = [x for x in tensors_of((*args, *kwargs.values())) if x is not before]
    others = [(x, found) for x in tensors if (found := find(x)) is not None]
    outputs = [found for _, found in others if found.stage == "output" and found.use is not use]
    if func in known["mul"] | known["div"] | known["blend"]:
        if any(_rescales(x, found, use) for x, found in others):
            lose(use, RESCALED)
    elif func in known["place"] and args[0] is not before:
        _note_place(tracked, args[0])
    elif outputs and (
        func in known["place"] | known["select"]
        or _joins_queries(func, args, kwargs, before, tracked)
    ):
        for piece in (tracked, *outputs):
            lose(piece.use, IN_PIECES)
    return bool(outputs) and func in known["join"] - known["concatenate"]


def fused_outputs(
    query: Any, values: TrackedTensor | None, result: Any, modules: tuple[nn.Module, ...]
) -> Iterator[tuple[Tensor, TrackedTensor]]:
    """Yield what is known of the output of a function that computes attention.

    Parameters
    ----------
    query : tensor
    values : TrackedTensor or None
        What is known of its values.
    result : tensor (…, T, Dv), or a tuple that begins with one
        Whatever else has the axes (…, T) is a log-sum-exp of the scores, or their weights.
    modules : tuple of torch.nn.Module
        The running modules, innermost first.
    """
    output, *others = result if isinstance(result, tuple) else (result,)
    if output.is_nested or output.dim() < 3:
        return
    use = ScoreUse(output.shape[-2], 0, 0, modules, recorded=True, intervened=True)
    lose_low_rank(use, values)
    alias = output.detach()
    length = streams().length(query)
    tracked = TrackedTensor(alias, alias, 1.0, use, stage="output", sequence_len=length)
    yield output, tracked
    for tensor in tensors_of((others,)):
        if _is_of_queries(tensor, output):
            own = replace(use, recorded=tensor.dim() < output.dim(), modules=())
            yield tensor, replace(tracked, stage="derived", use=own, nonlinear=True)


def _is_of_queries(tensor: Tensor, output: Tensor) -> bool:
    """Whether a kernel of attention gives something of its scores beside its output (…, T, Dv).

    A kernel may have filled up the queries to a multiple of its blocks.
    """
    if not tensor.is_floating_point() or tensor.dim() < output.dim() - 1:
        return False
    *lead, query_len, _ = output.shape
    return tensor.shape[: len(lead)] == tuple(lead) and tensor.shape[len(lead)] >= query_len


def lose(use: ScoreUse, reason: str) -> None:
    """Note that a call is not all of the attention that it seems to be."""
    use.recorded, use.met_values, use.reason = False, True, reason
    note_use(use)


def lose_low_rank(use: ScoreUse, values: TrackedTensor | None) -> None:
    """Note that the values are outputs of fewer queries, in the same module."""
    if values is None or values.stage != "output":
        return
    inner = values.use
    if inner.query_len < use.query_len and inner.modules[:1] == use.modules[:1]:
        for piece in (use, inner):
            lose(piece, IN_PIECES)


def used_by_element(use: ScoreUse, weights: Tensor, values: Any) -> ScoreUse | None:
    """Return the use of weights (…, T, S, 1) that are multiplied with values, not summed yet.

    Values are (…, S, Dv) of a sequence, or of a window of one around each query.
    """
    by_value = tuple(weights.shape[-2:]) == (use.key_len, 1)
    if not by_value or not hasattr(values, "shape") or values.dim() < 2:
        return None
    if values.shape[-1] == 1 or values.shape[-2] != use.key_len:
        return None
    window = streams().is_window(values)
    if not window and use.key_len != streams().length(values):
        return None
    reason = IN_PIECES if window else use.reason
    return replace(use, modules=running_modules(), met_values=True, reason=reason)


def _rescales(tensor: Tensor, found: TrackedTensor, use: ScoreUse) -> bool:
    """Whether a factor of an output is computed from scores, or is one of its own columns.

    Such a column has summed the weights. A product with one matrix for a whole batch is a layer.
    """
    if found.stage == "output":
        return found.use is use and tensor.shape[-1] == 1
    return found.scored and found.key.dim() > 2


def rescales_product(factor: TrackedTensor, other: TrackedTensor | None) -> bool:
    """Note if what a product multiplies by something computed from scores is an output."""
    if other is None or other.stage != "output" or not factor.scored or factor.key.dim() < 3:
        return False
    lose(other.use, RESCALED)
    return True


def _joins_queries(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    output: Tensor,
    tracked: TrackedTensor,
) -> bool:
    """Whether outputs are joined along the axis of their queries, and not that of heads."""
    if func not in operators()["concatenate"] or output.dim() < 3:
        return False
    axis = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))
    axis = axis + output.dim() if axis < 0 else axis
    length, lead = output.shape[axis], tracked.query.shape[:-2]
    heads = output.dim() == 4 and axis == 1 and len(lead) > 1 and length == lead[-1]
    between = 0 < axis < output.dim() - 1
    return between and not heads and length <= tracked.use.query_len


def _note_place(tracked: TrackedTensor, target: Tensor) -> None:
    """Note that outputs were put into a tensor, which may have rows for other queries, too."""
    use = tracked.use
    few = use.query_len < (tracked.sequence_len or 0)
    if few and target.dim() > 1 and target.shape[-2] > use.query_len:
        lose(use, SOME_QUERIES)


def tensors_of(values: tuple[Any, ...]) -> Iterator[Any]:
    """List the tensors among arguments, and in their lists and tuples."""
    import torch

    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (item for item in value if isinstance(item, torch.Tensor))
