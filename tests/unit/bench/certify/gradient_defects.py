"""A flash backward pass in NumPy, correct unless a fault is named, and the table of faults.

Sums are in float32; weights and dS are rounded to the inputs' 16 bits before products, as GPU
kernels do, and delta is taken from the stored output. Written from Dao et al., "FlashAttention-2",
2023, algorithm 2; independent of the reference that judges it.
"""

from dataclasses import replace

import numpy as np

from attnpanel.bench.certify.rounding import round_to
from attnpanel.kernels import find_implementation
from attnpanel.kernels.implementation import Backward, RawGradients
from tests.unit.bench.certify.simulated_flash import rounded, truncated

BLOCK = 128


def simulated_backward(fault="", *, block=BLOCK):
    """Return an implementation whose gradients are correct unless a fault is named.

    `FROM_STORED` is no fault: dS of the weights that are stored for dV.
    """

    def prepare(inputs, request, output_gradient, *, threads=1):
        return lambda: _gradients(inputs, request, output_gradient, fault, block)

    return replace(
        find_implementation("numpy-row-blocked"),
        name="simulated",
        weights_dtype="storage",
        gradients=Backward("simulated", lambda _request: [], prepare, ("cpu",)),
    )


def _gradients(inputs, request, output_gradient, fault, block):
    dtype = request.dtype
    query, key, value, given = (
        x.astype(np.float32) for x in (inputs.query, inputs.key, inputs.value, output_gradient)
    )
    shape = (request.batch, request.heads, request.query_len, request.key_len)
    mask = np.ones(shape, bool) if inputs.mask is None else np.broadcast_to(inputs.mask, shape)
    d_query, d_bias = np.zeros_like(query), np.zeros(shape, np.float32)
    d_key, d_value = (np.zeros((*shape[:2], *x.shape[2:]), np.float32) for x in (key, value))
    group = request.heads // request.kv_heads
    for b, h in np.ndindex(shape[:2]):
        kv = h // group
        bias = None if inputs.bias is None else inputs.bias[h].astype(np.float32)
        head = (query[b, h], key[b, kv], value[b, kv], given[b, h], mask[b, h], bias)
        d_query[b, h], d_key[b, h], d_value[b, h], d_bias[b, h] = _head(
            *head, request, fault, block
        )
    if fault == "heads of a group interleaved":
        parts = [x.reshape(shape[0], group, -1, *x.shape[2:]).sum(1) for x in (d_key, d_value)]
    else:
        parts = [x.reshape(shape[0], -1, group, *x.shape[2:]) for x in (d_key, d_value)]
        if fault == "first head of a group only":
            parts = [x[:, :, 0] for x in parts]
        elif fault == "mean over a group":
            parts = [x.mean(axis=2) for x in parts]
        else:
            parts = [x.sum(axis=2) for x in parts]
    d_bias = d_bias[0] if fault == "bias of the first sequence only" else d_bias.sum(axis=0)
    d_key, d_value = parts
    if fault == "d value of the sequence before":
        d_value = np.roll(d_value, 1, axis=0)
    found = [round_to(x, dtype) for x in (d_query, d_key, d_value, d_bias)]
    return RawGradients(*found[:3], found[3] if request.bias else None)


def _head(q, k, v, given, see, bias, request, fault, block):
    """Compute dQ, dK, dV and dbias of one head, before they are stored."""
    low = "bfloat16" if request.dtype == "float32" else request.dtype
    scale, temperature = np.float32(request.score_scale), np.float32(request.temperature)

    def stored(x):
        return x if request.dtype == "float32" else rounded(x, request.dtype)

    x = q @ k.T * scale
    x = (x if bias is None else x + bias) / temperature
    hidden = np.where(see, x, -np.inf)
    peak = hidden.max(axis=1, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0)
    e = np.exp(hidden - peak)
    total = e.sum(axis=1, keepdims=True)
    total = np.where(total == 0, 1, total)
    output = stored(stored(e) @ v / total)
    lse = LSE.get(fault, _unchanged)(peak + np.log(total), q @ k.T * scale, low)
    seen = MASK.get(fault, _unchanged)(see) & see.any(axis=1, keepdims=True)
    with np.errstate(over="ignore"):  # of hidden keys and of faults
        weights = np.where(seen, np.exp(x - lse), 0)
    if fault == "weights of the row before":
        weights = np.roll(weights, 1, axis=0)
    delta = (given * output).sum(axis=1, keepdims=True)
    delta = DELTA.get(fault, _unchanged)(delta, given, output, low)
    source = stored(weights) if fault == FROM_STORED else weights
    scores = source * (given @ v.T - delta)
    keep = (lambda x: STORED[fault](x, low)) if fault in STORED else stored
    to_query = to_key = keep(scores)
    to_value = keep(e if fault == UNNORMALISED else weights)
    if fault == "transposed mask for d key" and see.shape[0] == see.shape[1]:
        to_key = to_key * see.T

    d_query = _summed(to_query.T, k, block, fault, "d query", low)
    d_key = _summed(to_key, q, block, fault, "d key", low)
    d_value = _summed(to_value, given, block, fault, "d value", low)
    found = (d_query * (scale / temperature), d_key * (scale / temperature), d_value)
    found = (*found, scores / temperature)
    if fault in AFTER:
        found = AFTER[fault](*found, scale, temperature)
    if fault == "last key twice in d query":
        found = (found[0] + scale / temperature * to_query[:, -1:] * k[-1], *found[1:])
    return found


