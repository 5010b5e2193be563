"""The 16-bit model, by hand for one query and by simulation for many."""

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench.certify.cases import Case, make_inputs
from attnpanel.bench.certify.judgement import judge
from attnpanel.bench.certify.reference import query_blocks, reference
from attnpanel.bench.certify.rounding import round_to
from attnpanel.bench.certify.sixteen_bit_statistics import LIMITS, _equal_scores, head_statistics
from attnpanel.bench.certify.sixteen_bits import (
    MEAN_SQUARE,
    RoundingPlaces,
    _rounding_correlation,
    block_model,
    describe_rounding,
    last_bit,
    rounding_places,
)
from attnpanel.kernels import IMPLEMENTATIONS, find_implementation
from attnpanel.kernels.request import Request

REQUEST = Request(1, 1, 1, 149, 541, 64, 64)


def test_the_last_bit_of_a_16_bit_number():
    # 1 + 2^-7 and 1 + 2^-10 are the next numbers; below 2^-14 float16 has a fixed grid of 2^-24.
    np.testing.assert_array_equal(
        last_bit(np.array([1.0, 1.9, -2.0]), "bfloat16") * 2**7, [1, 1, 2]
    )
    np.testing.assert_array_equal(
        last_bit(np.array([1.0, 2.0**-20]), "float16") * 2**24, [2**14, 1]
    )


