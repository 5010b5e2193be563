"""Tell which sequence a tensor belongs to, so that self-attention is known from cross-attention.

Lengths don't tell: queries may be pooled (Funnel) and keys reduced (Segformer). Each input of the
model and each embedding begins a sequence. What a function computes belongs to the sequence of the
first tensor that it is given: residual sums and products keep that of their left side, so that the
output of cross-attention belongs to the queries' sequence. What is made of parameters, buffers
or constants alone, such as a prefix, belongs to the sequence that it is joined with; zeros in the
shape of a tensor to none.
"""

from __future__ import annotations

import weakref
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.batch_rows import BatchRows
from attnpanel.models.intercept.call import running_modules
from attnpanel.models.intercept.feature_axes import FeatureAxes
from attnpanel.models.intercept.torch_operators import moved_axes, named, operators

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from attnpanel.models.intercept.batch_rows import Rows
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
        self.axes = FeatureAxes()
        self.rows = BatchRows()
        self._known: dict[int, tuple[weakref.ref[Tensor], frozenset[int]]] = {}
        self._numbers = count()
        self._learned: set[int] = set()  # made of parameters alone
        self._lengths: dict[int, int] = {}
        self._limit = MAX_KNOWN
        # What lays out a window around each position, and what has changed the order of positions.
        self._windows: dict[int, weakref.ref[Tensor]] = {}
        self._moved: dict[int, tuple[weakref.ref[Tensor], nn.Module | None]] = {}
        # How many places of what is learned end what was joined.
        self._added: dict[int, tuple[weakref.ref[Tensor], int]] = {}

    def follow(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """Note what a function has computed. It runs after every one, so it must be fast."""
        results = (result,) if type(result) is self._tensor else result
        written = func is self._tensor.__setitem__
        if not written:
            results = [x for x in results if type(x) is self._tensor and _has_numbers(x)]
            if not results or func in _shaped_alike():
                return
        streams: list[frozenset[int]] = []
        first = self._collect(args, streams)
        if not streams and kwargs:
            first = self._collect(tuple(kwargs.values()), streams) if first is None else first
        keeps_left = func in _keeping_left()
        learned = all(stream <= self._learned for stream in streams)
        if first is not None and (learned or (keeps_left and first is next(iter(args), None))):
            stream = self._begin(first)
            self._learned |= stream if _is_buffer(first) else frozenset()
            self._set(first, stream)
        elif not streams:
            stream = self._begin(args[0] if written else results[0])
            if func in _constants() or _of_parameters(args):
                self._learned |= stream
        elif len(streams) == 1 or keeps_left:
            stream = streams[0]
            # Learned queries that have read another sequence are no longer learned alone.
            self._learned -= frozenset() if learned else stream
        else:
            numbers = frozenset().union(*streams)
            stream = frozenset(sorted(numbers - self._learned or numbers)[-MAX_JOINED:])
        for tensor in (x for x in args[:1] if _has_numbers(x)) if written else results:
            self._set(tensor, stream)
        if not written:
            self._follow_added(func, args, kwargs, results)
            self._follow_places(func, args, kwargs, results)

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
                elif first is None and _has_numbers(value):
                    first = value
            elif type(value) in (tuple, list):
                inner = self._collect(tuple(value), streams)
                first = inner if first is None else first
        return first

    def _follow_places(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], results: Any
    ) -> None:
        """Note rows of a batch, windows of a sequence, and sequences put in another order."""
        self.rows.follow(func, args, kwargs, results)
        if not (self._windows or self._moved or func in _picking()):
            return
        source, result = args[0] if args else None, results[0]
        if type(source) is not self._tensor or source.dim() < 3:
            return
        if func in _picking():
            picks = func is not self._tensor.__getitem__ or moved_axes(func, args, kwargs)
            if result.dim() > source.dim() and picks:
                self._windows[id(result)] = weakref.ref(result)
            elif self._changes_order(func, args, kwargs, result):
                module = next(iter(running_modules()), None)
                self._moved[id(result)] = weakref.ref(result), module
                return
        elif func not in _keeping_places():
            return
        if self.is_window(source):
            self._windows.update((id(x), weakref.ref(x)) for x in results)
        moved = self._moved.get(id(source))
        if moved is not None and moved[0]() is source:
            self._moved.update((id(x), (weakref.ref(x), moved[1])) for x in results)

    def _follow_added(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], results: Any
    ) -> None:
        """Note what is learned and joined after a sequence, such as a key of zeros."""
        known = operators()
        count = 0
        if func in known["concatenate"] and args and results[0].dim() > 2:
            axis = kwargs.get("dim", args[1] if len(args) > 1 else 0)
            if axis not in {-2, results[0].dim() - 2} or self.learned(results[0]):
                return
            for part in reversed(args[0]):
                own = self.learned(part)
                count += part.shape[-2] if own else self.added(part)
                if not own:
                    break
        elif self._added and func in known["layout"]:
            count = self.added(args[0])
        if count:
            self._added |= {id(x): (weakref.ref(x), count) for x in results}

    def added(self, tensor: Any) -> int:
        """Return how many places of what is learned end a sequence that others begin."""
        known = self._added.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else 0

    def _changes_order(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Tensor,
    ) -> bool:
        """Whether positions change places, and not sequences of a batch, heads or channels."""
        source = args[0]
        if result.shape != source.shape:
            return False
        axes = moved_axes(func, args, kwargs)
        axes = [axis + source.dim() if axis < 0 else axis for axis in axes]
        length = self.length(source) or 0
        moves = length > 1 and any(
            0 < axis < source.dim() - 1 and source.shape[axis] == length for axis in axes
        )
        return moves and not result.equal(source)  # such as an index of all positions in order

    def is_window(self, tensor: Any) -> bool:
        """Whether a tensor (…, T, W, C) holds a window of a sequence around each position."""
        known = self._windows.get(id(tensor))
        return known is not None and known() is tensor

    def reordered(self, tensor: Tensor) -> bool:
        """Whether the module that is running has changed the order of a sequence (…, T, C)."""
        known = self._moved.get(id(tensor))
        if known is None or known[0]() is not tensor:
            return False
        return known[1] is next(iter(running_modules()), None)

    def adopt(self, result: Any, query: Tensor) -> None:
        """Let the output of an attention belong to the sequence of its queries."""
        if _is_floating(result):
            self._set(result, self._of(query))
            self._learned -= self._of(query)

    def kind(self, query: Tensor, key: Tensor) -> Kind | None:
        """Return whether keys come from the queries' sequence; None if from several."""
        own, others = self._of(query), self._of(key)
        if own == others:
            return "cross" if self.rows.differ(query, key) else "self"
        return "cross" if own.isdisjoint(others) else None

    def sequences(self, tensor: Tensor) -> Rows:
        """Return which sequences of a batch a tensor holds, slowest axis first; none if not known.

        By their order, else by where in memory their channels are.
        """
        rows = self.rows.rows(tensor)
        single = not tensor.is_nested and tensor.shape[:-2].numel() == 1
        if rows or not single or tensor.is_meta:
            return rows
        offset = self.axes.offset_of_sequence(tensor)
        return () if offset is None else ((-tensor.untyped_storage().data_ptr(), offset),)

    def learned(self, tensor: Tensor) -> bool:
        """Whether a tensor is made of parameters, buffers or constants alone."""
        from torch.nn import Parameter

        return isinstance(tensor, Parameter) or self._of(tensor) <= self._learned

    def length(self, tensor: Tensor) -> int | None:
        """Return the length of the sequence that a tensor belongs to, if it is known."""
        lengths = [self._lengths.get(number) for number in self._of(tensor)]
        return max((length for length in lengths if length is not None), default=None)

    def has_length(self, number: int) -> bool:
        """Whether a sequence has this length."""
        return number in self._lengths.values()

    def _of(self, tensor: Tensor) -> frozenset[int]:
        stream = self._get(tensor)
        if stream is None:
            stream = self._begin(tensor)
            self._set(tensor, stream)
        return stream

    def _begin(self, tensor: Tensor | None) -> frozenset[int]:
        """Begin a sequence with a tensor (…, T, C)."""
        number = next(self._numbers)
        if tensor is not None:
            self.rows.begin(tensor)
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