def _summed(pairs, rows, block, fault, name, low):
    """Return pairs.T @ rows, summed block by block."""
    found = np.zeros((pairs.shape[1], rows.shape[1]), np.float32)
    starts = range(0, len(rows), block)
    for start in starts:
        if fault == f"{name} skips a block" and len(starts) > 1 and start == starts[0]:
            continue
        found += pairs[start : start + block].T @ rows[start : start + block]
        if fault == f"{name} summed in 16 bits":
            found = rounded(found, low)
    return found


def _unchanged(x, *_):
    return x


FROM_STORED = "dS of stored weights"
UNNORMALISED = "d value of unnormalised weights"
LSE = {
    "lse of the row before": lambda lse, *_: np.roll(lse, 1, axis=0),
    "lse without mask and temperature": lambda _lse, x, _low: (
        np.log(np.exp(x - x.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
        + x.max(axis=1, keepdims=True)
    ),
    "lse to base 2": lambda lse, *_: lse * np.float32(1.4426950),
    "lse in 16 bits": lambda lse, _x, low: rounded(lse, low),
    "lse + 0.01": lambda lse, *_: lse + np.float32(0.01),
    "lse + 0.001": lambda lse, *_: lse + np.float32(0.001),
}
MASK = {
    "mask not applied": np.ones_like,
    "mask one key late": lambda see: np.concatenate([see[:, 1:], see[:, -1:]], axis=1),
}
DELTA = {
    "normaliser's term missing": lambda delta, *_: 0 * delta,
    "delta of the row before": lambda delta, *_: np.roll(delta, 1, axis=0),
    "delta of half the channels": lambda _d, given, output, _low: (given * output)[
        :, : max(1, output.shape[1] // 2)
    ].sum(axis=1, keepdims=True),
    "delta in 16 bits": lambda delta, _g, _o, low: rounded(delta, low),
    "delta of the output instead of dO": lambda _d, _given, output, _low: (output**2).sum(
        axis=1, keepdims=True
    ),
}
STORED = {
    "weights and dS in float8": lambda x, _low: rounded(x, "float8"),
    "weights and dS in bfloat16": lambda x, _low: rounded(x, "bfloat16"),
    "weights and dS truncated": truncated,
}
AFTER = {
    "scale missing in d query": lambda q, k, v, b, scale, _t: (q / scale, k, v, b),
    "scale missing in d key": lambda q, k, v, b, scale, _t: (q, k / scale, v, b),
    "scale twice in d query": lambda q, k, v, b, scale, _t: (q * scale, k, v, b),
    "temperature missing": lambda q, k, v, b, _s, t: (q * t, k * t, v, b * t),
    "temperature missing in d bias": lambda q, k, v, b, _s, t: (q, k, v, b * t),
    "d query × 1.005": lambda q, k, v, b, *_: (q * np.float32(1.005), k, v, b),
    "d key × 1.02": lambda q, k, v, b, *_: (q, k * np.float32(1.02), v, b),
    "d value × 1.005": lambda q, k, v, b, *_: (q, k, v * np.float32(1.005), b),
    "d query and d key swapped": lambda q, k, v, b, *_: (
        (k, q, v, b) if q.shape == k.shape else (q, k, v, b)
    ),
    "d query negative": lambda q, k, v, b, *_: (-q, k, v, b),
    "d value of the last key lost": lambda q, k, v, b, *_: (
        q,
        k,
        np.concatenate([v[:-1], 0 * v[-1:]]),
        b,
    ),
}
OTHERS = (
    "weights of the row before",
    UNNORMALISED,
    "transposed mask for d key",
    "d query skips a block",
    "d key skips a block",
    "last key twice in d query",
    "d value skips a block",
    "d query summed in 16 bits",
    "d key summed in 16 bits",
    "d value summed in 16 bits",
    "heads of a group interleaved",
    "first head of a group only",
    "mean over a group",
    "bias of the first sequence only",
    "d value of the sequence before",
)
FAULTS = (*LSE, *MASK, *DELTA, *STORED, *AFTER, *OTHERS)
