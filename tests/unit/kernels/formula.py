"""Attention in float64, pair by pair, and how far rounding may lead away from it.

What kernels are tested against; no kernel's code, nor the reference's, is reused.
"""

import math

import numpy as np

from attnpanel.kernels.arrays import describe, to_float64
from attnpanel.kernels.request import Inputs

# Half the distance from 1 to the next number.
ROUNDING = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
# What may become 0: XLA does so with float numbers below the normal ones.
SMALLEST = {"float64": 2.0**-1022, "float32": 2.0**-126, "float16": 2.0**-24, "bfloat16": 2.0**-126}


def wide(dtype):
    return "float64" if dtype == "float64" else "float32"


def rounded(numbers, dtype):
    if dtype != "bfloat16":
        return numbers.astype(dtype)
    # bfloat16 is the upper half of float32.
    return (numbers.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)


def draw(request, seed=0):
    draws = np.random.default_rng(seed)
    r = request
    shapes = [
        (r.batch, r.heads, r.query_len, r.head_dim),
        (r.batch, r.kv_heads, r.key_len, r.head_dim),
        (r.batch, r.kv_heads, r.key_len, r.value_dim),
        (r.heads, r.query_len, r.key_len),
    ]
    *arrays, bias = [rounded(draws.standard_normal(shape), r.dtype) for shape in shapes]
    return Inputs(*arrays, mask=r.visible(), bias=bias if r.bias else None)


def formula(inputs, request, kernel):
    """Output, weights, logsumexp and a bound on rounding, query by query, in float64.

    The bound is 8 units: rounding of scores grows with sum |q||k|, that of the output with
    sum p |v|, and sums over S keys add log2 S.
    """
    q, k, v = (array.astype(np.float64) for array in (inputs.query, inputs.key, inputs.value))
    batch, heads, query_len, dim = q.shape
    key_len, groups = k.shape[2], heads // k.shape[1]
    full = (batch, heads, query_len, key_len)
    mask = np.broadcast_to(True if inputs.mask is None else inputs.mask, full)
    bias = np.zeros(full[1:]) if inputs.bias is None else inputs.bias.astype(np.float64)
    scale = dim**-0.5 if request.scale is None else request.scale
    output = np.zeros((*full[:3], v.shape[3]))
    weights, logsumexp = np.zeros(full), np.full(full[:3], -np.inf)
    output_unit, weight_unit = np.zeros_like(output), np.zeros_like(weights)
    logsumexp_unit, magnitude = np.zeros_like(logsumexp), np.zeros_like(output)
    scores_dtype = request.dtype if kernel.scores_dtype == "storage" else wide(request.dtype)
    rounding = ROUNDING[scores_dtype]
    for b, h, i in np.ndindex(full[:3]):
        kv, seen = h // groups, np.flatnonzero(mask[b, h, i])
        if len(seen) == 0:
            share = {"zero": 0.0, "uniform": 1 / key_len}[kernel.empty_rows]
            weights[b, h, i] = share
            output[b, h, i] = share * v[b, kv].sum(axis=0)
            weight_unit[b, h, i] = share * rounding
            magnitude[b, h, i] = share * np.abs(v[b, kv]).sum(axis=0)
            output_unit[b, h, i] = 4 * rounding * magnitude[b, h, i]
            continue
        keys, values = k[b, kv, seen], v[b, kv, seen]
        scores = (keys @ q[b, h, i] * scale + bias[h, i, seen]) / request.temperature
        exps = np.exp(scores - scores.max())
        p = exps / exps.sum()
        weights[b, h, i, seen] = p
        output[b, h, i] = p @ values
        logsumexp[b, h, i] = scores.max() + math.log(exps.sum())
        products = (
            abs(scale) * (np.abs(keys) @ np.abs(q[b, h, i])) + np.abs(bias[h, i, seen])
        ).max()
        unit = rounding * (products / request.temperature + math.log2(len(seen)) + 4)
        weight_unit[b, h, i, seen] = unit * p
        magnitude[b, h, i] = p @ np.abs(values)
        output_unit[b, h, i] = unit * magnitude[b, h, i]
        logsumexp_unit[b, h, i] = unit + rounding * abs(logsumexp[b, h, i])
    # Results, and in some the weights before they meet the values, are kept in the request's dtype.
    stored = ROUNDING[request.dtype]
    output_unit += stored * magnitude + SMALLEST[request.dtype]
    weight_unit += stored * weights + SMALLEST[request.dtype]
    return (output, weights, logsumexp), (output_unit, weight_unit, logsumexp_unit)


def assert_formula(kernel, inputs, request):
    """Run a kernel; every number it returns must be the formula's but for rounding."""
    expected, units = formula(inputs, request, kernel)

    result = kernel.prepare(inputs, request)()

    results = (result.output, result.weights, result.logsumexp)
    names = ("output", "weights", "logsumexp")
    assert {n for n, r in zip(names, results, strict=True) if r is not None} == kernel.returns
    assert describe(result.output).dtype == request.dtype
    for found, right, unit in zip(results, expected, units, strict=True):
        if found is None:
            continue
        assert describe(found).shape == right.shape
        numbers = to_float64(found)
        np.testing.assert_array_equal(np.isneginf(numbers), np.isneginf(right))
        finite = np.isfinite(right)
        error = np.abs(numbers[finite] - right[finite])
        assert np.isfinite(error).all()
        np.testing.assert_array_less(error, 8 * unit[finite])
