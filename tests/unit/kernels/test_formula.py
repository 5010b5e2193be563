"""Kernels against the formula in float64; those that compile have a file of their own."""

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.attention.mask_table import mask_kinds
from attnpanel.bench.certify.cases import example_mask
from attnpanel.kernels import find_implementation
from attnpanel.kernels.arrays import to_float64
from attnpanel.kernels.request import Inputs, Request
from tests.unit.kernels.formula import assert_formula, draw, formula

KERNELS = [
    "numpy-naive",
    "numpy-row-blocked",
    "numpy-online",
    "javascript-node",
    "javascript-wasm",
    "onnxruntime-attention",
]
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
    **{
        f"{kind} of the table": replace(SMALL, **example_mask(kind, 5, 7, 2))
        for kind in mask_kinds()
    },
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


@pytest.mark.thorough(every=4)
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_kernel_gives_the_formulas_numbers(name, request_):
    kernel = find_implementation(name)
    reasons = kernel.unsupported(request_)
    if reasons:
        pytest.skip("; ".join(reasons))
    assert_formula(kernel, draw(request_), request_)


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
    bias[4, 2] = -np.inf  # nothing is left for this query
    expected, units = formula(
        replace(inputs, mask=mask & ~np.isneginf(bias), bias=np.where(np.isneginf(bias), 0, bias)),
        request,
        kernel,
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
def test_a_mask_other_than_the_one_the_request_names_is_the_one_that_counts(name):
    # Whoever has a causal option of its own must not use it here.
    request = replace(SMALL, mask="causal")
    kernel = find_implementation(name)
    if kernel.unsupported(request):
        pytest.skip("; ".join(kernel.unsupported(request)))
    mask = np.ones((5, 7), dtype=bool)
    mask[0, 3:] = mask[2, 1] = False

    assert_formula(kernel, replace(draw(request), mask=mask), request)


@pytest.mark.parametrize("name", KERNELS)
def test_what_a_kernel_cannot_run_it_says_in_words(name):
    kernel = find_implementation(name)
    if kernel.unsupported(SMALL):
        pytest.skip("; ".join(kernel.unsupported(SMALL)))

    if "bfloat16" not in kernel.dtypes:
        reasons = kernel.unsupported(replace(SMALL, dtype="bfloat16"))
        assert reasons[0].startswith(f"{name} computes ")
    (reason,) = kernel.unsupported(replace(SMALL, device="cuda"))
    assert reason == f"{name} runs on cpu; got device cuda"
