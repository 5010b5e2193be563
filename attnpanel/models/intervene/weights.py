"""Weights that replace a model's own: uniform, diagonal, an array, or another trace's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from attnpanel.attention.validation import as_array, check_choice
from attnpanel.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from attnpanel.models.intervene.target import CallTarget
    from attnpanel.trace.call import AttentionCall


@dataclass(frozen=True, eq=False)
class WeightsRule:
    """Where the weights come from.

    Attributes
    ----------
    kind : {"uniform", "diagonal", "array", "trace"}
    array : float array broadcastable to (B, chosen heads, T, S), or None
    trace : Trace or None
        Its first call in a layer replaces the layer's first call, and so on; after the last one it
        starts again.
    """

    kind: Literal["uniform", "diagonal", "array", "trace"]
    array: NDArray[np.floating] | None = None
    trace: Trace | None = None

    def weights(
        self, target: CallTarget, heads: Sequence[int], visible: Tensor, call_number: int
    ) -> Tensor:
        """Return the weights of the chosen heads in one call.

        Parameters
        ----------
        target : CallTarget
        heads : sequence of int
            Their numbers.
        visible : bool tensor of shape (B, heads, T, S)
            Which keys each query may see; ``"uniform"`` respects it.
        call_number : int
            How many calls this layer had before, in the block.

        Returns
        -------
        float32 tensor of shape (B, heads, T, S)

        Raises
        ------
        ValueError
            If sizes disagree, a query has no key at its own position, or the trace has no such
            layer or head.
        """
        full = (target.batch, len(heads), target.query_len, target.key_len)
        if self.kind == "uniform":
            count = visible.sum(-1, keepdim=True)
            return visible.float() / count.clamp(min=1)
        if self.kind == "diagonal":
            return _diagonal(target).expand(full)
        if self.trace is not None:
            array = _from_trace(self.trace, target.layer, heads, call_number)
        else:
            assert self.array is not None  # noqa: S101 - the only kind that is left
            array = self.array
        return target.broadcast("weights", array, "(B, chosen heads, T, S)", full)


def weights_rule(weights: Any) -> WeightsRule | None:
    """Check the `weights` of :func:`attnpanel.intervene`; None if they are not replaced.

    Raises
    ------
    ValueError
        If they are no known word, no trace, and no array of numbers.
    """
    if weights is None:
        return None
    if isinstance(weights, str):
        check_choice("weights", weights, ("uniform", "diagonal"))
        return WeightsRule(weights)  # type: ignore[arg-type]  # checked above
    if isinstance(weights, Trace):
        return WeightsRule("trace", trace=weights)
    array = as_array(weights)
    if not np.issubdtype(array.dtype, np.floating) or array.ndim > 4:
        raise ValueError(
            "weights must be 'uniform', 'diagonal', a Trace or a float array of up to four axes; "
            f"got {array.dtype} of shape {array.shape}"
        )
    return WeightsRule("array", array=array)


def _diagonal(target: CallTarget) -> Tensor:
    import torch

    if target.q_offset + target.query_len > target.key_len:
        raise ValueError(
            "weights='diagonal' needs a key at each query's position; layer "
            f"{target.layer!r} has {target.query_len} queries from position {target.q_offset} and "
            f"{target.key_len} keys"
        )
    weights = torch.zeros(target.query_len, target.key_len, device=target.device)
    weights.diagonal(target.q_offset).fill_(1)
    return weights


def _from_trace(
    trace: Trace, layer: str, heads: Sequence[int], call_number: int
) -> NDArray[np.floating]:
    calls = [call for call in trace.calls if call.layer == layer]
    if not calls:
        known = ", ".join(dict.fromkeys(call.layer for call in trace.calls)) or "none"
        raise ValueError(f"weights: the trace must have layer {layer!r}; it has {known[:200]}")
    call = calls[call_number % len(calls)]
    indices = [_head_index(head, call, trace) for head in heads]
    return np.stack(
        [[call.weights(index, entry) for index in indices] for entry in range(call.batch)]
    )


def _head_index(head: int, call: AttentionCall, trace: Trace) -> int:
    """Return the index of a head in a trace that may hold a subset of the heads."""
    numbers = trace.head_numbers(call)
    if head not in numbers:
        raise ValueError(
            f"weights: the trace must hold head {head} of layer {call.layer!r}; it holds {numbers}"
        )
    return numbers.index(head)
