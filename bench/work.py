"""What a case needs at least: its arithmetic, and its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from attnpanel.kernels.request import Request

ITEM_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
MOST_QUERIES = 2**26


def flops(request: Request) -> int:
    """Return the floating-point operations of both products over the pairs that are seen.

    ``2·D`` and ``2·Dv`` for each query and key that sees it; the softmax is not counted.
    """
    if request.pad_lens is None:  # all entries see alike, and there may be any number of them
        pairs = request.batch * seen_pairs(request, 0)
    else:
        pairs = sum(seen_pairs(request, entry) for entry in range(request.batch))
    return 2 * pairs * request.heads * (request.head_dim + request.value_dim)


def seen_pairs(request: Request, entry: int) -> int:
    """Return how many pairs of query and key one batch entry sees, without making the mask.

    Raises
    ------
    ValueError
        For more queries than any machine attends from: requests are also read from files.
    """
    queries, keys = request.query_len, request.key_len
    pad_len = request.pad_lens[entry] if request.pad_lens is not None else 0
    if request.mask == "none":
        return queries * keys
    if request.mask == "padding":
        return min(queries, pad_len) * min(keys, pad_len)
    if request.mask == "key_padding":
        return queries * min(keys, pad_len)
    if queries > MOST_QUERIES:
        raise ValueError(f"query_len must be at most {MOST_QUERIES}; got {queries}")
    at = np.arange(queries) + (keys - queries if request.align == "bottom_right" else 0)
    first = 0 if request.window is None else at - request.window + 1
    last = at if request.window is None else at + request.window - 1
    seen = np.minimum(last, keys - 1) - np.maximum(first, 0) + 1
    return int(np.maximum(seen, 0).sum())


def minimal_bytes(request: Request) -> int:
    """Return the bytes of query, key, value, bias and output, each moved once."""
    queries = request.batch * request.heads * request.query_len
    keys = request.batch * request.kv_heads * request.key_len
    both = request.head_dim + request.value_dim
    bias = request.heads * request.query_len * request.key_len * request.bias
    return ITEM_BYTES[request.dtype] * ((queries + keys) * both + bias)