@cache
def _picking() -> frozenset[Any]:
    """Return the functions that change places along an axis, or lay out windows."""
    known = operators()
    return frozenset(known["pick"] | known["reorder"] | known["window"])


@cache
def _shaped_alike() -> frozenset[Any]:
    """Return the functions that take nothing of a tensor but its shape, and write other numbers.

    Empty tensors are filled with what belongs to the same sequence, mostly.
    """
    return frozenset(named("zeros_like ones_like full_like rand_like randn_like"))


@cache
def _constants() -> frozenset[Any]:
    return frozenset(named("zeros ones full empty eye"))


def _is_buffer(tensor: Tensor) -> bool:
    """Whether the running module has a tensor for a buffer."""
    module = next(iter(running_modules()), None)
    return module is not None and any(tensor is own for own in module.buffers(recurse=False))


def _of_parameters(args: tuple[Any, ...]) -> bool:
    """Whether the tensors among arguments are parameters."""
    from torch import Tensor
    from torch.nn import Parameter

    tensors = [value for value in args if isinstance(value, Tensor)]
    return bool(tensors) and all(isinstance(tensor, Parameter) for tensor in tensors)


def _has_numbers(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


@cache
def _keeping_places() -> frozenset[Any]:
    """Return the functions after which the order of a sequence is as it was."""
    known = operators()
    arithmetic = known["add"] | known["sub"] | known["mul"] | known["div"]
    return frozenset(known["layout"] | arithmetic | known["linear layer"])


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
    recurrent = named("rnn_tanh rnn_relu lstm gru")
    arithmetic = known["add"] | known["sub"] | known["mul"] | known["div"]
    others = {*products, *attention, torch.Tensor.matmul, *recurrent}
    return frozenset(arithmetic | known["layer"] | others)