def test_the_mean_square_of_a_rounding_is_that_of_log_uniform_numbers():
    numbers = 2 ** np.random.default_rng(0).uniform(0, 8, 200_000)

    errors = (round_to(numbers, "bfloat16") / numbers - 1) / 2.0**-8

    np.testing.assert_allclose((errors**2).mean(), MEAN_SQUARE, rtol=0.01)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rounded_weights_err_by_the_deviation_of_the_model(dtype):
    request = replace(REQUEST, dtype=dtype)
    (block,) = query_blocks(request, make_inputs(Case(request)))
    model = block_model(block, request, RoundingPlaces())

    rounded = round_to(model.weights, dtype).astype(np.float64) @ block.value

    error = (rounded - model.output) / np.sqrt(model.sigma2)
    np.testing.assert_allclose((error**2).mean(), 1, rtol=0.1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rounded_scores_err_by_the_deviation_of_the_model(dtype):
    request = replace(REQUEST, dtype=dtype)
    (block,) = query_blocks(request, make_inputs(Case(request)))
    model = block_model(block, request, RoundingPlaces(scores=True))
    alone = block_model(block, request, RoundingPlaces()).sigma2

    products = round_to(block.query @ block.key.T, dtype).astype(np.float64)
    scores = round_to(products / 8, dtype).astype(np.float64)
    weights = np.exp(scores)
    weights /= weights.sum(axis=1, keepdims=True)

    error = (weights @ block.value - model.output) ** 2 / (model.sigma2 - 2 * alone)
    # An eighth is exact, so of the two roundings counted one does nothing: 8² of 8² + 1 · 1 remain.
    assert 0.4 < error.mean() < 1.1


@pytest.mark.parametrize("places", [RoundingPlaces(weights=False), RoundingPlaces()])
def test_a_stored_reference_is_right_and_has_no_gain(places):
    request = replace(REQUEST, dtype="bfloat16")
    inputs = make_inputs(Case(request))
    expected = reference(request, inputs)

    found = judge(
        request,
        inputs,
        round_to(expected.output, "bfloat16").astype(np.float64),
        expected,
        places=places,
    )

    assert found.failures == ()
    assert set(found.statistics) == set(LIMITS)
    assert found.statistics["gain"] == 0


@pytest.mark.parametrize(
    "sizes", [{"query_len": 1}, {"key_len": 1}, {"head_dim": 1, "value_dim": 1}]
)
def test_the_smallest_calls_are_judged(sizes):
    request = replace(REQUEST, dtype="float16", **sizes)
    inputs = make_inputs(Case(request))
    expected = reference(request, inputs)
    output = round_to(expected.output, "float16").astype(np.float64)

    assert judge(request, inputs, output, expected, places=RoundingPlaces()).failures == ()
    wrong = judge(request, inputs, 1.2 * output, expected, places=RoundingPlaces())
    assert wrong.failures


@pytest.mark.parametrize("x", [1e-3, 0.05, 0.2, 0.29, 0.31, 0.6])
def test_the_variance_after_rounding_is_that_of_simulated_roundings(x):
    rng = np.random.default_rng(0)
    right = rng.uniform(0, 100, 400_000)  # with a last bit of 1
    error = np.rint(right + x * rng.standard_normal(right.shape)) - right

    correlation = _rounding_correlation(np.array([x]))
    rest = error - correlation * (np.rint(right) - right)

    np.testing.assert_allclose((rest**2).mean(), (1 - correlation**2) / 12 + x**2, rtol=0.15)


def test_a_failure_names_statistic_limit_value_and_head():
    request = replace(REQUEST, dtype="bfloat16", heads=2, kv_heads=2)
    inputs = make_inputs(Case(request))
    expected = reference(request, inputs)
    output = expected.output.copy()
    output[:, 1] *= 1.005

    failures = judge(
        request,
        inputs,
        round_to(output, "bfloat16").astype(np.float64),
        expected,
        places=RoundingPlaces(),
    ).failures

    gain = next(reason for reason in failures if reason.startswith("gain"))
    assert gain.startswith("gain up to 6 passes; got ")
    assert gain.endswith("in head (0, 1)")


def test_what_implementations_declare_is_put_in_words():
    words = {name: describe_rounding(find_implementation(name)) for name in
             ("numpy-online", "torch-sdpa-flash", "torch-eager", "torch-multihead")}  # fmt: skip

    assert words == {
        "numpy-online": "nothing",
        "torch-sdpa-flash": "weights",
        "torch-eager": "scores, weights",
        "torch-multihead": "scaled query, scores, weights",
    }


def test_only_16_bit_requests_have_rounding_places():
    for implementation in IMPLEMENTATIONS:
        assert rounding_places(implementation, REQUEST) is None
        assert rounding_places(implementation, replace(REQUEST, dtype="float16")) is not None


def test_weights_of_equal_scores_are_rounded_alike():
    # Scores of one sign near 10 are kept as multiples of 1/16: a row has some forty of them.
    request = Request(1, 1, 1, 64, 800, 256, 256, "bfloat16")
    inputs = make_inputs(Case(request, "positive"))
    places = RoundingPlaces(scores=True)
    scores = round_to(inputs.query @ inputs.key.swapaxes(-1, -2) / 16, "bfloat16")
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = round_to(weights / weights.sum(axis=-1, keepdims=True), "bfloat16")
    output = round_to(weights @ inputs.value, "bfloat16").astype(np.float64)

    apart, alike = (
        head_statistics(request, inputs, output, places, (0, 0), alike=alike)["row gain"]
        for alike in (False, True)
    )

    assert apart > 2 * alike
    assert alike < 1
    # A factor is found all the same.
    wrong = round_to(output * 1.01, "bfloat16").astype(np.float64)
    found = judge(request, inputs, wrong, reference(request, inputs), places=places)
    assert any(reason.startswith("row gain up to 2") for reason in found.failures)


def test_equal_scores_of_a_row_are_one_group():
    group, row = _equal_scores(np.array([[2.0, 1, 2], [1, 1, 3]]))

    np.testing.assert_array_equal(group, [1, 0, 1, 2, 2, 3])
    np.testing.assert_array_equal(row, [0, 0, 1, 1])


def test_the_gain_of_one_row_may_be_what_that_of_a_head_may_be():
    # Of 100 normal deviates two exceed 2.3, and none of a billion 6.
    request = Request(1, 1, 1, 1, 130, 64, 512, "bfloat16")
    found = []
    for seed in range(100):
        inputs = make_inputs(Case(request, seed=seed))
        (block,) = query_blocks(request, inputs)
        model = block_model(block, request, RoundingPlaces())
        weights = round_to(model.weights, "bfloat16").astype(np.float64)
        output = round_to(weights @ block.value, "bfloat16").astype(np.float64)
        found.append(head_statistics(request, inputs, output[None, None], RoundingPlaces(), (0, 0)))

    assert max(one["row gain"] for one in found) < LIMITS["row gain"]
    # The rounding is there: the gain of a head is about one deviation.
    assert np.sqrt(np.mean([one["gain"] ** 2 for one in found])) > 0.7
