"""Gradients are timed after the forward pass or with it, and what is timed is what is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench.certify import direction
from attnpanel.bench.certify.cases import Case
from attnpanel.bench.certify.direction import MAX_GROUP_SCORES, certify_direction
from attnpanel.bench.certify.gradients_certificate import certify_gradients
from attnpanel.bench.measure.clocks import CpuClock
from attnpanel.bench.measure.flop_count import flops, minimal_bytes
from attnpanel.bench.run.presets import in_directions, load_preset, make_plan
from attnpanel.bench.run.timed_results import RefusedError
from attnpanel.bench.run.warm_case import WarmCase
from attnpanel.kernels.implementation import Backward, GradientCall, RawGradients, RawResult
from attnpanel.kernels.request import Request
from tests.unit.bench.run.fake_kernels import make_kernel

REQUEST = Request(1, 2, 1, 48, 64, 16, 16)
DIRECTIONS = ("forward", "backward", "both")
CASES = dict(zip(DIRECTIONS, in_directions(Case(REQUEST), DIRECTIONS), strict=True))


def passes(inputs, given):
    """Return the weights and a function from them to the gradients, both by formula."""
    query, key, value, given = (
        np.asarray(x, np.float64) for x in (inputs.query, inputs.key, inputs.value, given)
    )
    scale = query.shape[-1] ** -0.5
    weights = np.exp(scale * query @ key.swapaxes(-1, -2))
    weights /= weights.sum(-1, keepdims=True)
    of_weights = given @ value.swapaxes(-1, -2)
    of_scores = weights * (of_weights - (weights * of_weights).sum(-1, keepdims=True)) * scale
    found = (
        of_scores @ key,
        (of_scores.swapaxes(-1, -2) @ query).sum(1, keepdims=True),
        (weights.swapaxes(-1, -2) @ given).sum(1, keepdims=True),
    )
    return RawResult((weights @ value).astype(np.float32)), [x.astype(np.float32) for x in found]


def kernel(make):
    """Return an implementation; `make` takes inputs and gradient, and returns a forward pass."""

    def prepare(inputs, _request, given, *, threads=1):
        return GradientCall(make(inputs, given))

    return make_kernel(
        "gradients", empty_rows="zero", gradients=Backward("the tests", lambda _: [], prepare)
    )


def honest(inputs, given):
    return lambda: (
        passes(inputs, given)[0],
        lambda: RawGradients(*passes(inputs, given)[1]),
    )


def forward_computes_all(inputs, given):
    def forward():
        raw, found = passes(inputs, given)
        return raw, lambda: RawGradients(*(x.copy() for x in found))

    return forward


def forward_computes_all_and_forgets(inputs, given):
    kept, shape = given.tobytes(), given.shape

    def forward():
        raw, found = passes(inputs, np.frombuffer(kept, np.float32).reshape(shape))
        return raw, lambda: RawGradients(*found)

    return forward


def keeps_gradients(inputs, given):
    kept = []

    def backward():
        if not kept:
            kept.extend(passes(inputs, given)[1])
        return RawGradients(*(x.copy() for x in kept))

    return lambda: (passes(inputs, given)[0], backward)


def key_gradient_too_large(inputs, given):
    def backward():
        query, key, value = passes(inputs, given)[1]
        return RawGradients(query, 1.001 * key, value)

    return lambda: (passes(inputs, given)[0], backward)


def swaps_key_and_value(inputs, given):
    def backward():
        query, key, value = passes(inputs, given)[1]
        return RawGradients(query, value, key)

    return lambda: (passes(inputs, given)[0], backward)


def no_gradients(inputs, given):
    return lambda: (None, lambda: passes(inputs, given)[1])


def time_it(implementation, direction, *, visits=3):
    warm = WarmCase(implementation, CASES[direction], CpuClock(), 1, check_process=lambda: None)
    warm.warm(0.01)
    found = [warm.visit(1, None) for _ in range(visits)]
    warm.memory()
    return found


@pytest.mark.parametrize("direction", ["backward", "both"])
def test_gradients_are_timed_and_judged(direction):
    visits = time_it(kernel(honest), direction)

    assert visits[0].judged >= 1
    assert all(visit.wall_s[0] > 0 for visit in visits)


@pytest.mark.parametrize(
    ("direction", "make", "reason"),
    [
        ("backward", forward_computes_all, "from the output's gradient as it is then"),
        ("both", keeps_gradients, "second call must compute from its inputs as they are then"),
        ("backward", keeps_gradients, "second call must compute from its inputs as they are then"),
        ("both", key_gradient_too_large, "d key: "),
        ("backward", key_gradient_too_large, "d key: "),
        ("backward", swaps_key_and_value, "d key: "),
        ("both", no_gradients, "a backward pass must return RawGradients; got list"),
    ],
)
def test_what_is_not_the_gradient_of_these_inputs_is_refused(direction, make, reason):
    with pytest.raises(RefusedError, match=reason):
        time_it(kernel(make), direction)


def test_a_forward_pass_that_computes_the_gradients_is_refused_if_it_copies_its_input():
    large = Case(replace(REQUEST, query_len=256, key_len=256, direction="backward"))
    warm = WarmCase(
        kernel(forward_computes_all_and_forgets), large, CpuClock(), 1, check_process=lambda: None
    )

    with pytest.raises(RefusedError, match="a forward pass must not compute the gradients"):
        warm._pass.check_backward()


def test_two_directions_of_a_case_have_one_certificate(monkeypatch):
    certified = []
    monkeypatch.setattr(
        direction,
        "certify_gradients",
        lambda implementation, case: (
            certified.append(case.name) or certify_gradients(implementation, case)
        ),
    )
    implementation = kernel(honest)

    found = [certify_direction(implementation, CASES[d], threads=1) for d in ("backward", "both")]

    assert [agreement.verdict for agreement in found] == ["pass", "pass"]
    assert [agreement.case for agreement in found] == [CASES["backward"].name, CASES["both"].name]
    assert certified == [Case(REQUEST).name]


def test_certificate_of_a_timed_gradient_is_that_of_its_case():
    right = certify_direction(kernel(honest), CASES["backward"], threads=1)
    wrong = certify_direction(kernel(key_gradient_too_large), CASES["both"], threads=1)

    assert (right.verdict, right.case) == ("pass", CASES["backward"].name)
    assert 0 < right.max_ratio < 8
    assert (wrong.verdict, wrong.basis) == ("fail", "computed")
    assert wrong.reasons[0].startswith("d key")


@pytest.mark.parametrize(
    ("implementation", "request_", "reason"),
    [
        (make_kernel("forward-only"), REQUEST, "it declares no gradients"),
        (replace(kernel(honest), graded="by half"), REQUEST, "what is graded are not judged"),
        (
            kernel(honest),
            replace(REQUEST, query_len=2**12, key_len=2**12),
            f"up to {MAX_GROUP_SCORES} scores a key head; got {2**25}",
        ),
    ],
)
def test_gradients_that_are_not_judged_are_not_supported(implementation, request_, reason):
    case = Case(replace(request_, direction="both"))
    found = certify_direction(implementation, case, threads=1)

    assert found.verdict == "unsupported"
    assert reason in found.reasons[0]


def test_operations_and_bytes_are_those_of_each_direction():
    # Of two products forward, four backward; the weights may have been kept.
    forward, backward, both = (CASES[direction].request for direction in DIRECTIONS)
    assert (flops(backward), flops(both)) == (2 * flops(forward), 3 * flops(forward))
    queries, keys = 2 * 48 * 16, 64 * 16
    # q, k, v, dO in, dQ, dK, dV out; with the output if both.
    assert minimal_bytes(backward) == 4 * (3 * queries + 4 * keys)
    assert minimal_bytes(both) == 4 * (4 * queries + 4 * keys)


def test_a_plan_times_every_direction_only_if_gradients_are_asked_for():
    sizes = {"query_lens": (64,), "masks": ("none",), "device": "cpu"}
    without = make_plan(load_preset("quick"), "quick", **sizes)
    with_them = make_plan(load_preset("quick"), "quick", gradients=True, **sizes)

    assert [case.request.direction for case in without.timed] == ["forward"]
    assert [case.request.direction for case in with_them.timed] == list(DIRECTIONS)
    assert [case.name.split()[-1] for case in with_them.timed] == [
        "randn",
        "backward",
        "forward+backward",
    ]
