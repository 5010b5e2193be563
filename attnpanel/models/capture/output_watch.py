"""Watch what becomes of the heads' outputs: their projection, the sum of layers, the logits.

Nothing is known by its name. The projection is the linear layer whose input is the heads' outputs
(`output_projection`). A layer's output counts directly towards the logits if it is added to those
of the others, and nothing else is done to it, up to what the final norm reads; the unembedding is
the last linear layer, if it reads the norm of that sum and its results are as many as a table of
embeddings has rows.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.models.capture.output_projection import heads_read_by, read_linear, writes_zeros
from attnpanel.models.capture.promoted_tokens import find_norm, promoted
from attnpanel.models.intercept.session import paused
from attnpanel.models.intercept.torch_operators import operators
from attnpanel.models.intercept.tracked_scores import version
from attnpanel.models.tokens import names_of_ids
from attnpanel.trace.head_outputs import IDS, HeadOutputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from attnpanel.models.capture.budget import Budget
    from attnpanel.models.capture.output_projection import Linear
    from attnpanel.models.capture.promoted_tokens import FinalNorm
    from attnpanel.models.intercept.module_names import ModelLayers
    from attnpanel.trace import AttentionCall, Trace

NOT_READ = "no linear layer was seen that reads the heads' outputs side by side and nothing else"
ALL_ZERO = "every head's output is 0, so that nothing is written"
SEVERAL = "several linear layers read the heads' outputs, as an adapter (LoRA) does"
CHANGED = "a weight was changed in place before it was read"
INDIRECT = (
    "the layer's output is not just added to those of the others: it is normalised, scaled or "
    "dropped out before or after"
)
NO_UNEMBEDDING = (
    "no linear layer was seen that makes logits over the vocabulary of the sum of the layers' "
    "outputs"
)
OTHER_POSITIONS = "the logits are not those of each query's position"
NO_NORM = "what the unembedding reads is not the sum of the layers' outputs after a known norm"
MERGED = "steps or calls were merged: capture one forward pass"
NO_ROOM = "max_bytes leaves no room for it"
# Tensors remembered before those that are gone are forgotten.
MAX_KNOWN = 1024


@dataclass(eq=False)
class _Written:
    """What one call's heads write, and the tensors that it is made of until the pass ends."""

    call: AttentionCall
    source: Tensor
    weight: Tensor  # (H * Dv, d)
    heads: Tensor  # (B, T, H, Dv), of the source
    versions: tuple[int, int]
    norms: Any
    missing: str = ""


