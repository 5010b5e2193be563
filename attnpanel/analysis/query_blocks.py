"""Split an attention call into blocks of a few queries, which fit the processor's cache.

At T = 2048 one head's weights are 17 MB, and intermediate results several times that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from attnpanel.trace.call import AttentionCall

# Cells (query, key) that are computed at a time.
BLOCK_CELLS = 2**18


def query_blocks(
    call: AttentionCall, queries: NDArray[Any] | None = None, *, together: int = 1
) -> Iterator[tuple[NDArray[Any], AttentionCall]]:
    """Yield indices of some queries, and the call restricted to these queries.

    Parameters
    ----------
    call : AttentionCall
    queries : int array, optional
        The indices to iterate over, from 0 and ascending; all by default.
    together : int, optional
        Number of heads whose weights the caller holds at a time.

    Yields
    ------
    int array of shape (R,), AttentionCall
        The call has T = R queries and all keys, with the weights of the whole call.
    """
    indices = np.arange(call.query_len) if queries is None else queries
    size = max(BLOCK_CELLS // (call.key_len * together), 1)
    for start in range(0, len(indices), size):
        block = indices[start : start + size]
        yield block, select_queries(call, block)


def select_queries(call: AttentionCall, indices: NDArray[Any]) -> AttentionCall:
    """Return a call restricted to some queries, whose weights stay the same."""

    def cut(array: NDArray[Any] | None) -> NDArray[Any] | None:
        if array is None or array.ndim < 2 or array.shape[-2] == 1:
            return array
        part = array[..., indices, :]
        part.flags.writeable = False  # so that the call does not copy it
        return part

    mask = cut(call.mask)
    if call.causal != "none":
        past = call.q_offset if call.causal == "top_left" else call.key_len - call.query_len
        visible = np.arange(call.key_len) <= indices[:, None] + past
        mask = visible if mask is None else mask & visible
    return replace(
        call,
        query=cut(call.query),
        mask=mask,
        bias=cut(call.bias),
        causal="none",
        recorded_weights=cut(call.recorded_weights),
        outputs=None,  # those of all queries
    )
