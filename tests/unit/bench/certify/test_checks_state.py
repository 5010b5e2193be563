"""State: later calls, inputs changed in place, and layouts."""

import pytest

from attnpanel.bench import certify
from attnpanel.bench.certify.cases import Case
from attnpanel.kernels import IMPLEMENTATIONS
from attnpanel.kernels.request import Request
from tests.unit.bench.certify.planted_defects import BASE, STATE, planted

SMALL = Case(Request(2, 3, 3, 5, 7, 11, 11))
LONG = Case(Request(1, 1, 1, 512, 2048, 64, 64))
CHECKS = {"strided inputs", "changed inputs", "repeated calls"}


def failed(agreement):
    return {check.name for check in agreement.checks if check.verdict != "pass"}


@pytest.mark.thorough(but=7)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, ids=lambda one: one.name)
def test_every_implementation_that_runs_here_keeps_its_declarations(implementation):
    if (
        implementation.compiles
        or implementation.graded
        or implementation.unsupported(SMALL.request)
    ):
        pytest.skip("compiles, is graded, or does not run here")

    made = {check.name: check.verdict for check in certify(implementation, SMALL).checks}

    claims = implementation.strided or implementation.adjacent_strided
    expected = CHECKS if claims else CHECKS - {"strided inputs"}
    assert {name: made[name] for name in CHECKS & made.keys()} == dict.fromkeys(expected, "pass")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wrong from call 50 on", {"repeated calls", "determinism"}),
        ("results kept by address", {"changed inputs"}),
        ("the first result of a preparation", {"changed inputs"}),
        ("strides ignored", {"strided inputs"}),
    ],
)
def test_each_kind_of_memory_fails_its_check(name, expected):
    assert failed(certify(STATE[name][0], SMALL)) >= expected


def test_a_copy_of_the_inputs_is_allowed_where_reading_in_place_is_not_declared():
    def copying(inputs, _request, base):
        return base(**{name: getattr(inputs, name).copy() for name in ("query", "key", "value")})

    assert failed(certify(planted(copying), SMALL)) == {"changed inputs"}
    assert failed(certify(planted(copying, reads_in_place=frozenset()), SMALL)) == set()


def test_a_long_case_is_called_less_often():
    count = [0]

    def counting(_, __, base):
        call = base()

        def run():
            count[0] += 1
            return call()

        return run

    certify(planted(counting), LONG)

    assert count[0] < 40
    assert BASE.strided
