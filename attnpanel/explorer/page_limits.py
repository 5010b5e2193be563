"""Which layers a page computes from; for larger ones Python does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnpanel.trace import AttentionCall

# Cells of a matrix, and bytes of a layer.
MAX_CELLS = 2**24
MAX_BYTES = 64_000_000


def fits(call: AttentionCall) -> bool:
    """Whether a layer is small enough for the page to compute from."""
    return call.query_len * call.key_len <= MAX_CELLS and held_bytes(call) <= MAX_BYTES


def held_bytes(call: AttentionCall) -> int:
    """Return the bytes of a layer's arrays."""
    arrays = (call.query, call.key, call.value, call.recorded_weights)
    written = 0 if call.outputs is None else call.outputs.nbytes
    return written + sum(array.nbytes for array in arrays if array is not None)
