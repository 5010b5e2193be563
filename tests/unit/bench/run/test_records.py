"""Inconsistent runs are refused."""

from __future__ import annotations

import json

import pytest

from attnpanel.bench.certify.cases import Case
from attnpanel.bench.measure.environment import ROOT, describe
from attnpanel.bench.run.records import RUN_SCHEMA, Agreement, BenchRun, Limits, Timing
from attnpanel.bench.run.serialization import ResultFileError, read
from attnpanel.kernels.request import Request

OLD = ROOT / "bench/results/run-2026-11-22-before.json"

CASE = Case(Request(2, 3, 3, 5, 7, 11, 13))
AGREEMENT = Agreement("a", CASE.name, "pass", "computed", (), ())
FAILED = Agreement("a", CASE.name, "fail", "computed", (), ())
FAKE = Agreement("a", CASE.name, "pass", "fake", (), ())
TIMING = Timing("a", CASE.name, 1, "timed", wall_s=(1.0,), cpu_s=(1.0,), rounds=(0,))


def run(**changes) -> BenchRun:
    content = {
        "schema": RUN_SCHEMA,
        "preset": "made",
        "environment": describe(),
        "cases": (CASE,),
        "implementations": ("a",),
        "agreements": (AGREEMENT,),
        "timings": (TIMING,),
        "limits": (),
        "machine": {},
        "finished": True,
    }
    return BenchRun(**{**content, **changes})


def test_a_run_of_the_first_schema_is_read_with_empty_columns():
    found = read(OLD, BenchRun)

    timed = [timing for timing in found.timings if timing.status == "timed"]
    assert found.schema == RUN_SCHEMA
    assert len(timed) == 48
    assert {(timing.waited_s, timing.yardstick_s) for timing in timed} == {((), ())}


@pytest.mark.parametrize("timings", [None, 7, [7], [[]]])
def test_a_damaged_run_of_the_first_schema_is_one_error(tmp_path, timings):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**json.loads(OLD.read_text()), "timings": timings}))

    with pytest.raises(ResultFileError, match=r"is not a result of the bench: run\.timings"):
        read(path, BenchRun)


def test_a_run_of_one_row_is_valid():
    assert run().timings == (TIMING,)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cases": (CASE, CASE)}, "cases must be unique"),
        ({"implementations": ("a", "a")}, "implementations must be unique"),
        ({"agreements": (AGREEMENT, AGREEMENT)}, "agreements must be unique"),
        ({"timings": (TIMING, TIMING)}, "timings must be unique"),
        ({"implementations": ("b",)}, "of the run's own implementations and cases; got 'a' on"),
        ({"cases": ()}, "of the run's own implementations and cases"),
        ({"agreements": (FAILED,)}, "not passed its certificate must have no samples"),
        ({"agreements": (FAKE,)}, "not passed its certificate must have no samples"),
    ],
)
def test_an_inconsistent_run_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        run(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cpu_s": ()}, "must have the same length; got {'wall_s': 1, 'cpu_s': 0, 'rounds': 1}"),
        ({"status": "crashed"}, "samples need the status timed; got 'crashed' with some"),
        ({"wall_s": (0.0,)}, "wall_s must be above 0 and finite, .* got at least 0 and 1"),
        ({"wall_s": (float("nan"),)}, "wall_s must be above 0 and finite"),
        ({"page_faults": (0.0, 0.0)}, "page_faults must be empty or as long as wall_s"),
        ({"processes": (0, 1)}, "processes must be empty or as long as wall_s"),
        ({"cpu_s": (-1.0,)}, "cpu_s at least 0"),
        ({"calls_per_sample": 0}, "threads and calls_per_sample must be at least 1"),
        ({"threads": 0}, "threads and calls_per_sample must be at least 1"),
        ({"peak_bytes": -1}, "peak_bytes at least 0"),
        ({"waited_s": (0.0, 0.0)}, "waited_s must be empty or as long as wall_s; got 2 and 1"),
        ({"yardstick_s": (1.0, 1.0)}, "yardstick_s must be empty or as long as wall_s"),
        ({"waited_s": (-1.0,)}, "waited_s must be at least 0"),
        ({"yardstick_s": (0.0,)}, "yardstick_s above 0"),
    ],
)
def test_an_inconsistent_row_is_refused(changes, words):
    samples = {"wall_s": (1.0,), "cpu_s": (1.0,), "rounds": (0,), "status": "timed"}

    with pytest.raises(ValueError, match=words):
        Timing(**{"implementation": "a", "case": "b", "threads": 1, **samples, **changes})


@pytest.mark.parametrize(
    ("waited_s", "cpu_s", "own_s"),
    [
        ((), 4.0, 8.0),  # an old file
        ((3.0,), 4.0, 5.0),
        ((7.0,), 4.0, 2.0),  # two threads computed 4 s, so one of them 2 s at least
        ((9.0,), 0.0, 0.08),
        ((0.0,), 99.0, 8.0),
    ],
)
def test_own_seconds_exclude_time_spent_runnable_but_not_scheduled(waited_s, cpu_s, own_s):
    row = Timing(
        "a", "b", 2, "timed", wall_s=(8.0,), cpu_s=(cpu_s,), rounds=(0,), waited_s=waited_s
    )

    assert row.own_s == pytest.approx((own_s,))


@pytest.mark.parametrize("rates", [(), (0.0,), (1.0, -1.0)])
def test_limits_must_be_positive_rates(rates):
    with pytest.raises(ValueError, match="gemm_flops_per_s must hold rates above 0"):
        Limits("cpu", "float32", 1, rates, (1.0,))
    with pytest.raises(ValueError, match="copy_bytes_per_s must hold rates above 0"):
        Limits("cpu", "float32", 1, (1.0,), rates)
