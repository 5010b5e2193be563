"""Softmax and its temperature, at every size of score."""

import warnings

import numpy as np
import pytest

from attnpanel.attention.reference import attend, softmax
from tests.unit.attention.arrays import call_arrays


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e4, 1e18])
def test_no_temperature_and_no_score_size_overflows(dtype, temperature, size):
    # Scores up to about 1e36 in float32; divided by 0.01 they would be near its end, 3.4e38.
    query, key, value = call_arrays(dtype)
    factor = np.dtype(dtype).type(size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = attend(query * factor, key * factor, value, temperature=temperature)

    assert np.isfinite(result.weights).all()
    assert np.isfinite(result.output).all()
    # Seven weights rounded to the type, so a few of its epsilons.
    np.testing.assert_allclose(result.weights.sum(axis=-1), 1, rtol=8 * np.finfo(dtype).eps)


def test_the_ends_of_the_temperature_range_are_argmax_and_average():
    key = [[0.0], [1.0], [2.0]]

    cold = attend([[1.0]], key, None, scale=1.0, temperature=0.01)
    hot = attend([[1.0]], key, None, scale=1.0, temperature=100.0)

    # exp(-1 / 0.01) = 3.7e-44 beside 1; at 100 the largest ratio is exp(0.02) = 1.0202.
    np.testing.assert_allclose(cold.weights, [[0, 0, 1]], atol=1e-43)
    np.testing.assert_allclose(hot.weights, [[1 / 3] * 3], rtol=0.0102)
    assert (np.diff(hot.weights) > 0).all()


def test_softmax_of_logarithms_gives_back_the_proportions():
    np.testing.assert_allclose(softmax(np.log([1, 2, 5])), [1 / 8, 2 / 8, 5 / 8], rtol=1e-15)


def test_softmax_runs_along_the_named_axis():
    x = np.log([[1.0, 1.0], [3.0, 4.0]])

    np.testing.assert_allclose(softmax(x, axis=0), [[1 / 4, 1 / 5], [3 / 4, 4 / 5]], rtol=1e-15)
    np.testing.assert_allclose(softmax(x, axis=1), [[1 / 2, 1 / 2], [3 / 7, 4 / 7]], rtol=1e-15)


def test_softmax_divides_by_the_temperature():
    # Twice ln 2 is ln 4.
    np.testing.assert_allclose(softmax(np.log([1, 2]), temperature=0.5), [0.2, 0.8], rtol=1e-15)


def test_softmax_gives_no_weight_to_minus_infinity():
    x = [[0.0, -np.inf, 0.0], [-np.inf] * 3]

    np.testing.assert_array_equal(softmax(x), [[0.5, 0, 0.5], [0, 0, 0]])
