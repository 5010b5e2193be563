import doctest

import numpy as np
import pytest

import attnpanel
from attnpanel.models import toy
from attnpanel.models.toy import make_toy_data, rgb_from_values, toy_trace


def test_the_examples_in_the_docstrings_hold():
    results = doctest.testmod(toy)

    assert results.attempted > 0
    assert results.failed == 0


def test_arrays_are_heads_by_tokens_by_channels():
    for array in make_toy_data(T=5, d_model=21, heads=3):
        assert array.shape == (3, 5, 7)
        assert array.dtype == np.float64


def test_a_head_holds_consecutive_channels_of_the_same_draws():
    whole = make_toy_data(T=5, d_model=6, heads=1, seed=3)
    split = make_toy_data(T=5, d_model=6, heads=2, seed=3)

    for joined, heads in zip(whole, split, strict=True):
        np.testing.assert_array_equal(np.concatenate([heads[0], heads[1]], axis=-1), joined[0])


def test_queries_keys_and_values_come_from_the_same_tokens():
    # Six columns, all mixed from the tokens' two channels.
    parts = make_toy_data(T=11, d_model=2, heads=1, seed=5)

    assert np.linalg.matrix_rank(np.concatenate([part[0] for part in parts], axis=-1)) == 2


def test_the_seed_alone_decides_the_numbers():
    np.testing.assert_array_equal(make_toy_data(seed=1), make_toy_data(seed=1))
    assert not np.isclose(make_toy_data(seed=1), make_toy_data(seed=2)).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_model": 7, "heads": 3}, "d_model must be a multiple of heads; got 7 and 3"),
        ({"T": 0}, "T must be an integer of at least 1; got 0"),
        ({"d_model": -8}, "d_model must be an integer of at least 1; got -8"),
        ({"heads": 0}, "heads must be an integer of at least 1; got 0"),
        ({"heads": 2.0}, "heads must be an integer of at least 1; got 2.0"),
        ({"seed": -1}, "seed must be an integer of at least 0; got -1"),
    ],
)
def test_make_toy_data_refuses_with_the_rule_and_the_values(options, message):
    for make in (make_toy_data, toy_trace):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
            make(**options)
        assert str(caught.value) == message


def test_colours_fill_the_range_once_over_all_heads_and_channels():
    values = np.random.default_rng(0).standard_normal((3, 5, 7))

    colours = rgb_from_values(values, seed=1)

    assert colours.shape == (3, 5, 3)
    assert colours.min() == 0
    # The notebook adds 1e-8 to a span of several units, so its top is that much short of 1.
    np.testing.assert_allclose(colours.max(), 1, rtol=1e-8)
    assert (colours.max(axis=(0, 1)) > 0.99).sum() == 1


def test_mixing_values_mixes_their_colours():
    values = np.random.default_rng(0).standard_normal((1, 5, 7))
    weights = np.array([0.1, 0.2, 0.3, 0.4, 0.0])
    mixed_values = np.concatenate([values, (weights @ values)[:, None]], axis=1)

    colours = rgb_from_values(mixed_values)[0]

    # A mix lies between the values it mixes, so it does not move the range.
    np.testing.assert_allclose(colours[5], weights @ colours[:5], rtol=0, atol=1e-14)


def test_values_without_a_difference_are_black():
    np.testing.assert_array_equal(rgb_from_values(np.zeros((2, 3, 5))), np.zeros((2, 3, 3)))


@pytest.mark.parametrize(
    ("values", "seed", "message"),
    [
        (
            np.ones((3, 5)),
            0,
            "values must be a non-empty array of real numbers of shape (heads, T, d); "
            "got shape (3, 5), dtype float64",
        ),
        (
            np.ones((2, 0, 3)),
            0,
            "values must be a non-empty array of real numbers of shape (heads, T, d); "
            "got shape (2, 0, 3), dtype float64",
        ),
        (
            [[[1.0, np.nan]]],
            0,
            "values must be finite, and stay so when projected to colours; got |values| up to nan",
        ),
        (
            [[[1.7e308, 1.7e308], [-1.7e308, -1.7e308]]],
            0,
            "values must be finite, and stay so when projected to colours; "
            "got |values| up to 1.7e+308",
        ),
        (np.ones((1, 1, 1)), -1, "seed must be an integer of at least 0; got -1"),
    ],
)
def test_rgb_from_values_refuses_with_the_rule_and_the_values(values, seed, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared below
        rgb_from_values(values, seed)

    assert str(caught.value) == message


def test_the_toy_trace_is_one_unmasked_call_on_the_toy_data():
    trace = toy_trace(T=5, d_model=21, heads=3, seed=2)

    (call,) = trace.calls
    assert (call.layer, call.kind, call.causal) == ("toy", "self", "none")
    assert trace.source == "toy"
    assert trace.query_tokens == (("t0", "t1", "t2", "t3", "t4"),)
    assert call.scale == pytest.approx(7**-0.5, rel=1e-15)
    for stored, made in zip(
        (call.query, call.key, call.value), make_toy_data(5, 21, 3, 2), strict=True
    ):
        np.testing.assert_array_equal(stored, made[None].astype(np.float32), strict=True)


def test_the_toy_trace_attends_as_the_toy_data_does():
    query, key, value = make_toy_data()
    call = toy_trace().calls[0]

    for head in range(4):
        expected = attnpanel.attend(query[head], key[head], value[head]).weights
        # Scores reach some tens, and float32 rounds them by 6e-8 of that.
        np.testing.assert_allclose(call.weights(head), expected, atol=1e-5)
