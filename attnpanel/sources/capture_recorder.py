"""Turns the calls a model makes into the calls a trace keeps."""

from __future__ import annotations

import re
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.attention import attend
from attnpanel.attention_call import AttentionCall, Kind
from attnpanel.sources.capture_budget import CaptureBudgetError
from attnpanel.sources.capture_folded import heads_in_batch, unfolded
from attnpanel.sources.capture_masks import MaskReader, hidden_at
from attnpanel.sources.capture_steps import Steps, joined, joined_bytes, weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from attnpanel.sources.capture_budget import Budget
    from attnpanel.sources.capture_seen import SeenCall
    from attnpanel.sources.capture_steps import Picture
    from attnpanel.trace import Trace

HALF_MAX = 65504.0  # the largest float16
# Rows of each head on which recomputed weights are compared with the model's own.
CHECKED_ROWS = 8
# How far they may differ, by the model's precision: sums are taken in another order.
TOLERANCE = {"float64": 1e-4, "float32": 1e-4, "float16": 5e-3, "bfloat16": 3e-2}
# How model code names attention over another sequence: T5, BART and Whisper, BERT and GPT-2.
CROSS = re.compile(r"cross|encoder_attn|enc_?dec", re.IGNORECASE)


class Recorder:
    """One capture: which calls are wanted, how they are stored, and what was left out.

    Parameters
    ----------
    model : torch.nn.Module
    layers : sequence of str
        Globs over the modules' qualified names.
    half : bool
        Store float16 where it can hold the numbers.
    values : bool
        Keep the values.
    weights : bool
        Store every call's weights in place of its queries and keys.
    folded_heads : int or None
        How many heads lie in the batch of three axes, where the caller tells it.
    budget : Budget
        What may be stored.
    trace : Trace
        Filled as the model runs.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        layers: Sequence[str],
        half: bool,
        values: bool,
        weights: bool,
        folded_heads: int | None,
        budget: Budget,
        trace: Trace,
    ) -> None:
        self.names = qualified_names(model)
        self.model = model  # keeps the ids above valid
        self.layers, self.half, self.values = tuple(layers), half, values
        self.weights, self.folded_heads = weights, folded_heads
        self.budget = budget
        self.trace = trace
        self.seen = 0
        self.unwanted: list[str] = []
        self.left_out: dict[str, str] = {}
        # Layers whose steps stay apart: there was no room to put them below each other.
        self.unjoined: list[str] = []
        self._masks = MaskReader()
        self._steps = Steps()

    def record(self, seen: SeenCall) -> None:
        """Add one call to the trace, if it is this model's and its layer is wanted."""
        layer = self._layer(seen.modules)
        if layer is None:
            return
        index, self.seen = self.seen, self.seen + 1
        if not any(fnmatchcase(layer, pattern) for pattern in self.layers):
            self.unwanted.append(layer)
            return
        # One capture that can't keep a call must not keep it from the others around it.
        stored, masks = self.budget.stored, self._masks.stored_bytes
        try:
            call = self._store(seen, layer, index)
        except BaseException as error:
            self.budget.stored = stored
            self._steps.forget(layer)
            if not isinstance(error, (ValueError, RuntimeError, TypeError)):
                raise
            self.left_out.setdefault(str(error), layer)
        else:
            self.trace.append(call)
            shared = self._masks.stored_bytes - masks
            self._steps.add(call, self.budget.stored - stored - shared)

    def join_steps(self) -> None:
        """Make one call a layer of what was generated step by step.

        A layer's steps go before the next layer's picture is made.
        """
        for picture in self._steps.of_several_calls():
            self._join(picture)

    def _join(self, picture: Picture) -> None:
        first, steps = picture.calls[0], set(map(id, picture.calls))
        try:
            self.budget.take(joined_bytes(picture), first.layer)
        except CaptureBudgetError:
            self.unjoined.append(first.layer)
            return
        one = joined(picture)
        calls = self.trace.calls
        self.trace.set_calls(
            one if call is first else call
            for call in calls
            if call is first or id(call) not in steps
        )
        self.budget.stored -= picture.stored

    def owns(self, modules: tuple[nn.Module, ...]) -> bool:
        """Whether a call in these modules, innermost first, is this model's."""
        return self._layer(modules) is not None

    def leave_out(self, modules: tuple[nn.Module, ...], reason: str) -> None:
        """Remember a call that can't be recorded, to be told when the capture ends."""
        layer = self._layer(modules)
        if layer is not None:
            self.left_out.setdefault(reason, layer)

    def _layer(self, modules: tuple[nn.Module, ...]) -> str | None:
        return next((self.names[id(m)] for m in modules if id(m) in self.names), None)

    def _store(self, seen: SeenCall, layer: str, index: int) -> AttentionCall:
        import torch

        seen = _padded(seen)
        if seen.folded:
            count = heads_in_batch(len(seen.query), seen.modules, self.folded_heads)
            seen = unfolded(seen, count)
        seen = _without_unused(seen, layer)
        query, key, value = self._arrays(seen.query, seen.key, seen.value, layer)
        masks = self._masks.stored_bytes
        sees = self._masks.read(seen.mask, seen.bias, query.shape[2], key.shape[2])
        self.budget.take(self._masks.stored_bytes - masks, layer)
        if seen.causal != "none" and sees.causal not in {"none", seen.causal}:
            raise ValueError("a causal call must not have a mask with another causal rule")
        causal = sees.causal if seen.causal == "none" else seen.causal
        kind = seen.kind or _kind(layer, query.shape[2], key.shape[2], sees.mask, causal)
        offset = 0
        if kind == "self" and causal != "top_left" and key.shape[2] > query.shape[2]:
            last = _last_visible(sees.mask, key.shape[2])
            offset = last + 1 - query.shape[2] if seen.first is None else seen.first
        call = AttentionCall(
            layer,
            index,
            kind,
            query=query,
            key=key,
            value=value,
            mask=sees.mask,
            bias=sees.bias,
            causal=causal,
            scale=seen.scale,  # type: ignore[arg-type]  # None stands for 1 / sqrt(D)
            q_offset=max(offset, 0),
            soft_cap=seen.soft_cap,
            sinks=None if seen.sinks is None else _copy(seen.sinks, torch.float32),
        )
        return self._steps.place(call, self._checked(call, seen), self.budget)

    def _arrays(
        self, query: Tensor, key: Tensor, value: Tensor, layer: str
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
        """Copy to the CPU, all three in one dtype: a call that float16 can't hold is float32."""
        import torch

        kept = [query, key, *([value] if self.values else [])]
        for name, tensor in zip(("query", "key", "value"), kept, strict=False):
            if tensor.device.type == "meta" or tensor.is_nested:
                what = "nested" if tensor.is_nested else "on the meta device, without numbers"
                raise ValueError(f"{name} must be an ordinary tensor; it is {what}")
        dtype = torch.float32
        if self.half and all(_fits_half(tensor) for tensor in kept):
            dtype = torch.float16
        self.budget.take(sum(tensor.numel() for tensor in kept) * dtype.itemsize, layer)
        arrays = [_copy(tensor, dtype) for tensor in kept]
        return arrays[0], arrays[1], arrays[2] if self.values else None

    def _checked(self, call: AttentionCall, seen: SeenCall) -> AttentionCall:
        """Give back the call where it makes the model's weights, else one that holds them."""
        assert call.query is not None  # noqa: S101 - set in _store
        assert call.key is not None  # noqa: S101
        if seen.weights is None or seen.dropped:
            if not seen.trusted:
                raise ValueError(
                    "the model selects keys or changes its scores or weights in a way that "
                    "query, key and mask do not tell; load it with attn_implementation='eager' "
                    "and call eval(), and its own weights are recorded"
                )
            if not (np.isfinite(call.query).all() and np.isfinite(call.key).all()):
                raise ValueError("query and key must be finite; they hold nan or inf")
            return self._of_weights(call, None) if self.weights else call
        rows = np.unique(np.linspace(0, call.query_len - 1, CHECKED_ROWS).round().astype(int))
        # Scores in 16 bits are often given to a softmax in 32.
        precision = TOLERANCE[str(seen.key.dtype).removeprefix("torch.")]
        precision = max(precision, TOLERANCE["float16"] if self.half else 0)
        if seen.trusted and not self.weights and _agrees(call, seen.weights, rows, precision):
            return call
        return self._of_weights(call, seen.weights)

    def _of_weights(self, call: AttentionCall, weights: Tensor | None) -> AttentionCall:
        """Make a call that holds weights, the model's own or recomputed, and no query and key."""
        assert call.query is not None  # noqa: S101 - set in _store
        assert call.key is not None  # noqa: S101
        dtype = _half_or_float(half=self.half)
        self.budget.stored -= call.query.nbytes + call.key.nbytes
        size = call.batch * call.heads * call.query_len * call.key_len
        self.budget.take(size * dtype.itemsize, call.layer)
        return AttentionCall(
            call.layer,
            call.index,
            call.kind,
            value=call.value,
            recorded_weights=weights_of(call, "float16" if self.half else "float32")
            if weights is None
            else _copy(weights, dtype),
            scale=call.scale,
            q_offset=call.q_offset,
        )


def qualified_names(model: nn.Module) -> dict[int, str]:
    """Name each module of a model, by its id, leaving out what torch.compile wraps around some."""
    names = {
        id(module): ".".join(part for part in name.split(".") if part != "_orig_mod")
        for name, module in model.named_modules()
    }
    for module in (model, getattr(model, "_orig_mod", model)):
        names[id(module)] = type(module).__name__  # the root's qualified name is empty
    return names


def _agrees(
    call: AttentionCall, weights: Tensor, rows: NDArray[np.integer], precision: float
) -> bool:
    """Whether weights recomputed from what is stored are the model's, on some rows of each head."""
    import torch

    full = (call.batch, call.heads, call.query_len, call.key_len)
    if tuple(weights.shape) != full or call.query is None or call.key is None:
        return False
    if not np.isfinite(call.query).all() or not np.isfinite(call.key).all():
        return False
    own = weights.detach()[:, :, torch.from_numpy(rows).to(weights.device)]
    past = call.q_offset if call.causal == "top_left" else call.key_len - call.query_len
    sees = np.arange(call.key_len) <= rows[:, None] + past
    mask = sees if call.causal != "none" else np.ones_like(sees)
    if call.mask is not None:
        mask = mask & np.broadcast_to(call.mask, full)[:, :, rows]
    bias = None if call.bias is None else np.broadcast_to(call.bias, full)[:, :, rows]
    try:
        again = attend(
            call.query[:, :, rows],
            call.key,
            None,
            mask=mask,
            bias=bias,
            scale=call.scale,
            soft_cap=call.soft_cap,
            sinks=call.sinks,
        )
    except ValueError:  # scores beyond float32
        return False
    limit = max(TOLERANCE[str(weights.dtype).removeprefix("torch.")], precision)
    # A nan of the model's own is a difference, too.
    return bool(np.abs(again.weights - own.to("cpu", torch.float32).numpy()).max() <= limit)


def _padded(seen: SeenCall) -> SeenCall:
    """Pad a call of nested tensors, sequences of different lengths, with keys that nobody sees."""
    import torch

    if not (seen.query.is_nested and seen.key.is_nested):
        return seen
    if seen.mask is not None:
        raise ValueError("nested tensors must come without a mask; got one")

    def whole(nested: Tensor) -> Tensor:
        parts = [part.transpose(0, 1) for part in nested.detach().unbind()]  # (T of its own, H, D)
        return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True).transpose(1, 2)

    lengths = torch.tensor([part.shape[1] for part in seen.key.unbind()])
    key = whole(seen.key)
    there = torch.arange(key.shape[2]) < lengths[:, None, None, None]
    return replace(seen, query=whole(seen.query), key=key, value=whole(seen.value), mask=there)


