"""Which keys a block of queries may see at all, and which of them only some of its queries may.

Found once for a mask, as FlexAttention's BlockMask is, so that a kernel leaves out what nobody
sees (the upper half under a causal mask) and asks the mask only where it makes a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A mask without order would give a run for every few keys; past this many they are taken as one.
MOST_RUNS = 4


@dataclass(frozen=True)
class QueryBlock:
    """Queries in a row, and what they see.

    Attributes
    ----------
    queries : slice
    keys : slice
        From the first key that any of them sees to the last; empty where they see none.
    partly : tuple of slice
        Runs of `keys` that contain every key hidden from one of these queries, in order.
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
        In order; together they hold every query once.

    Examples
    --------
    >>> from attnpanel.masks import make_mask
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
    if len(runs) > MOST_RUNS:
        runs = (slice(runs[0].start, runs[-1].stop),)
    return QueryBlock(queries, slice(first, stop), runs)
