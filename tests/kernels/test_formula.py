"""Kernels against the formula in float64, written here pair by pair; no kernel's code is reused."""

import math
from dataclasses import replace

import numpy as np
import pytest

from attnpanel.kernels import IMPLEMENTATIONS, find_implementation
from attnpanel.kernels.arrays import describe, to_float64
from attnpanel.kernels.request import Inputs, Request

KERNELS = ["numpy-naive", "numpy-row-blocked", "numpy-online"]
# Distinct primes where the rules allow, so that a swapped axis cannot hide: B2 H6/2 T5 S7 D11 Dv13.
SMALL = Request(2, 6, 2, 5, 7, 11, 13)
REQUESTS = {
    "plain": SMALL,
    "one head for all": replace(SMALL, kv_heads=1),
    "T1": replace(SMALL, query_len=1),
    "S1": replace(SMALL, key_len=1),
    "causal": replace(SMALL, mask="causal"),
    "causal, T > S": replace(SMALL, query_len=7, key_len=5, mask="causal"),
    "causal bottom right": replace(SMALL, mask="causal", align="bottom_right"),
    # The first two queries come before the first key.
    "causal bottom right, T > S": replace(
        SMALL, query_len=7, key_len=5, mask="causal", align="bottom_right"
    ),
    "causal T1 bottom right": replace(SMALL, query_len=1, mask="causal", align="bottom_right"),
    "padding": replace(SMALL, mask="padding", pad_lens=(3, 5)),
    "padding of everything": replace(SMALL, mask="padding", pad_lens=(0, 7)),
    "key padding": replace(SMALL, mask="key_padding", pad_lens=(2, 7)),
    "no key at all": replace(SMALL, mask="key_padding", pad_lens=(0, 1)),
    "window": replace(SMALL, mask="window", window=2),
    "window bottom right": replace(SMALL, mask="window", window=2, align="bottom_right"),
    "bias": replace(SMALL, bias=True),
    "bias, causal, warm": replace(SMALL, bias=True, mask="causal", temperature=3.0),
    "bias, padding, cold": replace(
        SMALL, bias=True, mask="padding", pad_lens=(4, 0), temperature=0.01
    ),
    "cold": replace(SMALL, temperature=0.01),
    "cool, causal": replace(SMALL, temperature=0.1, mask="causal"),
    "hot": replace(SMALL, temperature=100.0),
    "scale": replace(SMALL, scale=0.7),
    "negative scale": replace(SMALL, scale=-0.7),
    "scale 0": replace(SMALL, scale=0.0),
    "float64": replace(SMALL, dtype="float64", bias=True, mask="window", window=3),
    "float64 cold": replace(SMALL, dtype="float64", temperature=0.01, mask="causal"),
    "float16": replace(SMALL, dtype="float16", mask="causal"),
    "float16 bias, cold": replace(SMALL, dtype="float16", bias=True, temperature=0.1),
    # More than one block of queries and tile of keys, the last of each not full.
    "long": Request(1, 2, 1, 300, 1031, 3, 5),
    "long causal": Request(1, 2, 2, 523, 523, 3, 5, mask="causal"),
    "long bottom right": Request(
        1, 1, 1, 131, 1031, 3, 5, mask="causal", align="bottom_right", temperature=0.02
    ),
    "long window, biased": Request(1, 2, 1, 523, 523, 3, 5, mask="window", window=7, bias=True),
    "long padding": Request(2, 1, 1, 300, 300, 3, 5, mask="padding", pad_lens=(130, 3)),
}


def draw(request, seed=0):
    draws = np.random.default_rng(seed)
    r = request
    shapes = [
        (r.batch, r.heads, r.query_len, r.head_dim),
        (r.batch, r.kv_heads, r.key_len, r.head_dim),
        (r.batch, r.kv_heads, r.key_len, r.value_dim),
        (r.heads, r.query_len, r.key_len),
    ]
    *arrays, bias = [draws.standard_normal(shape).astype(r.dtype) for shape in shapes]
    return Inputs(*arrays, mask=r.visible(), bias=bias if r.bias else None)