def _without_unused(seen: SeenCall, layer: str) -> SeenCall:
    """Leave out the end of a static cache, which is not there yet: keys that nobody sees."""
    import torch

    key_len, mask = seen.key.shape[-2], seen.mask
    alone = seen.kind != "cross" and not CROSS.search(layer)
    if mask is None or not alone or not seen.query.shape[-2] < key_len == mask.shape[-1]:
        return seen
    sees = mask if mask.dtype == torch.bool else mask > hidden_at(mask.dtype)
    seen_by_any = sees.reshape(-1, key_len).any(dim=0).nonzero()
    if seen.first is not None:
        used = seen.first + seen.query.shape[-2]
    else:
        used = int(seen_by_any[-1]) + 1 if len(seen_by_any) else key_len
    if not seen.query.shape[-2] <= used < key_len:
        return seen
    return replace(
        seen,
        key=seen.key[..., :used, :],
        value=seen.value[..., :used, :],
        weights=None if seen.weights is None else seen.weights[..., :used],
    )


def _kind(
    layer: str, query_len: int, key_len: int, mask: NDArray[np.bool_] | None, causal: str
) -> Kind:
    """Tell self from cross attention by the layer's name, or by lengths that only one can have.

    A cached decoding step has more keys than queries, too; it has one query or a mask.
    """
    if CROSS.search(layer) or query_len > key_len:
        return "cross"
    open_to_all = causal == "none" and (mask is None or mask.shape[-2] == 1)
    return "cross" if 1 < query_len < key_len and open_to_all else "self"


def _last_visible(mask: NDArray[np.bool_] | None, key_len: int) -> int:
    """Find the last key that the last query sees: with cached keys that is its own."""
    if mask is None or mask.shape[-1] != key_len:
        return key_len - 1
    seen = np.flatnonzero(mask[0, 0, -1])
    return int(seen[-1]) if len(seen) else key_len - 1


def _fits_half(tensor: Tensor) -> bool:
    import torch

    if tensor.dtype == torch.float16 or tensor.numel() == 0:
        return True
    low, high = torch.aminmax(tensor.detach())
    return bool(low >= -HALF_MAX and high <= HALF_MAX)


def _half_or_float(*, half: bool) -> Any:
    import torch

    return torch.float16 if half else torch.float32


def _copy(tensor: Tensor, dtype: Any) -> NDArray[Any]:
    """Copy into a read-only array: caches and in-place steps may change the tensor later."""
    import torch

    # NumPy asks Linux for large pages, which torch does not: new memory costs half as much.
    array = np.empty(tuple(tensor.shape), dtype=str(dtype).removeprefix("torch."))
    torch.from_numpy(array).copy_(tensor.detach())
    array.flags.writeable = False
    return array
