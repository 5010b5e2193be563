"""The unit of a certificate, worked by hand for one query."""

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.kernels.request import Inputs, Request
from bench.cases import Case, make_inputs
from bench.reference import reference
from bench.units import condition, output_unit, unit_of_weights, weight_error
from tests.bench.made_attention import made

# One query of 3 channels, two keys: products 3, 4, 0 (norm 5, sum 7) and 0, 0, 1.
ONE = Request(1, 1, 1, 1, 2, 3, 1, scale=0.5, temperature=0.25)
QUERY = np.array([[[[1.0, 2.0, 1.0]]]], np.float32)
KEY = np.array([[[[3.0, 2.0, 0.0], [0.0, 0.0, 1.0]]]], np.float32)
VALUE = np.ones((1, 1, 2, 1), np.float32)
INPUTS = Inputs(QUERY, KEY, VALUE, None, None)


def test_the_condition_is_the_root_of_summed_squared_partial_sums_over_the_temperature():
    stepwise = condition(ONE, INPUTS, stepwise=True).item()

    # e = (sqrt(3) · 5 + sqrt(3 / 3) · 7) / 2, times scale 0.5, over temperature 0.25.
    np.testing.assert_allclose(stepwise, (np.sqrt(3) * 5 + 7) / 2 * 0.5 / 0.25, rtol=1e-14)


def test_scores_kept_in_16_bits_round_their_terms_and_their_sum():
    whole = condition(ONE, INPUTS, stepwise=False).item()

    np.testing.assert_allclose(whole, (5 + 7) * 0.5 / 0.25, rtol=1e-14)


def test_a_bias_is_rounded_with_its_score():
    bias = np.array([[[-3.0, 1.0]]], np.float32)
    with_bias = condition(replace(ONE, bias=True), replace(INPUTS, bias=bias), stepwise=False)

    np.testing.assert_allclose(with_bias.item(), ((5 + 7) * 0.5 + 3) / 0.25, rtol=1e-14)


def test_a_hidden_key_does_not_count():
    mask = np.array([[False, True]])

    only_second = condition(ONE, replace(INPUTS, mask=mask), stepwise=False).item()

    np.testing.assert_allclose(only_second, (1 + 1) * 0.5 / 0.25, rtol=1e-14)


@pytest.mark.parametrize(
    ("dtype", "scores_dtype", "expected"),
    [
        # κ = 20, two keys: log2 S = 1.
        ("float64", "float32", (20 + 1 + 4) * 2.0**-53),
        ("float32", "storage", (20 + 1 + 4) * 2.0**-24),
        ("float16", "float32", 4 * 2.0**-11 + (20 + 1) * 2.0**-24),
        ("bfloat16", "float32", 4 * 2.0**-8 + (20 + 1) * 2.0**-24),
        # Large enough to leave the straight line: (exp(8 · 24 / 256) - 1) / 8.
        ("bfloat16", "storage", np.expm1(8 * 24 / 256) / 8),
    ],
)
def test_a_unit_is_the_roundoff_of_what_is_rounded(dtype, scores_dtype, expected):
    implementation = replace(made(), scores_dtype=scores_dtype)

    unit = unit_of_weights(implementation, replace(ONE, dtype=dtype), np.array([[[20.0]]]))

    np.testing.assert_allclose(unit, [[[expected]]], rtol=1e-4)


def test_an_output_unit_is_in_proportion_to_weights_times_values():
    request = Request(1, 2, 2, 3, 5, 7, 11)
    inputs = make_inputs(Case(request))
    doubled = replace(inputs, value=2 * inputs.value)
    error = weight_error(made(), request, inputs)

    once = output_unit(request, error, reference(request, inputs))
    twice = output_unit(request, error, reference(request, doubled))

    np.testing.assert_allclose(twice, 2 * once, rtol=1e-12)


def test_nothing_overflows_where_nothing_can_be_told():
    unit = unit_of_weights(made(), replace(ONE, dtype="float32"), np.array([[[1e30]]]))

    assert np.isfinite(unit).all()