def formula(inputs, request, empty_rows):
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
    logsumexp_unit = np.zeros_like(logsumexp)
    rounding = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-24}[request.dtype]
    for b, h, i in np.ndindex(full[:3]):
        kv, seen = h // groups, np.flatnonzero(mask[b, h, i])
        if len(seen) == 0:
            share = {"zero": 0.0, "uniform": 1 / key_len}[empty_rows]
            weights[b, h, i] = share
            output[b, h, i] = share * v[b, kv].sum(axis=0)
            weight_unit[b, h, i] = share * rounding
            output_unit[b, h, i] = 4 * rounding * share * np.abs(v[b, kv]).sum(axis=0)
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
        output_unit[b, h, i] = unit * (p @ np.abs(values))
        logsumexp_unit[b, h, i] = unit + rounding * abs(logsumexp[b, h, i])
    if request.dtype == "float16":
        # Results are stored in 11 bits.
        output_unit += 2.0**-11 * np.abs(output)
        weight_unit += 2.0**-11 * weights
    smallest = {"float64": 2.0**-1074, "float32": 2.0**-149, "float16": 2.0**-24}[request.dtype]
    output_unit += smallest
    weight_unit += smallest
    return (output, weights, logsumexp), (output_unit, weight_unit, logsumexp_unit)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_kernel_gives_the_formulas_numbers(name, request_):
    kernel = find_implementation(name)
    reasons = kernel.unsupported(request_)
    if reasons:
        pytest.skip("; ".join(reasons))
    inputs = draw(request_)
    expected, units = formula(inputs, request_, kernel.empty_rows)

    result = kernel.prepare(inputs, request_)()

    results = (result.output, result.weights, result.logsumexp)
    names = ("output", "weights", "logsumexp")
    assert {n for n, r in zip(names, results, strict=True) if r is not None} == kernel.returns
    assert describe(result.output).dtype == request_.dtype
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


@pytest.mark.parametrize("name", KERNELS)
def test_a_mask_of_each_head_and_minus_infinity_in_the_bias_hide_keys(name):
    request = replace(SMALL, bias=True)
    kernel = find_implementation(name)
    if kernel.unsupported(request):
        pytest.skip("; ".join(kernel.unsupported(request)))
    inputs = draw(request)
    mask = np.random.default_rng(1).random((2, 6, 5, 7)) < 0.6
    mask[..., 0] = True
    bias = inputs.bias.copy()
    bias[:, :, 3] = -np.inf
    expected, units = formula(
        replace(inputs, mask=mask & ~np.isneginf(bias), bias=np.where(np.isneginf(bias), 0, bias)),
        request,
        "zero",
    )

    output = to_float64(kernel.prepare(replace(inputs, mask=mask, bias=bias), request)().output)

    np.testing.assert_array_less(np.abs(output - expected[0]), 8 * units[0])


@pytest.mark.parametrize("name", KERNELS)
def test_two_keys_share_weight_as_the_scores_say(name):
    # Scores are 0 and ln 3, so the weights must be 1/4 and 3/4: worked by hand, no code reused.
    request = Request(1, 1, 1, 1, 2, 1, 1, scale=1.0)
    kernel = find_implementation(name)
    if kernel.unsupported(request):
        pytest.skip("; ".join(kernel.unsupported(request)))
    query = np.ones((1, 1, 1, 1), np.float32)
    key = np.array([[[[0.0], [np.log(3.0)]]]], np.float32)
    value = np.array([[[[8.0], [4.0]]]], np.float32)

    result = kernel.prepare(Inputs(query, key, value, None, None), request)()

    # A few roundings of float32.
    np.testing.assert_allclose(to_float64(result.output)[0, 0, 0], [5.0], rtol=3e-7)
    if result.weights is not None:
        np.testing.assert_allclose(to_float64(result.weights)[0, 0, 0], [0.25, 0.75], rtol=3e-7)
    if result.logsumexp is not None:
        np.testing.assert_allclose(to_float64(result.logsumexp)[0, 0, 0], np.log(4.0), rtol=3e-7)


@pytest.mark.parametrize("name", KERNELS)
def test_what_a_kernel_cannot_run_it_says_in_words(name):
    kernel = find_implementation(name)

    assert kernel.unsupported(replace(SMALL, dtype="bfloat16"))[0].startswith(f"{name} computes ")
    (reason,) = kernel.unsupported(replace(SMALL, device="cuda"))
    assert reason == f"{name} runs on cpu; got device cuda"


def test_the_names_are_unique():
    names = [implementation.name for implementation in IMPLEMENTATIONS]
    assert len(set(names)) == len(names)
