"""Count the floating-point operations and the minimal memory traffic of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from attnpanel.kernels.request import Direction, Request

# Products of each direction over those of the forward pass. A backward pass that kept the weights
# has four, dV, dP, dQ and dK; one that computes them anew has a fifth, which is not counted.
PRODUCTS: Final[dict[Direction, int]] = {"forward": 1, "backward": 2, "both": 3}
ITEM_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
MAX_QUERIES = 2**26
# Limit for masks whose visible pairs must be counted cell by cell.
MAX_CELLS = 2**34


def flops(request: Request) -> int:
    """Return the floating-point operations of the products over visible pairs.

    ``2·D + 2·Dv`` for each visible pair of query and key, twice that for its gradients; the softmax
    is not counted.
    """
    if request.pad_lens is None:  # the batch may be large, and all its entries have the same mask
        pairs = request.batch * seen_pairs(request, 0)
    else:
        pairs = sum(seen_pairs(request, entry) for entry in range(request.batch))
    forward = 2 * pairs * request.heads * (request.head_dim + request.value_dim)
    return forward * PRODUCTS[request.direction]


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
    """Return the bytes of inputs and results, each transferred once.

    Query, key, value, bias and output; of gradients also those of each.
    """
    queries = request.batch * request.heads * request.query_len
    keys = request.batch * request.kv_heads * request.key_len
    both = request.head_dim + request.value_dim
    bias = request.heads * request.query_len * request.key_len * request.bias
    forward = (queries + keys) * both + bias
    # Inputs and the output's gradient are read, the inputs' gradients are written.
    backward = forward + queries * request.head_dim + keys * both + bias
    elements = {
        "forward": forward,
        "backward": backward,
        "both": backward + queries * request.value_dim,
    }
    return ITEM_BYTES[request.dtype] * elements[request.direction]
