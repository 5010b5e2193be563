"""Sums of nearly equal weights: what is allowed for them, and that no more is."""

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench import certify
from attnpanel.bench.certify import context
from attnpanel.bench.certify.alike_sums import alike_error
from attnpanel.bench.certify.cases import Case
from attnpanel.kernels import find_implementation
from attnpanel.kernels.implementation import RawResult
from attnpanel.kernels.request import Request

U = 2.0**-24
# Of 2731 keys: a power of two would have weights without a remainder.
REQUEST = Request(1, 2, 1, 3, 2731, 16, 16)
BASE = find_implementation("numpy-naive")


def one_after_the_other(array, axis):
    """Sum in float32, one term after the other: np.sum does so pairwise."""
    return np.take(np.add.accumulate(array, axis=axis, dtype=np.float32), [-1], axis=axis)


def sequential(factor=1.0):
    """Return attention whose sums over keys are made one term after the other."""

    def prepare(inputs, request, *, threads=1):
        def run():
            key, value = (
                np.repeat(x, request.heads // request.kv_heads, axis=1)
                for x in (inputs.key, inputs.value)
            )
            scores = inputs.query @ key.swapaxes(-1, -2) * np.float32(request.score_scale)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            total = one_after_the_other(weights, -1)
            weights /= total * np.float32(factor)
            terms = weights[..., None] * value[:, :, None]
            return RawResult(
                one_after_the_other(terms, 3)[..., 0, :],
                logsumexp=(np.log(total) + scores.max(axis=-1, keepdims=True))[..., 0],
            )

        return run

    returns = frozenset({"output", "logsumexp"})
    return replace(BASE, name="sequential", returns=returns, prepare=prepare)


def sums_check(kernel, case):
    found = certify(kernel, case)
    return next(check for check in found.checks if check.name == "identity value")


@pytest.mark.parametrize("kind", ["ties", "tiny"])
def test_sums_of_nearly_equal_weights_may_err_as_one_addition_after_the_other_does(
    kind, monkeypatch
):
    case = Case(REQUEST, kind, 5)

    assert certify(sequential(), case).reasons == ()
    # A factor of 1.0005 is more than any order of additions explains.
    assert sums_check(sequential(1.0005), case).detail.startswith("weights must sum to 1")
    monkeypatch.setattr(context, "alike_error", lambda _, visible, __: np.zeros(len(visible)))
    assert sums_check(sequential(), case).verdict == "fail"  # without what is allowed


def test_equal_weights_have_three_eighths_of_a_roundoff_a_key():
    # 3/8 n u, less what n random terms would seem to agree.
    visible = np.arange(1000) < np.array([[1000], [500], [1]])
    weights = visible / visible.sum(axis=1, keepdims=True)

    found = alike_error(weights, visible, U)

    expected = 0.375 * U * np.array([1000 * np.sqrt(1 - 0.009), 500 * np.sqrt(1 - 0.018), 0])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_weights_that_spread_over_a_last_bit_have_none():
    rng = np.random.default_rng(1)
    weights = rng.dirichlet(np.ones(4096), size=50)
    # By 1e-2 of a weight, 40 last bits of their sum.
    near = (1 + rng.normal(0, 1e-2, (50, 4096))) / 4096

    for spread in (weights, near):
        assert (alike_error(spread, np.ones(spread.shape, bool), U) == 0).all()


def test_sum_of_equal_terms_in_order_is_within_the_bound_and_comes_near_it():
    worst = 0.0
    for count in range(2049, 4096, 13):
        term = np.float32(1 / count)
        exact = count * float(term)
        found = float(np.add.accumulate(np.full(count, term))[-1])
        worst = max(worst, abs(found - exact) / exact / (3 / 8 * count * U))
    # A bound that were twice as large would let half as sharp a certificate.
    assert 0.5 < worst <= 1
