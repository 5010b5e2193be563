"""Cut a mask into blocks of queries: which keys a block sees, and which only partly.

Computed once per mask, like FlexAttention's BlockMask: a kernel skips keys that no query of a
block sees (the upper half under a causal mask) and reads the mask only where queries differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# An irregular mask gives many short runs; more than this many are merged into one.
MAX_RUNS = 4


@dataclass(frozen=True)
class QueryBlock:
    """Consecutive queries and the keys that they see.

    Attributes
    ----------
    queries : slice
    keys : slice
        From the first key that any of the queries sees to the last; empty if they see none.
    partly : tuple of slice
        Runs of `keys`, in order, that contain every key hidden from at least one of the queries.
    """

    queries: slice
    keys: slice
    partly: tuple[slice, ...]


def query_blocks(
    mask: NDArray[np.bool_] | None, query_len: int, key_len: int, block_len: int
) -> tuple[QueryBlock, ...]:
    """Cut the queries into blocks of at most `block_len`.

    Parameters
    ----------
    mask : bool array of shape (T, S), or None
        True where a query may attend; None lets every query see every key.
    query_len, key_len, block_len : int

    Returns
    -------
    tuple of QueryBlock
        In order; together they contain every query once.

    Examples
    --------
    >>> from attnpanel.attention.masks import make_mask
    >>> for block in query_blocks(make_mask("causal", 4), 4, 4, 2):
    ...     print(block.keys, block.partly)
    slice(0, 2, None) (slice(1, 2, None),)
    slice(0, 4, None) (slice(3, 4, None),)
    """
    starts = range(0, query_len, block_len)
    slices = [slice(start, min(start + block_len, query_len)) for start in starts]
    if mask is None:
        return tuple(QueryBlock(queries, slice(0, key_len), ()) for queries in slices)
    return tuple(_block(mask[queries], queries) for queries in slices)


def _block(mask: NDArray[np.bool_], queries: slice) -> QueryBlock:
    seen = np.flatnonzero(mask.any(axis=0))
    if seen.size == 0:
        return QueryBlock(queries, slice(0, 0), ())
    first, stop = int(seen[0]), int(seen[-1]) + 1
    hidden = ~mask[:, first:stop].all(axis=0)
    edges = np.flatnonzero(np.diff(hidden, prepend=False, append=False)) + first
    runs = tuple(slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True))
    if len(runs) > MAX_RUNS:
        runs = (slice(runs[0].start, runs[-1].stop),)
    return QueryBlock(queries, slice(first, stop), runs)
