"""FASTER, SLOWER, SAME, AMBIGUOUS: on samples drawn by known laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.kernels.request import Request
from bench.bench_run import BenchRun, Timing
from bench.cases import Case
from bench.compare import change, compare, compare_table
from bench.environment import Environment

CASE = Case(Request(2, 3, 3, 5, 7, 11, 13))


def timing(seconds, name="a", *, cpu_share=1.0, rounds=None, clock="cpu") -> Timing:
    seconds = tuple(map(float, seconds))
    return Timing(
        implementation=name,
        case=CASE.name,
        threads=1,
        status="timed",
        clock=clock,
        wall_s=seconds,
        cpu_s=tuple(one * cpu_share for one in seconds),
        rounds=tuple(range(len(seconds))) if rounds is None else rounds,
    )


def drawn(generator, median_s: float, name="a") -> Timing:
    """Nine rounds of three samples: rounds differ by 3 %, samples in a round by 2 %."""
    rounds = np.repeat(np.arange(9), 3)
    drift = np.exp(generator.normal(0, 0.03, 9))[rounds]
    return timing(
        median_s * drift * np.exp(generator.normal(0, 0.02, 27)), name, rounds=tuple(rounds)
    )


def test_a_run_against_itself_says_same_in_at_least_95_of_100_rows():
    generator = np.random.default_rng(7)

    verdicts = [change(drawn(generator, 2e-3), drawn(generator, 2e-3)).verdict for _ in range(400)]

    assert verdicts.count("SAME") >= 380
    assert verdicts.count("FASTER") + verdicts.count("SLOWER") <= 4


@pytest.mark.parametrize(("ratio", "verdict"), [(1.15, "SLOWER"), (1 / 1.15, "FASTER")])
def test_a_change_of_15_percent_is_found(ratio, verdict):
    generator = np.random.default_rng(11)

    verdicts = [
        change(drawn(generator, 2e-3), drawn(generator, 2e-3 * ratio)).verdict for _ in range(200)
    ]

    assert verdicts.count(verdict) >= 190


@pytest.mark.parametrize(
    ("before_s", "after_s", "verdict"),
    [
        (1e-3, 1.04e-3, "SAME"),  # 40 µs, but 4 %
        (1e-4, 1.29e-4, "SAME"),  # 29 %, but 29 µs
        (1e-3, 1.06e-3, "SLOWER"),
        (1.06e-3, 1e-3, "FASTER"),
        (1e-4, 1.31e-4, "SLOWER"),
    ],
)
def test_a_change_needs_5_percent_and_30_microseconds(before_s, after_s, verdict):
    assert change(timing([before_s] * 5), timing([after_s] * 5)).verdict == verdict


def test_a_median_that_moved_while_the_undisturbed_quarter_did_not_is_ambiguous():
    # In every round two of three samples took 20 % longer, and one took what it always took.
    rounds = (0, 0, 0, 1, 1, 1, 2, 2, 2)
    before = timing([1.0] * 9, rounds=rounds)
    after = timing([1.0, 1.2, 1.2] * 3, rounds=rounds)

    found = change(before, after)

    assert found.low == pytest.approx(1.2)
    assert found.verdict == "AMBIGUOUS"


def test_rounds_that_contradict_each_other_are_ambiguous():
    before = timing([1.0, 1.0, 2.0, 2.0, 2.0])
    after = timing([1.1, 1.1, 1.1, 2.2, 2.2])

    found = change(before, after)

    assert found.verdict == "AMBIGUOUS"
    assert found.low < 1 < found.high


def test_samples_that_waited_for_a_core_do_not_count():
    quiet = timing([1.0] * 6)
    disturbed = replace(quiet, wall_s=(1.0, 1.0, 1.0, 1.0, 3.0, 3.0))

    found = change(quiet, disturbed)

    assert (found.verdict, found.ratio, found.noisy) == ("SAME", 1.0, False)


def test_a_row_that_mostly_waited_says_so():
    found = change(timing([1.0] * 6), timing([2.0] * 6, cpu_share=0.4))

    assert (found.verdict, found.noisy) == ("AMBIGUOUS", True)


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(1.02, "SAME"), (1.9, "AMBIGUOUS"), (2.1, "SLOWER")]
)
def test_on_a_busy_machine_nothing_below_twice_is_a_change(ratio, verdict):
    assert change(timing([1.0] * 6), timing([ratio] * 6), busy=True).verdict == verdict


def test_the_host_waits_for_a_device_and_that_is_no_noise():
    device = timing([1.0] * 6, cpu_share=0.1, clock="cuda")

    assert not change(device, device).noisy


def run(*timings: Timing, **environment) -> BenchRun:
    quiet = {
        "date_utc": "2026-01-02T03:04:05+00:00",
        "commit": None,
        "dirty": None,
        "cpu_model": "Abacus",
        "cores": 2,
        "memory_bytes": None,
        "os": "Linux",
        "python": "CPython 3.11.7",
        "versions": {},
        "browser": None,
        "thread_variables": {},
        "load_before": (0.0, 0.0, 0.0),
        "load_after": None,
    }
    return BenchRun(
        schema="attnpanel.bench-run/1",
        preset="made",
        environment=Environment(**{**quiet, **environment}),
        cases=(CASE,),
        implementations=tuple(one.implementation for one in timings),
        agreements=(),
        timings=timings,
        limits=(),
        machine={},
        finished=True,
    )


def test_rows_that_only_one_run_timed_are_named_and_not_compared():
    lost = Timing("b", CASE.name, 1, "crashed", ("ended by signal 6",))

    changes, notes = compare(
        run(timing([1.0] * 5), timing([1.0] * 5, "b")),
        run(timing([1.0] * 5), lost, timing([1.0] * 5, "c")),
    )

    assert [one.implementation for one in changes] == ["a"]
    assert notes == [
        f"b: {CASE.name} (threads 1): timed before, crashed after",
        f"c: {CASE.name} (threads 1): absent before, timed after",
    ]


def test_another_machine_and_a_busy_one_are_named():
    _, notes = compare(
        run(timing([1.0] * 5)),
        run(timing([1.0] * 5), cpu_model="Slide rule", load_before=(9.0, 0.0, 0.0)),
    )

    assert notes == [
        "cpu_model differs: Abacus before, Slide rule after",
        "the run after was made on a busy machine",
    ]


def test_another_commit_and_another_gpu_are_named_and_its_clocks_are_not():
    gpu = "name Abacus; driver_version {}; clocks.sm {} MHz"
    before, after = (
        replace(run(timing([1.0] * 5), commit=commit), machine={"gpu 0": gpu.format(driver, clock)})
        for commit, driver, clock in (("a1", 5, 300), ("b2", 6, 900))
    )
    same = replace(before, machine={"gpu 0": gpu.format(5, 1200)})

    assert compare(before, after)[1] == [
        "commit differs: a1 before, b2 after",
        "gpu 0 differs: name Abacus; driver_version 5 before, name Abacus; driver_version 6 after",
    ]
    assert compare(before, same)[1] == []


def test_the_table_counts_its_verdicts():
    table = compare_table(
        run(timing([1.0] * 5), timing([1.0] * 5, "b")),
        run(timing([1.0] * 5), timing([2.0] * 5, "b")),
    )

    assert "0 FASTER, 1 SLOWER, 1 SAME, 0 AMBIGUOUS; the median ratio of all rows is 1.5" in table
    assert table.index("SLOWER") < table.index("SAME")
