"""The numbers about a head, by hand."""

import numpy as np
import pytest

from attnpanel.analysis import entropy, mean_distance


def test_a_query_that_takes_from_one_key_has_no_entropy():
    # As it is written: a sum of zeros with a minus before it would read -0.00.
    assert f"{entropy(np.eye(5)):.2f}" == "0.00"


def test_a_query_that_takes_from_all_keys_alike_has_the_entropy_log_s():
    np.testing.assert_allclose(entropy(np.full((3, 7), 1 / 7)), np.log(7), rtol=1e-12)


def test_the_entropy_is_the_mean_over_queries():
    # ln 2 for the first row, 0 for the second: ln 2 / 2.
    weights = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])

    np.testing.assert_allclose(entropy(weights), np.log(2) / 2, rtol=1e-12)


def test_the_distance_is_weighed_and_averaged_over_queries():
    # Row 0: 0.25 * 1 + 0.75 * 2 = 1.75; row 1: 0.5 * 1 + 0.5 * 1 = 1. Mean 1.375.
    weights = np.array([[0.0, 0.25, 0.75], [0.5, 0.0, 0.5]])

    np.testing.assert_allclose(mean_distance(weights), 1.375, rtol=1e-12)


@pytest.mark.parametrize("number", [entropy, mean_distance])
def test_a_query_that_sees_no_key_is_left_out(number):
    seen = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    with_empty = np.vstack([seen, np.zeros((1, 3))])

    assert number(with_empty) == number(seen)


@pytest.mark.parametrize("number", [entropy, mean_distance])
def test_without_any_seeing_query_the_number_is_zero(number):
    assert number(np.zeros((3, 5))) == 0.0
