"""Convert intercepted calls to the calls that a trace stores."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.models.capture.budget import CaptureBudgetError
from attnpanel.models.capture.head_loops import HeadLoops
from attnpanel.models.capture.kv_cache import StepTracker
from attnpanel.models.capture.normalise_call import (
    drop_unused_keys,
    infer_kind,
    last_visible,
    pad_nested,
)
from attnpanel.models.capture.output_watch import OutputWatch
from attnpanel.models.capture.rotary_layout import RotaryWatch
from attnpanel.models.capture.stitching import all_weights, stitch, stitched_bytes
from attnpanel.models.capture.tensor_copy import copy_tensor, fits_half, half_or_float
from attnpanel.models.capture.weight_check import TOLERANCE, weights_agree
from attnpanel.models.intercept.audit import LayerAudit
from attnpanel.models.intercept.batched_heads import (
    batch_first,
    blocks_among_heads,
    heads_in_batch,
    positions_in_batch,
    refuse_folded,
    unfold_heads,
)
from attnpanel.models.intercept.masks import MaskReader
from attnpanel.models.intercept.module_names import ModelLayers
from attnpanel.models.intercept.tracked_scores import IN_PIECES
from attnpanel.trace.call import AttentionCall
from attnpanel.trace.coverage import Coverage, LayerCoverage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from attnpanel.models.capture.budget import Budget
    from attnpanel.models.capture.kv_cache import StepSequence
    from attnpanel.models.capture.patch_grid import PatchGrid
    from attnpanel.models.intercept.call import InterceptedCall
    from attnpanel.trace import Trace


class Recorder:
    """One capture: which layers it records, how it stores their calls, and what it skipped.

    Parameters
    ----------
    model : torch.nn.Module
    layers : sequence of str
        Glob patterns for the modules' qualified names.
    half : bool
        Store float16 where it can hold the numbers.
    values : bool
        Store the values.
    weights : bool
        Store every call's weights instead of its queries and keys.
    folded_heads : int or None
        Number of heads folded into a batch of three axes, where the caller knows it.
    budget : Budget
        The bytes that may be stored.
    trace : Trace
        Filled as the model runs.
    patches : PatchGrid
    outputs : bool
        Record what heads write after the output projection.
    tokenizer : object or None
        Names the tokens that this promotes.
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
        patches: PatchGrid,
        outputs: bool,
        tokenizer: Any,
    ) -> None:
        self.model = model
        self.names = ModelLayers(model)
        self.audit = LayerAudit(self.names)
        self.layers, self.half, self.values = tuple(layers), half, values
        self.weights, self.folded_heads = weights, folded_heads
        self.budget = budget
        self.trace = trace
        self.patches = patches
        self.call_count = 0
        self.excluded_layers: list[str] = []
        self.skipped: dict[str, str] = {}  # layer -> reason
        # Layers whose steps stay separate, because there was no room to stitch them.
        self.unstitched: list[str] = []
        # Of each self-attention made of steps: their T, and which rows of the batch its sequences
        # had in them.
        self.merged_steps: list[list[tuple[int, NDArray[np.intp]]]] = []
        # Layers that report calls themselves, which are then all that counts: their indices.
        self._handed_over: dict[str, set[int]] = {}
        self._pieces: set[str] = set()  # layers of which something else was skipped
        self.rotations = RotaryWatch()
        self.outputs = OutputWatch(self.names, half=half, tokenizer=tokenizer) if outputs else None
        self.unwritten = ""  # why nothing is known of what heads write
        self._masks = MaskReader()
        self._steps = StepTracker()
        self._loops = HeadLoops()

    def record(self, call: InterceptedCall) -> None:
        """Add one call to the trace, if it is this model's and its layer is included."""
        layer = self.names.layer_of(call.modules)
        if layer is None:
            self.audit.foreign.update({type(module).__name__: None for module in call.modules[:1]})
            return
        index, self.call_count = self.call_count, self.call_count + 1
        if not self._includes(layer):
            self.excluded_layers.append(layer)
            return
        # If this capture cannot store a call, the captures around it still must get it.
        stored_before, mask_bytes = self.budget.stored, self._masks.stored_bytes
        try:
            stored = self._store(call, layer, index)
        except BaseException as error:
            self.budget.stored = stored_before
            self._steps.close(layer)
            if not isinstance(error, (ValueError, RuntimeError, TypeError)):
                raise
            if not call.handed_over:
                self._pieces.add(layer)
            self.skipped.setdefault(layer, str(error))
        else:
            self.trace.append(stored)
            if self.outputs is not None:
                self.outputs.note_call(stored)
            self._loops.note(layer, index, call)
            if call.handed_over:
                self._handed_over.setdefault(layer, set()).add(index)
            self.audit.note_call(layer, stored.query_len, call.sequence_len)
            shared = self._masks.stored_bytes - mask_bytes
            self._steps.append(stored, self.budget.stored - stored_before - shared)

    def stitch_steps(self) -> None:
        """Merge what was generated step by step into one call a layer.

        A layer's steps are freed before the next layer is stitched.
        """
        for sequence in self._steps.pop_stitchable():
            self._stitch(sequence)

    def add_outputs(self) -> None:
        """Add what heads write after the output projection, if that is recorded."""
        if self.outputs is not None:
            self.unwritten = self.outputs.finish(self.trace, self.budget)

    def _stitch(self, sequence: StepSequence) -> None:
        first, steps = sequence.calls[0], set(map(id, sequence.calls))
        try:
            self.budget.take(stitched_bytes(sequence), first.layer)
        except CaptureBudgetError:
            self.unstitched.append(first.layer)
            return
        stitched = stitch(sequence)
        if first.kind == "self":
            lengths = [call.query_len for call in sequence.calls]
            self.merged_steps.append(list(zip(lengths, sequence.rows(), strict=True)))
        calls = self.trace.calls
        self.trace.set_calls(
            stitched if call is first else call
            for call in calls
            if call is first or id(call) not in steps
        )
        self.budget.stored -= sequence.stored

    def owns(self, modules: tuple[nn.Module, ...]) -> bool:
        """Whether a call in these modules, innermost first, is this model's."""
        return self.names.layer_of(modules) is not None

    def skip(self, modules: tuple[nn.Module, ...], reason: str) -> None:
        """Note a call that cannot be recorded, for a warning when the capture ends."""
        layer = self.names.layer_of(modules)
        if layer is not None:
            self.skipped.setdefault(layer, reason)

    def account(self) -> None:
        """Set the trace's coverage; drop the calls of layers that are only seen in part."""
        recorded = dict.fromkeys(call.layer for call in self.trace.calls)
        known = {*recorded, *self.excluded_layers, *self.skipped}
        pieces = {
            layer: reason
            for layer, reason in self.audit.left_out(known).items()
            if self._includes(layer)
        }
        if not pieces.keys().isdisjoint(recorded):
            self.trace.set_calls(
                call
                for call in self.trace.calls
                if call.layer not in pieces or call.index in self._handed_over.get(call.layer, ())
            )
        for layer in self._handed_over:
            pieces.pop(layer, None)
            if layer in self._pieces:
                self.skipped.pop(layer, None)
        counts = Counter(call.layer for call in self.trace.calls)
        calls = self._loops.merge(self.trace.calls, self.budget)
        if len(calls) < len(self.trace.calls):
            self.trace.set_calls(calls)
        missing = self.audit.missing_runs(counts)
        merged = Counter(call.layer for call in self.trace.calls)
        reasons = {**dict.fromkeys(recorded, ""), **missing, **self.skipped, **pieces}
        self.trace.coverage = Coverage(
            tuple(LayerCoverage(layer, merged[layer], why) for layer, why in reasons.items())
        )

    def _includes(self, layer: str) -> bool:
        return any(fnmatchcase(layer, pattern) for pattern in self.layers)

    def _store(self, intercepted: InterceptedCall, layer: str, index: int) -> AttentionCall:
        import torch

        intercepted = batch_first(pad_nested(intercepted))
        if intercepted.folded:
            batch = len(intercepted.query)
            heads = heads_in_batch(batch, intercepted.modules, self.folded_heads)
            queries = intercepted.query.shape[2]
            refuse_folded(batch, heads, queries, intercepted.sequence_len, intercepted.modules)
            intercepted = unfold_heads(intercepted, heads)
        if blocks_among_heads(intercepted):
            raise ValueError(IN_PIECES)
        if positions_in_batch(intercepted):
            self._steps.close(layer)  # more layers to attend to are no more text
        intercepted = drop_unused_keys(intercepted, layer)
        query, key, value = self._copy_arrays(intercepted, layer)
        mask_bytes = self._masks.stored_bytes
        visibility = self._masks.read(
            intercepted.mask, intercepted.bias, query.shape[2], key.shape[2]
        )
        self.budget.take(self._masks.stored_bytes - mask_bytes, layer)
        causal = intercepted.causal
        if causal == "none":
            causal = visibility.causal
        elif visibility.causal not in {"none", causal}:
            raise ValueError(
                "mask and causal flag must agree in their causal rule; "
                f"got {visibility.causal} and {causal}"
            )
        kind = intercepted.kind or infer_kind(
            layer, query.shape[2], key.shape[2], visibility.mask, causal
        )
        offset = 0
        if kind == "self" and causal != "top_left" and key.shape[2] > query.shape[2]:
            last = last_visible(visibility.mask, key.shape[2])
            known = intercepted.q_offset
            offset = last + 1 - query.shape[2] if known is None else known
        call = AttentionCall(
            layer,
            index,
            kind,
            query=query,
            key=key,
            value=value,
            mask=visibility.mask,
            bias=visibility.bias,
            causal=causal,
            scale=intercepted.scale,  # type: ignore[arg-type]  # None stands for 1 / sqrt(D)
            q_offset=max(offset, 0),
            soft_cap=intercepted.soft_cap,
            sinks=None
            if intercepted.sinks is None
            else copy_tensor(intercepted.sinks, torch.float32),
            rotary=self.rotations.take(query),
        )
        return self._steps.share_keys(call, self._verify(call, intercepted), self.budget)

    def _copy_arrays(
        self, call: InterceptedCall, layer: str
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
        """Copy to the CPU, all three in one dtype: float32 if float16 cannot hold them."""
        import torch

        values = self.values and call.has_values
        tensors = [call.query, call.key, *([call.value] if values else [])]
        for name, tensor in zip(("query", "key", "value"), tensors, strict=False):
            if tensor.device.type == "meta" or tensor.is_nested:
                what = "nested" if tensor.is_nested else "on the meta device, without numbers"
                raise ValueError(f"{name} must be an ordinary tensor; it is {what}")
        dtype = torch.float32
        if self.half and all(fits_half(tensor) for tensor in tensors):
            dtype = torch.float16
        self.budget.take(sum(tensor.numel() for tensor in tensors) * dtype.itemsize, layer)
        arrays = [copy_tensor(tensor, dtype) for tensor in tensors]
        return arrays[0], arrays[1], arrays[2] if values else None

    def _verify(self, call: AttentionCall, intercepted: InterceptedCall) -> AttentionCall:
        """Return the call if it reproduces the model's weights, else one that holds them."""
        assert call.query is not None  # noqa: S101 - set in _store
        assert call.key is not None  # noqa: S101
        if intercepted.weights is None:
            if not intercepted.trusted:
                raise ValueError(
                    "the model selects keys or changes its scores or weights in a way that query, "
                    "key and mask do not express; load it with attn_implementation='eager' and "
                    "call eval() to record its own weights"
                )
            if not (np.isfinite(call.query).all() and np.isfinite(call.key).all()):
                raise ValueError("query and key must be finite; they hold nan or inf")
            return self._record_weights(call, None) if self.weights else call
        # Scores in 16 bits are often passed to a softmax in 32.
        tolerance = TOLERANCE[str(intercepted.key.dtype).removeprefix("torch.")]
        tolerance = max(tolerance, TOLERANCE["float16"] if self.half else 0)
        reproducible = intercepted.trusted and not self.weights
        if reproducible and weights_agree(
            call, intercepted.weights, tolerance, dropout=intercepted.dropout
        ):
            return call
        if intercepted.dropout and not self.weights:
            raise ValueError(
                "the model's weights are not those of its query, key and mask, and a dropout is at "
                "work on them; call eval() to record them"
            )
        if intercepted.dropout:
            return self._record_weights(call, None)
        return self._record_weights(call, intercepted.weights)

    def _record_weights(self, call: AttentionCall, weights: Tensor | None) -> AttentionCall:
        """Return a call with weights, the model's own or recomputed, and no query and key."""
        assert call.query is not None  # noqa: S101 - set in _store
        assert call.key is not None  # noqa: S101
        dtype = half_or_float(half=self.half)
        self.budget.stored -= call.query.nbytes + call.key.nbytes
        size = call.batch * call.heads * call.query_len * call.key_len
        self.budget.take(size * dtype.itemsize, call.layer)
        return AttentionCall(
            call.layer,
            call.index,
            call.kind,
            value=call.value,
            recorded_weights=all_weights(call, "float16" if self.half else "float32")
            if weights is None
            else copy_tensor(weights, dtype),
            scale=call.scale,
            q_offset=call.q_offset,
        )
