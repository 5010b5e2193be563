"""A call in parts of a few queries: what is made of one part stays in the processor's cache.

At T = 2048 one head's weights are 17 MB, and what is computed from them several times that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from attnpanel.attention_call import AttentionCall

# Cells that are computed at a time.
BLOCK_CELLS = 2**18


def query_blocks(
    call: AttentionCall, queries: NDArray[Any] | None = None, *, together: int = 1
) -> Iterator[tuple[NDArray[Any], AttentionCall]]:
    """Yield places of some queries, and the call of these queries alone.

    Parameters
    ----------
    call : AttentionCall
    queries : int array, optional
        The places to go through, from 0 and ascending; all by default.
    together : int, optional
        Of how many heads the weights are kept at a time.

    Yields
    ------
    int array of shape (R,), AttentionCall
        The part has T = R queries and all keys, and weighs them as the whole does.
    """
    places = np.arange(call.query_len) if queries is None else queries
    size = max(BLOCK_CELLS // (call.key_len * together), 1)
    for start in range(0, len(places), size):
        block = places[start : start + size]
        yield block, some_queries(call, block)


def some_queries(call: AttentionCall, places: NDArray[Any]) -> AttentionCall:
    """Return the call of some queries alone, with the weights they have in the whole."""

    def cut(array: NDArray[Any] | None) -> NDArray[Any] | None:
        if array is None or array.ndim < 2 or array.shape[-2] == 1:
            return array
        part = array[..., places, :]
        part.flags.writeable = False  # or the call would copy it once more
        return part

    mask = cut(call.mask)
    if call.causal != "none":
        past = call.q_offset if call.causal == "top_left" else call.key_len - call.query_len
        seen = np.arange(call.key_len) <= places[:, None] + past
        mask = seen if mask is None else mask & seen
    return replace(
        call,
        query=cut(call.query),
        mask=mask,
        bias=cut(call.bias),
        causal="none",
        recorded_weights=cut(call.recorded_weights),
    )
