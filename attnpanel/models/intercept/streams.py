"""Tell which sequence a tensor belongs to, so that self-attention is known from cross-attention.

Lengths don't tell: queries may be pooled (Funnel) and keys reduced (Segformer). Each input of the
model and each embedding begins a sequence. What a function computes belongs to the sequence of the
first tensor that it is given: residual sums and products keep that of their left side, so that the
output of cross-attention belongs to the queries' sequence.
"""

from __future__ import annotations

import weakref
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.torch_operators import operators

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from attnpanel.trace.call import Kind

# Sequences remembered of what was joined: the latest of a key/value cache.
MAX_JOINED = 3
# Tensors remembered before those that are gone are forgotten.
MAX_KNOWN = 4096


class Streams:
    """The sequences of one thread's tensors, by number."""

    def __init__(self) -> None:
        import torch

        self._tensor = torch.Tensor
        self._known: dict[int, tuple[weakref.ref[Tensor], frozenset[int]]] = {}
        self._numbers = count()
        self._lengths: dict[int, int] = {}
        self._limit = MAX_KNOWN

    def follow(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """Note what a function has computed. It runs after every one, so it must be fast."""
        results = (result,) if type(result) is self._tensor else result
        written = func is self._tensor.__setitem__
        if not written:
            results = [x for x in results if type(x) is self._tensor and x.is_floating_point()]
            if not results:
                return
        streams: list[frozenset[int]] = []
        first = self._collect(args, streams)
        if not streams and kwargs:
            first = self._collect(tuple(kwargs.values()), streams) if first is None else first
        if not streams:
            stream = self._begin(results[0] if first is None and not written else first)
        elif len(streams) == 1 or func in _keeping_left():
            stream = streams[0]
        else:
            stream = frozenset(sorted(frozenset().union(*streams))[-MAX_JOINED:])
        if first is not None and not streams:
            self._set(first, stream)
        for tensor in (x for x in args[:1] if x.is_floating_point()) if written else results:
            self._set(tensor, stream)

    def _collect(self, values: tuple[Any, ...], streams: list[frozenset[int]]) -> Tensor | None:
        """Add the sequences of the tensors among arguments; return the first tensor of none.

        A parameter, whose type is another, belongs to no sequence.
        """
        first = None
        for value in values:
            if type(value) is self._tensor:
                stream = self._get(value)
                if stream is not None:
                    streams.append(stream)
                elif first is None and value.is_floating_point():
                    first = value
            elif type(value) in (tuple, list):
                inner = self._collect(tuple(value), streams)
                first = inner if first is None else first
        return first

    def adopt(self, result: Any, query: Tensor) -> None:
        """Let the output of an attention belong to the sequence of its queries."""
        if _is_floating(result):
            self._set(result, self._of(query))

    def kind(self, query: Tensor, key: Tensor) -> Kind | None:
        """Return whether keys come from the queries' sequence; None if from several."""
        own, others = self._of(query), self._of(key)
        if own == others:
            return "self"
        return "cross" if own.isdisjoint(others) else None

    def length(self, tensor: Tensor) -> int | None:
        """Return the length of the sequence that a tensor belongs to, if it is known."""
        lengths = [self._lengths.get(number) for number in self._of(tensor)]
        return max((length for length in lengths if length is not None), default=None)

    def _of(self, tensor: Tensor) -> frozenset[int]:
        stream = self._get(tensor)
        if stream is None:
            stream = self._begin(tensor)
            self._set(tensor, stream)
        return stream

    def _begin(self, tensor: Tensor | None) -> frozenset[int]:
        """Begin a sequence with a tensor (…, T, C)."""
        number = next(self._numbers)
        if tensor is not None and tensor.dim() > 2 and not tensor.is_nested:
            self._lengths[number] = tensor.shape[-2]
        return frozenset({number})

    def _get(self, tensor: Tensor) -> frozenset[int] | None:
        known = self._known.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None

    def _set(self, tensor: Tensor, stream: frozenset[int]) -> None:
        if len(self._known) > self._limit:
            known = self._known.items()
            self._known = {number: entry for number, entry in known if entry[0]() is not None}
            self._limit = max(MAX_KNOWN, 2 * len(self._known))
        self._known[id(tensor)] = weakref.ref(tensor), stream


def _is_floating(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.is_floating_point()


@cache
def _keeping_left() -> frozenset[Any]:
    """Return the functions whose result belongs to the sequence of their first tensor."""
    import torch
    from torch.nn import functional

    known = operators()
    products = (torch.matmul, torch.bmm, torch.baddbmm, torch.einsum, torch.Tensor.__matmul__)
    attention = (
        functional.scaled_dot_product_attention,
        functional.multi_head_attention_forward,
    )
    arithmetic = known["add"] | known["sub"] | known["mul"] | known["div"]
    return frozenset(arithmetic | known["layer"] | {*products, *attention, torch.Tensor.matmul})
