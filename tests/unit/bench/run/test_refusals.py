"""Times below the machine's limit are refused, beyond what measuring errors explain."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from attnpanel.bench.certify.cases import Case
from attnpanel.bench.run.records import Limits, MemoryRate, Timing
from attnpanel.bench.run.refusals import refuse_impossible_times, tolerance_of
from attnpanel.kernels.request import Request

# 200 operations and 160 bytes.
CASE = Case(Request(1, 1, 1, 5, 5, 2, 2))


def limits(*products, moves=1e9):
    rates = products or (99.0, 99.5, 100.0)
    return Limits("cpu", "float32", 1, rates, (moves,), steps=(MemoryRate(1, moves, None),))


def row(*seconds):
    rounds = tuple(range(len(seconds)))
    return Timing("a", CASE.name, 1, "timed", wall_s=seconds, cpu_s=seconds, rounds=rounds)


def refused(timing, found):
    record = SimpleNamespace(limits={("cpu", "float32"): found}, timings={("a", CASE.name): timing})
    refuse_impossible_times(record, SimpleNamespace(timed=(CASE,), implementations=("a",)))
    return record.timings["a", CASE.name]


@pytest.mark.parametrize(
    ("seconds", "status"), [(2.1, "timed"), (2.0, "timed"), (1.93, "timed"), (1.8, "refused")]
)
def test_a_time_below_the_limit_of_products_is_refused(seconds, status):
    assert refused(row(*[seconds] * 9), limits()).status == status


def test_a_refused_row_has_its_reason_and_no_samples():
    found = refused(row(*[0.01] * 9), limits())

    assert found.wall_s == ()
    assert found.reasons[0].startswith(
        "a time must be within 106% of the machine's limit; got 20000%: 10 ms, in which this "
        "machine can neither do 200 operations nor move 160 bytes"
    )


def test_a_time_below_the_limit_of_moving_the_inputs_is_refused():
    assert refused(row(*[3.0] * 9), limits(moves=10.0)).status == "refused"


def test_the_tolerance_is_the_error_of_both_medians():
    # Quartiles 0.9 and 1.1 of nine samples: 0.2 / 2 / 3. The third fastest product is 5 % slower;
    # slow ones, of a disturbed moment, count for nothing.
    samples = row(0.9, 0.9, 0.9, 1.0, 1.0, 1.0, 1.1, 1.1, 1.1)

    assert tolerance_of(limits(20.0, 30.0, 100.0, 102.0, 105.0), samples) == pytest.approx(
        0.05 + 0.1 / 3 + 0.05
    )
