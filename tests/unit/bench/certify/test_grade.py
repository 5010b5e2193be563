"""What does not compute attention to rounding is graded, and never passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench.certify.cases import Case, make_inputs
from attnpanel.bench.certify.certificate import certify
from attnpanel.bench.certify.grade import describe_grade, grade_of
from attnpanel.bench.run.timed_results import freeze_rows, judge_rows
from attnpanel.kernels import find_implementation
from attnpanel.kernels.implementation import RawResult
from attnpanel.kernels.request import Request
from tests.unit.bench.run.fake_kernels import correct, make_kernel

CASE = Case(Request(2, 3, 3, 5, 7, 11, 13, mask="key_padding", pad_lens=(3, 7)))


def graded(result):
    return make_kernel("near", result=result, empty_rows="zero", graded="it is half as large")


def halved(inputs):
    return RawResult(correct(inputs).output / 2)


def test_grades_are_those_worked_out_by_hand():
    # Errors (1, -1), of magnitudes 3 + 4; cos = (4·3 + 3·4) / (5·5).
    grade = grade_of(np.array([4.0, 3.0]), np.array([3.0, 4.0]))

    np.testing.assert_allclose(
        [grade.cosine, grade.relative_l1, grade.rmse], [24 / 25, 2 / 7, 1.0], rtol=1e-15
    )


@pytest.mark.parametrize(("actual", "cosine", "relative_l1"), [(0.0, 1.0, 0.0), (1.0, 0.0, None)])
def test_a_reference_of_zeros_has_finite_grades(actual, cosine, relative_l1):
    grade = grade_of(np.full(3, actual), np.zeros(3))

    assert grade.cosine == cosine
    assert grade.relative_l1 == (np.finfo(float).max if relative_l1 is None else relative_l1)


def test_half_an_output_is_graded_and_does_not_pass():
    found = certify(graded(halved), CASE)

    assert found.verdict == "graded"
    assert found.grade.cosine == pytest.approx(1)
    assert found.grade.relative_l1 == pytest.approx(0.5)
    assert found.max_ratio > 1e5
    assert found.reasons[0] == "not attention to rounding: it is half as large"
    assert "relative L1 0.5" in describe_grade(found) == found.reasons[1]
    assert certify(replace(graded(halved), graded=""), CASE).verdict == "fail"


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        # Hidden keys are seen.
        (lambda inputs: halved(replace(inputs, mask=None)), "masked keys"),
        (lambda inputs: RawResult(correct(inputs).output * np.float32(np.inf)), "must be finite"),
        (lambda inputs: RawResult(correct(inputs).output[:1]), "shape"),
    ],
)
def test_what_breaks_a_rule_fails_also_if_it_is_graded(result, reason):
    found = certify(graded(result), CASE)

    assert (found.verdict, found.grade) == ("fail", None)
    assert reason in found.reasons[0]


def test_a_graded_result_that_is_timed_is_compared_with_one_that_is_not():
    near = graded(halved)
    inputs, rng = make_inputs(CASE), np.random.default_rng(0)
    for output, right in ((halved(inputs).output, True), (correct(inputs).output, False)):
        frozen = freeze_rows(near, CASE.request, RawResult(output), 0, rng)
        assert (judge_rows(near, CASE, inputs, frozen) == "") is right


def test_eight_bits_are_near_attention():
    found = certify(find_implementation("numpy-int8-scores"), CASE)

    assert found.verdict == "graded"
    # A score errs by some percent: half a step, of 127 up to the largest, of each of 11 products.
    assert found.grade.cosine > 0.999
    assert found.grade.relative_l1 < 0.03
