"""Count the floating-point operations and the minimal memory traffic of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnpanel.kernels.request import Request

ITEM_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
MAX_QUERIES = 2**26
# Limit for masks whose visible pairs must be counted cell by cell.
MAX_CELLS = 2**34


def flops(request: Request) -> int:
    """Return the floating-point operations of both products over visible pairs.

    ``2·D + 2·Dv`` for each visible pair of query and key; the softmax is not counted.
    """
    if request.pad_lens is None:  # the batch may be large, and all its entries have the same mask
        pairs = request.batch * seen_pairs(request, 0)
    else:
        pairs = sum(seen_pairs(request, entry) for entry in range(request.batch))
    return 2 * pairs * request.heads * (request.head_dim + request.value_dim)


def seen_pairs(request: Request, entry: int) -> int:
    """Return the number of visible pairs of one batch entry, without building the mask.

    Raises
    ------
    ValueError
        For more than `MAX_QUERIES` queries: requests are also read from untrusted files.
    """
    rule = request.visible_keys(entry)
    if request.query_len > MAX_QUERIES and not rule.row.same_for_all:
        raise ValueError(f"query_len must be at most {MAX_QUERIES}; got {request.query_len}")
    if rule.row.only is not None and request.query_len * request.key_len > MAX_CELLS:
        raise ValueError(
            f"query_len * key_len must be at most {MAX_CELLS} under mask {request.mask!r}; "
            f"got {request.query_len} and {request.key_len}"
        )
    return rule.pairs()


def minimal_bytes(request: Request) -> int:
    """Return the bytes of query, key, value, bias and output, each transferred once."""
    queries = request.batch * request.heads * request.query_len
    keys = request.batch * request.kv_heads * request.key_len
    both = request.head_dim + request.value_dim
    bias = request.heads * request.query_len * request.key_len * request.bias
    return ITEM_BYTES[request.dtype] * ((queries + keys) * both + bias)
