"""A run that contradicts itself is refused, wherever it comes from."""

from __future__ import annotations

import pytest

from attnpanel.kernels.request import Request
from bench.bench_run import Agreement, BenchRun, Limits, Timing
from bench.cases import Case
from bench.environment import describe

CASE = Case(Request(2, 3, 3, 5, 7, 11, 13))
AGREEMENT = Agreement("a", CASE.name, "pass", "computed", (), ())
FAILED = Agreement("a", CASE.name, "fail", "computed", (), ())
FAKE = Agreement("a", CASE.name, "pass", "fake", (), ())
TIMING = Timing("a", CASE.name, 1, "timed", wall_s=(1.0,), cpu_s=(1.0,), rounds=(0,))


def run(**changes) -> BenchRun:
    content = {
        "schema": "attnpanel.bench-run/1",
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


def test_a_run_of_one_row_is_a_run():
    assert run().timings == (TIMING,)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cases": (CASE, CASE)}, "cases must be there once each"),
        ({"implementations": ("a", "a")}, "implementations must be there once each"),
        ({"agreements": (AGREEMENT, AGREEMENT)}, "agreements must be there once each"),
        ({"timings": (TIMING, TIMING)}, "timings must be there once each"),
        ({"implementations": ("b",)}, "of the run's own implementations and cases; got 'a' on"),
        ({"cases": ()}, "of the run's own implementations and cases"),
        ({"agreements": (FAILED,)}, "what has not passed its certificate has no time"),
        ({"agreements": (FAKE,)}, "what has not passed its certificate has no time"),
    ],
)
def test_a_run_that_contradicts_itself_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        run(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cpu_s": ()}, "must be of one length; got {'wall_s': 1, 'cpu_s': 0, 'rounds': 1}"),
        ({"status": "crashed"}, "samples go with the status timed; got 'crashed' with some"),
        ({"wall_s": (0.0,)}, "wall_s must be above 0"),
        ({"cpu_s": (-1.0,)}, "cpu_s at least 0"),
        ({"calls_per_sample": 0}, "calls_per_sample must be at least 1"),
        ({"peak_bytes": -1}, "peak_bytes at least 0"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(changes, words):
    samples = {"wall_s": (1.0,), "cpu_s": (1.0,), "rounds": (0,), "status": "timed"}

    with pytest.raises(ValueError, match=words):
        Timing(**{"implementation": "a", "case": "b", "threads": 1, **samples, **changes})


@pytest.mark.parametrize("rates", [(), (0.0,), (1.0, -1.0)])
def test_a_limit_is_a_rate_above_nothing(rates):
    with pytest.raises(ValueError, match="gemm_flops_per_s must hold rates above 0"):
        Limits("cpu", "float32", 1, rates, (1.0,))
    with pytest.raises(ValueError, match="copy_bytes_per_s must hold rates above 0"):
        Limits("cpu", "float32", 1, (1.0,), rates)
