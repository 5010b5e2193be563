from __future__ import annotations

from dataclasses import replace

from attnpanel.bench.certify.cases import Case
from attnpanel.bench.plots.families import curves, families, limits_of, missing
from attnpanel.bench.run.records import Limits
from attnpanel.kernels.request import Request
from tests.unit.bench.run.sample_runs import SPEEDS, UNTIMED, request, sample_run, timing


def test_cases_of_a_family_differ_in_length_only_and_are_sorted():
    found = families(sample_run())

    assert [family.name for family in found] == [
        "no mask · B1 H8 D64 · float32 · 1 thread",
        "causal · B1 H8 D64 · float32 · 1 thread",
    ]
    assert [case.request.query_len for case in found[1].cases] == [256, 512, 1024, 2048]


def test_cases_that_differ_in_more_than_length_are_other_families():
    run = sample_run()
    others = [
        Case(request(512, head_dim=32, value_dim=32)),
        Case(request(512, key_len=7)),
        Case(request(512), "peaked"),
        Case(request(512, dtype="float64")),
    ]
    more = tuple(timing("numpy-naive", case) for case in others)
    threads = replace(timing("numpy-naive", run.cases[-1]), threads=2)
    run = replace(run, cases=run.cases + tuple(others), timings=(*run.timings, *more, threads))

    assert len(families(run)) == 2 + len(others) + 1


def test_padded_cases_of_several_lengths_are_one_family():
    run = sample_run()
    padded = [
        Case(request(length, mask="key_padding", pad_lens=(3 * length // 4,)))
        for length in (256, 1024)
    ]
    more = tuple(timing("numpy-naive", case) for case in padded)
    run = replace(run, cases=run.cases + tuple(padded), timings=(*run.timings, *more))

    (family,) = [
        candidate for candidate in families(run) if candidate.name.startswith("key padding")
    ]

    assert [case.request.query_len for case in family.cases] == [256, 1024]


def test_a_curve_has_median_and_quartiles_of_its_samples():
    run = sample_run()
    (naive, *_) = curves(run, families(run)[0])

    # Samples are 0.9, 1 and 1.1 times the power law, which is 0.142 s at T = 1024.
    assert naive.implementation == "numpy-naive"
    assert naive.median_s[2] == 0.142
    assert abs(naive.low_s[2] - 0.95 * 0.142) < 1e-12
    assert abs(naive.high_s[2] - 1.05 * 0.142) < 1e-12


def test_implementations_not_timed_are_listed_with_reasons():
    run = sample_run()

    assert missing(run, families(run)[0]) == (f"{UNTIMED}: no CUDA device here",)
    assert {curve.implementation for curve in curves(run, families(run)[0])} == set(SPEEDS)


def test_limits_are_those_of_the_same_dtype_and_threads():
    run = sample_run()
    family = families(run)[0]

    assert limits_of(run, family) is run.limits[0]
    assert limits_of(run, replace(family, threads=2)) is None
    assert (
        limits_of(replace(run, limits=(Limits("cpu", "float32", 1, (1e-9,), (1e9,)),)), family)
        is None
    )


def test_invalid_times_and_huge_calls_are_ignored():
    run = sample_run()
    huge = Case(Request(1, 1, 1, 2**30, 2**30, 8, 8, mask="causal"))
    many = Case(Request(2**30, 1, 1, 8, 8, 8, 8, mask="causal"))
    wide = Case(Request(1, 1, 1, 8, 8, 2**30, 8))
    one = replace(timing("numpy-naive", run.cases[-1]), cpu_s=(0.0,), rounds=(0,), wall_s=(1e-300,))
    usual = timing("numpy-naive", run.cases[-1])
    timings = (
        one,
        replace(one, wall_s=(1e300,)),
        replace(usual, case=huge.name),
        replace(usual, case=many.name),
        replace(usual, case=wide.name),
    )
    ways = [replace(run, cases=(*run.cases, huge, many, wide), timings=(odd,)) for odd in timings]
    assert [families(way) for way in ways] == [()] * 5