class OutputWatch:
    """Follows one capture's calls to their projections and to the logits.

    Parameters
    ----------
    names : ModelLayers
    half : bool
        Whether the calls are stored in float16.
    tokenizer : object or None
        Names the promoted tokens; without it they are called by their ids.
    """

    def __init__(self, names: ModelLayers, *, half: bool, tokenizer: Any) -> None:
        self._names, self._half, self._tokenizer = names, half, tokenizer
        self._found: dict[int, HeadOutputs] = {}  # by call index; ids are the vocabulary's own
        self._open: AttentionCall | None = None
        self._written: list[_Written] = []
        # Sums of layers' outputs: the tensor, its version, and the calls that are in it.
        self._sums: dict[int, tuple[weakref.ref[Tensor], int, frozenset[int]]] = {}
        self._latest: Tensor | None = None
        self._first_table: Tensor | None = None
        self._tables: set[int] = set()  # numbers of rows
        self._candidate: tuple[Linear, Tensor | None] | None = None

    def note_call(self, call: AttentionCall) -> None:
        """Note a call that has been recorded, whose projection is yet to run."""
        self._open = call

    def follow(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """Note a function that has run; an error in here must not stop the model."""
        with suppress(RuntimeError, TypeError, ValueError, IndexError, AttributeError, KeyError):
            if func in operators()["embedding"]:
                self._note_table(next(table for table in args[:2] if table.is_floating_point()))
                return
            linear = read_linear(func, args, kwargs, result)
            if linear is not None:
                self.note_linear(linear)
            elif self._sums:
                self._carry(func, args, kwargs, result)

    def _note_table(self, table: Tensor) -> None:
        """Note a table of embeddings; the one that is read first begins a pass."""
        if self._candidate is not None or table is self._first_table:
            self._end_pass()
        if self._first_table is None:
            self._first_table = table
        self._tables.add(len(table))

    def note_linear(self, linear: Linear) -> None:
        """Note a linear layer that has run."""
        self._candidate = None
        for written in self._written[-1:]:
            if _same_memory(linear.source, written.source):
                written.missing = SEVERAL
        if self._open is not None:
            heads = heads_read_by(linear, self._open, half=self._half)
            if heads is not None:
                self._write(self._open, linear, heads)
                self._open = None
                return
        if linear.result.shape[-1] in self._tables:
            self._candidate = linear, self._latest

    def _write(self, call: AttentionCall, linear: Linear, heads: Tensor) -> None:
        versions = version(linear.weight), version(heads)
        norms = _projected_norms(call, linear.weight)
        # Without a table of embeddings there will be no logits.
        before = self._written if self._tables else []
        written = _Written(call, linear.source, linear.weight, heads, versions, norms)
        self._written = [*before, written]
        self._found[call.index] = HeadOutputs(norms, missing=NO_UNEMBEDDING)
        self._set(linear.result, frozenset({call.index}))

    def _carry(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """Follow a sum of layers' outputs through additions, and through views of it."""
        if func in operators()["add"] and not kwargs:
            inside = [self._get(value, written=value is result) for value in args[:2]]
            # What is added twice counts twice: such a call is not followed any further.
            layers = inside[0] ^ inside[1]
            if layers:
                self._set(result, layers)
                self._latest = result
            return
        for value in args[:1]:
            layers = self._get(value)
            if not layers:
                return
            if _in_place(func, args, kwargs):  # tensors of inference mode have no version
                del self._sums[id(value)]
            elif _same_memory(result, value):
                self._set(result, layers)
                self._latest = result if value is self._latest else self._latest

    def _get(self, value: Any, *, written: bool = False) -> frozenset[int]:
        """Return the calls in a sum; none if it was changed, but for an addition just `written`."""
        known = self._sums.get(id(value))
        tensor = None if known is None else known[0]()
        if known is None or tensor is None or tensor is not value:
            return frozenset()
        since = version(tensor) - known[1]
        return known[2] if since == 0 or (written and since == 1) else frozenset()

    def _set(self, tensor: Tensor, layers: frozenset[int]) -> None:
        if len(self._sums) > MAX_KNOWN:
            self._sums = {key: entry for key, entry in self._sums.items() if entry[0]() is not None}
        self._sums[id(tensor)] = weakref.ref(tensor), version(tensor), layers

    def _end_pass(self) -> None:
        """Compute the logits of a pass that has made some, and forget its tensors."""
        written, candidate = self._written, self._candidate
        self._written, self._candidate, self._open = [], None, None
        for entry in written:
            if entry.missing:
                self._found[entry.call.index] = HeadOutputs(missing=entry.missing)
        if candidate is not None:
            self._read_logits([one for one in written if not one.missing], *candidate)
        self._sums, self._latest = {}, None

    def _read_logits(self, written: list[_Written], linear: Linear, total: Tensor | None) -> None:
        """Add the promoted tokens to the calls of a pass, whose outputs add up to `total`."""
        import torch

        if total is None:
            for entry in written:
                found = self._found[entry.call.index]
                self._found[entry.call.index] = replace(found, missing=INDIRECT)
            return
        layers, size = self._get(total), total.shape[-1]
        norm, reason = None, OTHER_POSITIONS
        if linear.source.numel() == total.numel() and linear.source.shape[-1] == size:
            before, after = total.reshape(-1, size), linear.source.reshape(-1, size)
            modules = [module for _, module in self._names.walked]
            tolerance = max(linear.tolerance, 1e-4)
            with torch.no_grad(), paused():
                norm, reason = find_norm(before, after, modules, tolerance), NO_NORM
        for entry in written:
            call = entry.call
            found = self._found[call.index]
            changed = (version(entry.weight), version(entry.heads)) != entry.versions
            if changed:
                why = CHANGED
            elif norm is None:
                why = reason
            elif call.index not in layers:
                why = INDIRECT
            elif tuple(total.shape[:-1]) != (call.batch, call.query_len):
                why = OTHER_POSITIONS
            else:
                with torch.no_grad(), paused():
                    self._found[call.index] = _with_tokens(entry, norm, linear.weight.mT)
                continue
            self._found[call.index] = replace(found, missing=why)

    def finish(self, trace: Trace, budget: Budget) -> str:
        """Add to each call of the trace what was found; return why nothing was, or ""."""
        with suppress(RuntimeError):
            self._end_pass()
        vocabulary, places = self._vocabulary()
        calls, known = [], False
        for call in trace.calls:
            found = self._found.get(call.index) or HeadOutputs(
                missing=ALL_ZERO if writes_zeros(call) else NOT_READ
            )
            try:
                found.check((call.batch, call.heads, call.query_len, call.key_len))
                budget.take(found.nbytes, call.layer)
            except ValueError:
                found = HeadOutputs(missing=MERGED)
            except MemoryError:
                found = HeadOutputs(missing=NO_ROOM)
            if found.key_ids is not None:
                ids = {name: places(getattr(found, name)) for name in IDS}
                found = replace(found, **ids, vocabulary=vocabulary)
            known = known or found.norms is not None
            calls.append(replace(call, outputs=found))
        trace.set_calls(calls)
        if known or not calls:
            return ""
        why = calls[0].outputs.missing if calls[0].outputs else ""
        return f"what the heads write after the output projection is not known: {why}"

    def _vocabulary(self) -> tuple[tuple[str, ...], Callable[[Any], Any]]:
        """Return the listed tokens, and the function from the model's ids to places among them."""
        every = [
            getattr(found, name).ravel()
            for found in self._found.values()
            for name in IDS
            if found.key_ids is not None
        ]
        ids = np.unique(np.concatenate(every)) if every else np.empty(0, np.int32)
        if self._tokenizer is None:
            names = tuple(f"token {token}" for token in ids.tolist())
        else:
            names = names_of_ids(self._tokenizer, ids.tolist())
        return names, lambda array: np.searchsorted(ids, array).astype(np.int32)


def _projected_norms(call: AttentionCall, weight: Tensor) -> Any:
    """Return the length of each value after its head's part of the projection, (B, H, S)."""
    import torch

    norms = np.empty((call.batch, call.heads, call.key_len), np.float32)
    with torch.no_grad():
        for batch, head in np.ndindex(call.batch, call.heads):
            projected = _value_of(call, batch, head, weight) @ _part(call, weight, head)
            norms[batch, head] = projected.norm(dim=-1).cpu().numpy()
    return norms


def _with_tokens(entry: _Written, norm: FinalNorm, unembedding: Tensor) -> HeadOutputs:
    """Return what a call's heads write, with the tokens that each key and each row promotes."""
    import torch

    call, weight = entry.call, entry.weight
    scale = norm.scale.reshape(call.batch, call.query_len)
    rows = (entry.heads.float() * scale[..., None, None]).transpose(1, 2)  # (B, H, T, Dv)
    basis = torch.stack([norm.linear(_part(call, weight, head)) for head in range(call.heads)])
    found = []
    for batch in range(call.batch):
        values = torch.stack([_value_of(call, batch, head, weight) for head in range(call.heads)])
        seen = _sums_of_values(call, batch, values, rows[batch], scale[batch])
        both = torch.cat([values, rows[batch]], 1)
        found.append(promoted(both, basis, unembedding, seen))
    all_ids = torch.stack([ids for ids, _ in found]).cpu().numpy().astype(np.int32)
    all_logits = torch.stack([logits for _, logits in found]).cpu().numpy()
    keys, queries = np.s_[:, :, : call.key_len], np.s_[:, :, call.key_len :]
    return HeadOutputs(
        entry.norms,
        all_ids[keys],
        all_logits[keys],
        all_ids[queries],
        all_logits[queries],
        scale.cpu().numpy(),
    )


def _sums_of_values(
    call: AttentionCall, batch: int, values: Tensor, rows: Tensor, scale: Tensor
) -> Tensor | None:
    """Return the scaled weights (H, T, S) that make rows of values; None where that saves nothing.

    Nor where they do not make the rows, as with a dropout at work.
    """
    import torch

    if call.key_len >= values.shape[-1]:
        return None
    weights = torch.from_numpy(np.asarray(call.weights(batch=batch), np.float32)).to(rows.device)
    weights = weights * scale[:, None]
    limit = 1e-4 * rows.abs().amax((1, 2), keepdim=True)
    return weights if bool(((weights @ values - rows).abs() <= limit).all()) else None


def _value_of(call: AttentionCall, batch: int, head: int, like: Tensor) -> Tensor:
    import torch

    assert call.value is not None  # noqa: S101 - its outputs were compared
    value = call.value[batch, head // (call.heads // call.kv_heads)].astype(np.float32)
    return torch.from_numpy(value).to(like.device)


def _part(call: AttentionCall, weight: Tensor, head: int) -> Tensor:
    width = call.value_dim or 0
    return weight[head * width : (head + 1) * width].detach().float()


def _same_memory(one: Any, other: Any) -> bool:
    same: bool = (
        one.data_ptr() == other.data_ptr()
        and one.numel() == other.numel()
        and one.dtype == other.dtype
    )
    return same


def _in_place(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a function may have written into its first argument."""
    name = getattr(func, "__name__", "")
    written = name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))
    return written or kwargs.get("inplace", False) or any(value is True for value in args[1:])
