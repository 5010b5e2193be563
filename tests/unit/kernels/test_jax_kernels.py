"""JAX's kernels against the formula; each case compiles, so a case has many things at once."""

import os
from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench.certify.cases import Case
from attnpanel.bench.certify.certificate import certify
from attnpanel.kernels.jax_.dot_product import JAX_NN, THREADS_VARIABLE
from attnpanel.kernels.jax_.formula import JAX_FORMULA
from attnpanel.kernels.jax_.pallas import JAX_PALLAS
from attnpanel.kernels.request import Request
from tests.unit.kernels.formula import assert_formula, draw

jax = pytest.importorskip("jax", reason="JAX is not installed")

# Distinct primes where the rules allow, so that a swapped axis cannot hide: B2 H6/2 T5 S7 D11 Dv13.
SMALL = Request(2, 6, 2, 5, 7, 11, 13)
NARROW = replace(SMALL, value_dim=11)
BLIND = {"mask": "padding", "pad_lens": (3, 0)}  # rows without a key in either batch entry


@pytest.mark.parametrize(
    "request_",
    [
        SMALL,
        replace(SMALL, query_len=7, key_len=5, mask="causal", align="bottom_right", scale=-0.7),
        replace(SMALL, query_len=1, kv_heads=1, dtype="float16", temperature=3.0),
        replace(SMALL, bias=True, temperature=0.01, **BLIND),
        replace(SMALL, bias=True, dtype="float64", mask="window", window=2, temperature=0.01),
        replace(SMALL, bias=True, dtype="bfloat16", mask="key_padding", pad_lens=(2, 7)),
    ],
    ids=str,
)
def test_the_formula_in_jax_gives_the_formulas_numbers(request_):
    assert JAX_FORMULA.unsupported(request_) == []
    assert_formula(JAX_FORMULA, draw(request_), request_)


@pytest.mark.parametrize(
    "request_",
    [
        replace(NARROW, mask="causal", temperature=0.01),
        replace(NARROW, query_len=7, key_len=5, mask="causal", align="bottom_right", scale=-0.7),
        replace(NARROW, query_len=1, kv_heads=1, dtype="bfloat16", temperature=3.0),
        replace(NARROW, bias=True, temperature=0.1, **BLIND),
        replace(NARROW, bias=True, mask="window", window=2),
    ],
    ids=str,
)
def test_jax_nn_gives_the_formulas_numbers(request_):
    assert JAX_NN.unsupported(request_) == []
    assert_formula(JAX_NN, draw(request_), request_)


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize(
    "request_",
    [
        # More than a block of 64 queries and keys.
        Request(1, 2, 1, 70, 129, 11, 13, mask="causal"),
        replace(SMALL, bias=True, dtype="bfloat16", temperature=0.01, scale=-0.7, **BLIND),
    ],
    ids=str,
)
def test_pallas_gives_the_formulas_numbers(request_):
    assert JAX_PALLAS.unsupported(request_) == []
    assert_formula(JAX_PALLAS, draw(request_), request_)


def test_attention_in_pallas_is_certified_as_interpreted():
    case = Case(Request(1, 2, 1, 3, 5, 11, 13, "float16", mask="key_padding", pad_lens=(4,)))
    found = certify(JAX_PALLAS, case)

    assert (found.verdict, found.basis, found.reasons) == ("pass", "interpreted", ())


def test_a_mask_other_than_the_one_the_request_names_is_the_one_that_counts():
    request = replace(NARROW, mask="causal")
    mask = np.ones((5, 7), dtype=bool)
    mask[0, 3:] = mask[2, 1] = False

    assert_formula(JAX_NN, replace(draw(request), mask=mask), request)


def test_what_jax_nn_cannot_run_it_says_in_words():
    (reason,) = JAX_NN.unsupported(SMALL)
    assert reason == "jax-nn takes values as wide as keys; got value_dim 13 and head_dim 11"
    (reason,) = JAX_NN.unsupported(replace(NARROW, device="cuda"))
    assert reason == "jax-nn runs on cpu; got device cuda"
    (reason,) = JAX_PALLAS.unsupported(replace(SMALL, key_len=2**17))
    assert "too slow for more than 1048576 scores; got 7864320" in reason
    reasons = JAX_NN.unsupported(replace(NARROW, dtype="float64"))
    assert reasons[-1] == "jax-nn: its softmax is in float32 whatever the inputs are"


def test_the_environment_and_the_width_of_numbers_are_as_they_were(monkeypatch):
    request = replace(SMALL, dtype="float64", temperature=0.01)
    monkeypatch.setenv(THREADS_VARIABLE, "7")

    JAX_FORMULA.prepare(draw(request), request)()

    assert os.environ[THREADS_VARIABLE] == "7"
    assert jax.numpy.ones(2).dtype == "float32"
