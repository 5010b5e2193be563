"""Error units, computed by hand for one query."""

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench import certify
from attnpanel.bench.certify.cases import Case, make_inputs
from attnpanel.bench.certify.error_units import (
    condition,
    output_unit,
    unit_of_weights,
    weight_error,
)
from attnpanel.bench.certify.reference import reference
from attnpanel.bench.certify.sixteen_bits import RoundingPlaces
from attnpanel.kernels import find_implementation
from attnpanel.kernels.request import Inputs, Request

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
    ("dtype", "places", "expected"),
    [
        # κ = 20, two keys: log2 S = 1.
        ("float64", None, (20 + 1 + 4) * 2.0**-53),
        ("float32", None, (20 + 1 + 4) * 2.0**-24),
        ("float16", RoundingPlaces(weights=False), (20 + 1 + 4) * 2.0**-24),
        ("bfloat16", RoundingPlaces(), 2.0**-8 / 4 + (20 + 1 + 4) * 2.0**-24),
        # Large enough to leave the straight line: (exp(8 · 24 / 256) - 1) / 8.
        ("bfloat16", RoundingPlaces(scores=True), np.expm1(8 * 24 / 256) / 8),
    ],
)
def test_a_unit_follows_the_formula_of_its_dtype(dtype, places, expected):
    unit = unit_of_weights(replace(ONE, dtype=dtype), np.array([[[20.0]]]), places)

    np.testing.assert_allclose(unit, [[[expected]]], rtol=1e-4)


def test_the_output_unit_is_proportional_to_weights_times_values():
    request = Request(1, 2, 2, 3, 5, 7, 11)
    inputs = make_inputs(Case(request))
    doubled = replace(inputs, value=2 * inputs.value)
    error = weight_error(request, inputs, None)

    once = output_unit(request, error, reference(request, inputs))
    twice = output_unit(request, error, reference(request, doubled))

    np.testing.assert_allclose(twice, 2 * once, rtol=1e-12)


def test_huge_errors_do_not_overflow():
    unit = unit_of_weights(ONE, np.array([[[1e30]]]), None)

    assert np.isfinite(unit).all()


def test_where_16_bit_scores_err_without_bound_a_weight_of_0_may_be_a_half():
    # Two scores near -4e5 that differ by hundreds are one number of bfloat16.
    case = Case(Request(1, 1, 1, 26, 200, 192, 8, "bfloat16", temperature=0.36), "low")

    assert certify(find_implementation("torch-eager"), case).reasons == ()
