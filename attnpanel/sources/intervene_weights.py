"""Weights that stand in place of a model's own: uniform, diagonal, given, or another trace's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from attnpanel.rules import check_choice
from attnpanel.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from attnpanel.attention_call import AttentionCall
    from attnpanel.sources.intervene_place import Place


@dataclass(frozen=True, eq=False)
class WeightsRule:
    """Where the weights come from.

    Attributes
    ----------
    kind : {"uniform", "diagonal", "array", "trace"}
    array : float array broadcastable to (B, chosen heads, T, S), or None
    trace : Trace or None
        Of its calls in the same layer the first serves the layer's first call, and so on; after
        the last one it starts anew.
    """

    kind: Literal["uniform", "diagonal", "array", "trace"]
    array: NDArray[np.floating] | None = None
    trace: Trace | None = None

    def weights(self, place: Place, heads: Sequence[int], visible: Tensor, turn: int) -> Tensor:
        """Return the weights of the chosen heads in one call.

        Parameters
        ----------
        place : Place
        heads : sequence of int
            Their numbers.
        visible : bool tensor of shape (B, heads, T, S)
            What each query may see; ``"uniform"`` keeps to it.
        turn : int
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
        full = (place.batch, len(heads), place.query_len, place.key_len)
        if self.kind == "uniform":
            count = visible.sum(-1, keepdim=True)
            return visible.float() / count.clamp(min=1)
        if self.kind == "diagonal":
            return _diagonal(place).expand(full)
        if self.trace is not None:
            given = _of_the_trace(self.trace, place.layer, heads, turn)
        else:
            assert self.array is not None  # noqa: S101 - the only kind that is left
            given = self.array
        return place.fill("weights", given, "(B, chosen heads, T, S)", full)


def weights_rule(weights: Any) -> WeightsRule | None:
    """Check what the caller gives as weights.

    Raises
    ------
    ValueError
        If it is no known word, no trace, and no array of numbers.
    """
    if weights is None:
        return None
    if isinstance(weights, str):
        check_choice("weights", weights, ("uniform", "diagonal"))
        return WeightsRule(weights)  # type: ignore[arg-type]  # checked above
    if isinstance(weights, Trace):
        return WeightsRule("trace", trace=weights)
    array = np.asarray(weights.detach().cpu() if hasattr(weights, "detach") else weights)
    if not np.issubdtype(array.dtype, np.floating) or array.ndim > 4:
        raise ValueError(
            "weights must be 'uniform', 'diagonal', a Trace or a float array of up to four axes; "
            f"got {array.dtype} of shape {array.shape}"
        )
    return WeightsRule("array", array=array)


def _diagonal(place: Place) -> Tensor:
    import torch

    if place.first + place.query_len > place.key_len:
        raise ValueError(
            "weights='diagonal' needs a key at each query's position; layer "
            f"{place.layer!r} has {place.query_len} queries from position {place.first} and "
            f"{place.key_len} keys"
        )
    weights = torch.zeros(place.query_len, place.key_len, device=place.device)
    weights.diagonal(place.first).fill_(1)
    return weights


def _of_the_trace(
    trace: Trace, layer: str, heads: Sequence[int], turn: int
) -> NDArray[np.floating]:
    calls = [call for call in trace.calls if call.layer == layer]
    if not calls:
        known = ", ".join(dict.fromkeys(call.layer for call in trace.calls)) or "none"
        raise ValueError(f"weights: the trace must have layer {layer!r}; it has {known[:200]}")
    call = calls[turn % len(calls)]
    places = [_place_of(head, call, trace) for head in heads]
    return np.stack(
        [[call.weights(place, entry) for place in places] for entry in range(call.batch)]
    )


def _place_of(head: int, call: AttentionCall, trace: Trace) -> int:
    """Where a head lies in a trace that may be a part of another one."""
    kept = trace.chosen.heads if trace.chosen is not None else None
    known = tuple(range(call.heads)) if kept is None else kept
    if head not in known:
        raise ValueError(
            f"weights: the trace must hold head {head} of layer {call.layer!r}; it holds {known}"
        )
    return known.index(head)
