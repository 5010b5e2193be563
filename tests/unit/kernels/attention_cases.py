"""Inputs and the float64 formula that the tests of implementations share, written out here."""

import numpy as np

from attnpanel.kernels.request import Inputs, Request

# The largest relative rounding error of one operation.
ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def a_request(**changes) -> Request:
    """B2 H6 T5 S7 D11: distinct numbers, so that a swapped axis cannot hide."""
    fields = {
        "batch": 2,
        "heads": 6,
        "kv_heads": 6,
        "query_len": 5,
        "key_len": 7,
        "head_dim": 11,
        "value_dim": 11,
    }
    return Request(**(fields | changes))


def draw(request: Request, seed: int = 0) -> Inputs:
    """Inputs that nobody may write to."""
    generator = np.random.default_rng(seed)

    def normal(*shape):
        numbers = generator.standard_normal(shape)
        if request.dtype == "bfloat16":
            # The upper half of a float32; cut off, which rounds towards zero.
            bits = numbers.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
            numbers = bits.view(np.float32)
        else:
            numbers = numbers.astype(request.dtype)
        numbers.flags.writeable = False
        return numbers

    r = request
    mask = r.visible()
    if mask is not None:
        mask.flags.writeable = False
    return Inputs(
        query=normal(r.batch, r.heads, r.query_len, r.head_dim),
        key=normal(r.batch, r.kv_heads, r.key_len, r.head_dim),
        value=normal(r.batch, r.kv_heads, r.key_len, r.value_dim),
        mask=mask,
        bias=normal(r.heads, r.query_len, r.key_len) if r.bias else None,
    )


def formula(inputs: Inputs, request: Request, empty: float = 0.0):
    """Output, weights, logsumexp and the largest error of an output that rounding explains."""
    r, group = request, request.heads // request.kv_heads
    query = inputs.query.astype(np.float64)
    key, value = (x.astype(np.float64).repeat(group, axis=1) for x in (inputs.key, inputs.value))
    scale = (r.head_dim**-0.5 if r.scale is None else r.scale) / r.temperature
    bias = np.zeros(1) if inputs.bias is None else inputs.bias.astype(np.float64) / r.temperature
    scores = scale * np.einsum("bhtd,bhsd->bhts", query, key) + bias
    seen = np.broadcast_to(True if inputs.mask is None else inputs.mask, scores.shape)
    scores = np.where(seen, scores, -np.inf)
    any_seen = seen.any(-1, keepdims=True)
    top = np.where(any_seen, scores.max(-1, keepdims=True), 0.0)
    exps = np.exp(scores - top)
    total = exps.sum(-1, keepdims=True)
    weights = exps / np.where(any_seen, total, 1)
    logsumexp = (np.log(np.where(any_seen, total, 1)) + np.where(any_seen, top, -np.inf))[..., 0]
    # Rounding of a score is as large as the numbers that are summed up in it; it moves every
    # weight by as much, relatively. 8 times the bound's own constants has room for any order of
    # summation; scores kept in 16 bits are rounded in them.
    size = scale * np.einsum("bhtd,bhsd->bhts", abs(query), abs(key)) + abs(bias)
    condition = np.where(seen, size, 0).max(-1, keepdims=True)
    mixed = weights @ abs(value)
    unit = ROUNDOFF[r.dtype] * (condition + np.log2(r.key_len) + 4) * mixed + 2.0**-24 * (
        r.dtype == "float16"
    )
    output = np.where(any_seen, weights @ value, empty)
    return output, np.where(any_seen, weights, empty), logsumexp, 8 * unit
