"""The linear layer that reads the outputs of a call's heads side by side, known by its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.models.capture.weight_check import TOLERANCE, attention_of_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from attnpanel.trace.call import AttentionCall

# Queries whose outputs are compared.
COMPARED = 4


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear layer as it ran: ``result = source @ weight + bias``.

    Attributes
    ----------
    source : tensor of shape (…, inputs)
    weight : tensor of shape (inputs, outputs)
    bias : tensor of shape (outputs,), or None
    result : tensor of shape (…, outputs)
    """

    source: Tensor
    weight: Tensor
    bias: Tensor | None
    result: Tensor

    @property
    def tolerance(self) -> float:
        """How far results may lie from those in float32, relative to the largest."""
        return TOLERANCE.get(str(self.result.dtype).removeprefix("torch."), 0.0)


def read_linear(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> Linear | None:
    """Return the linear layer that a torch function computed; None if it is another function."""
    import torch
    from torch.nn import functional

    if func is functional.linear:
        named = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
        weight = named["weight"]
        return Linear(named["input"], weight.mT, named.get("bias"), result)
    if func is torch.addmm and len(args) == 3 and not kwargs:
        bias, source, weight = args
        return Linear(source, weight, bias, result) if bias.dim() == 1 else None
    if func in {torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__} and len(args) == 2:
        source, weight = args
        known = isinstance(weight, torch.nn.Parameter) or isinstance(
            getattr(weight, "_base", None), torch.nn.Parameter
        )
        return Linear(source, weight, None, result) if known and weight.dim() == 2 else None
    return None


def heads_read_by(linear: Linear, call: AttentionCall, *, half: bool) -> Tensor | None:
    """Return the heads' outputs (B, T, H, Dv) in a linear layer's input; None if it has others.

    On some rows, the input must be the outputs of `call`, and the layer's result the sum of what
    its parts make of each head's. A head whose outputs are 0, as when it is knocked out, must be 0
    in that input; if all are, nothing tells the layer.
    """
    width = call.value_dim or 0
    source, (inputs, _) = linear.source, linear.weight.shape
    count = call.batch * call.query_len * call.heads * width
    if call.value is None or inputs != call.heads * width or source.numel() != count:
        return None
    queries = _some_queries(call)
    expected = _outputs(call, queries)
    tolerance = max(linear.tolerance, TOLERANCE["float16"] if half else 0)
    largest = np.abs(expected).max(axis=(0, 1, 3), keepdims=True)
    if not tolerance or not (largest > 0).any():
        return None
    for batch_first in (True, False):
        whole = _arranged(source, call, batch_first)
        heads = whole.reshape(*whole.shape[:2], call.heads, width)
        given = _numbers(heads[:, queries])
        if not (np.abs(given - expected) <= tolerance * largest).all():
            continue
        summed = expected.reshape(*expected.shape[:2], -1) @ _numbers(linear.weight)
        if linear.bias is not None:
            summed = summed + _numbers(linear.bias)
        own = _numbers(_arranged(linear.result, call, batch_first)[:, queries])
        agree = np.abs(own - summed) <= tolerance * np.abs(own).max()
        return heads if agree.all() else None
    return None


def writes_zeros(call: AttentionCall) -> bool:
    """Whether the outputs of all heads are 0, on some rows."""
    if call.value is None:
        return False
    try:
        return not _outputs(call, _some_queries(call)).any()
    except ValueError:  # scores beyond float32
        return False


def _some_queries(call: AttentionCall) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, call.query_len - 1, COMPARED).astype(np.intp))


def _arranged(tensor: Tensor, call: AttentionCall, batch_first: bool) -> Tensor:  # noqa: FBT001 - a plain fact
    """Return a tensor of the call's positions as (B, T, …)."""
    if batch_first:
        return tensor.detach().reshape(call.batch, call.query_len, -1)
    return tensor.detach().reshape(call.query_len, call.batch, -1).transpose(0, 1)


def _outputs(call: AttentionCall, queries: NDArray[np.intp]) -> NDArray[np.floating]:
    """Compute the outputs of some queries of each head, (B, queries, H, Dv)."""
    assert call.value is not None  # noqa: S101 - the caller checked
    if call.recorded_weights is None:
        output = attention_of_rows(call, queries, call.value).output
        assert output is not None  # noqa: S101 - there is a value
        return np.moveaxis(output, 1, 2)
    group = call.heads // call.kv_heads
    weights = call.recorded_weights[:, :, queries].astype(np.float32)
    return np.moveaxis(weights @ np.repeat(call.value, group, axis=1).astype(np.float32), 1, 2)


def _numbers(tensor: Tensor) -> NDArray[np.float32]:
    numbers: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return numbers
