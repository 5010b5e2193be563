"""Metrics of a head, calculated by hand."""

import numpy as np
import pytest

from attnpanel.analysis import (
    diagonal,
    effective_keys,
    entropy,
    first_key,
    induction,
    mean_distance,
    previous_token,
)


def test_a_query_that_attends_to_one_key_has_no_entropy():
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


@pytest.mark.parametrize(
    "number", [entropy, effective_keys, mean_distance, previous_token, diagonal, first_key]
)
def test_a_query_that_sees_no_key_is_left_out(number):
    seen = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    with_empty = np.vstack([seen, np.zeros((1, 3))])

    assert number(with_empty) == number(seen)


@pytest.mark.parametrize(
    "number", [entropy, effective_keys, mean_distance, previous_token, diagonal, first_key]
)
def test_without_any_seeing_query_the_number_is_zero(number):
    assert number(np.zeros((3, 5))) == 0.0


def test_the_number_of_keys_is_the_mean_of_rows_not_that_of_their_entropy():
    # Two keys alike in one row, one in the other: (2 + 1) / 2.
    weights = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])

    np.testing.assert_allclose(effective_keys(weights), 1.5, rtol=1e-12)


def test_lines_follow_the_position_of_the_first_query():
    # Two queries at positions 3 and 4 of five keys.
    weights = np.array([[0.0, 0.0, 0.7, 0.3, 0.0], [0.1, 0.0, 0.0, 0.5, 0.4]])

    np.testing.assert_allclose(previous_token(weights, offset=3), (0.7 + 0.5) / 2, rtol=1e-12)
    np.testing.assert_allclose(diagonal(weights, offset=3), (0.3 + 0.4) / 2, rtol=1e-12)
    # |3 - 2| 0.7 + 0, and |4 - 0| 0.1 + |4 - 3| 0.5.
    np.testing.assert_allclose(mean_distance(weights, offset=3), (0.7 + 0.9) / 2, rtol=1e-12)


def test_the_first_token_has_none_before_it():
    assert previous_token(np.eye(1)) == 0.0


def test_the_first_key_gathers_what_every_query_gives_it():
    weights = np.array([[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.0, 0.5, 0.5]])

    np.testing.assert_allclose(first_key(weights), 1.25 / 3, rtol=1e-12)


def test_induction_is_the_weight_after_an_earlier_occurrence():
    # Tokens x y z x y: query 3 (x) should look at key 1 (y), query 4 (y) at key 2 (z).
    weights = np.zeros((5, 5))
    weights[0, 0] = weights[1, 1] = weights[2, 2] = 1.0
    weights[3, [0, 1]] = [0.4, 0.6]
    weights[4, [2, 4]] = [0.2, 0.8]

    np.testing.assert_allclose(induction(weights, list("xyzxy")), (0.6 + 0.2) / 2, rtol=1e-12)


def test_a_token_twice_in_a_row_is_not_followed_by_itself():
    # The second x follows the first, so what follows the first is the query itself.
    weights = np.array([[1.0, 0.0], [0.0, 1.0]])

    assert np.isnan(induction(weights, ["x", "x"]))


def test_without_a_repeated_token_there_is_no_induction():
    assert np.isnan(induction(np.eye(3), ["x", "y", "z"]))


def test_induction_needs_a_token_for_each_key():
    with pytest.raises(ValueError, match="one for each of 3 keys; got 2"):
        induction(np.eye(3), ["x", "y"])


@pytest.mark.parametrize("measure", [entropy, mean_distance, previous_token, first_key])
def test_a_metric_is_the_same_by_blocks_of_queries(monkeypatch, measure):
    weights = np.random.default_rng(0).dirichlet(np.ones(7), 13).astype(np.float32)
    weights[4] = 0
    whole = measure(weights)

    monkeypatch.setattr("attnpanel.analysis.head_metrics.BLOCK_CELLS", 5 * 7)

    assert measure(weights) == whole
