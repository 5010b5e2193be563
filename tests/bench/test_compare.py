"""FASTER, SLOWER, SAME, AMBIGUOUS: on samples drawn by known laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.kernels.request import Request
from bench.bench_run import RUN_SCHEMA, BenchRun, Timing
from bench.cases import Case
from bench.compare import PROCESS_SPREAD, change, compare, compare_table, memory_drift
from bench.environment import Environment

CASE = Case(Request(2, 3, 3, 5, 7, 11, 13))


def timing(seconds, name="a", *, rounds=None, waited=None, yardstick=None, copying=()) -> Timing:
    seconds = tuple(map(float, seconds))
    waited = (0.0,) * len(seconds) if waited is None else tuple(map(float, waited))
    return Timing(
        implementation=name,
        case=CASE.name,
        threads=1,
        status="timed",
        wall_s=seconds,
        cpu_s=tuple(max(0.0, taken - idle) for taken, idle in zip(seconds, waited, strict=True)),
        rounds=tuple(range(len(seconds))) if rounds is None else rounds,
        waited_s=waited,
        yardstick_s=(1.0,) * len(seconds) if yardstick is None else tuple(map(float, yardstick)),
        copy_yardstick_s=tuple(map(float, copying)),
    )


def drawn(generator, median_s: float, *, noise=0.03, drift=0.0, waiting=0.0) -> Timing:
    """Fourteen rounds of one sample, as a machine with neighbours would take them.

    The machine's speed walks by `drift` a round, from where it happens to be, and the yardstick
    with it; `noise` is the sample's own. Now and then a sample waits up to `waiting` times as
    long as it takes.
    """
    speed = np.exp(generator.normal(0, 5 * drift) + generator.normal(0, drift, 14).cumsum())
    own = median_s * speed * np.exp(generator.normal(0, noise, 14))
    waited = own * waiting * generator.random(14) * (generator.random(14) < 0.5)
    return timing(own + waited, waited=waited, yardstick=3e-3 * speed)


NOISES = [
    {},
    {"noise": 0.1},
    {"noise": 0.05, "drift": 0.05},
    {"noise": 0.05, "drift": 0.05, "waiting": 3.0},
]


@pytest.mark.parametrize("law", NOISES)
def test_a_run_against_itself_says_same_in_at_least_95_of_100_rows(law):
    generator = np.random.default_rng(7)

    changes = [
        change(drawn(generator, 2e-3, **law), drawn(generator, 2e-3, **law)) for _ in range(400)
    ]
    verdicts = [one.verdict for one in changes]

    assert verdicts.count("SAME") >= 380
    # 99 of 100 by construction, so 4 of 400; 12 are four standard deviations away.
    assert verdicts.count("FASTER") + verdicts.count("SLOWER") <= 12
    assert max(one.resolution for one in changes if one.verdict == "SAME") <= 0.25


@pytest.mark.parametrize(("ratio", "verdict"), [(1.1, "SLOWER"), (1 / 1.1, "FASTER")])
def test_a_change_of_10_percent_is_found_where_samples_differ_by_3(ratio, verdict):
    generator = np.random.default_rng(11)

    verdicts = [
        change(drawn(generator, 2e-3), drawn(generator, 2e-3 * ratio)).verdict for _ in range(200)
    ]

    assert verdicts.count(verdict) >= 190


def test_a_change_of_half_is_found_on_a_machine_that_drifts_and_is_shared():
    generator = np.random.default_rng(13)

    changes = [
        change(drawn(generator, 2e-3, **NOISES[-1]), drawn(generator, 3e-3, **NOISES[-1]))
        for _ in range(200)
    ]

    assert [one.verdict for one in changes].count("SLOWER") >= 190
    assert np.median([one.ratio for one in changes]) == pytest.approx(1.5, rel=0.02)


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


def test_the_resolution_is_that_of_yuens_interval():
    # Five rounds, one trimmed at either end: three stay, and drawn in they are 0 0 1 2 2 (in
    # tenths), of variance 1. So the mean's variance is 4 * 1 / (3 * 2) for each of two equal runs.
    # With that of two processes, 2 * 0.12**2, it is 1.3621, with 1.3621**2 / (4 / 9) = 4.2
    # degrees of freedom: 4.604 * sqrt(1.3621) = 5.373 tenths.
    rounds = timing(np.exp(np.array([-5.0, 0.0, 1.0, 2.0, 9.0]) * 0.1))

    found = change(rounds, rounds)

    assert found.resolution == pytest.approx(np.expm1(0.5373), rel=1e-3)
    assert found.verdict == "AMBIGUOUS"


def test_rounds_that_can_not_tell_a_quarter_from_nothing_are_ambiguous_whatever_moved():
    before = timing([1.0, 1.5, 2.0, 2.5, 3.0])

    found = change(before, timing([5.0, 7.5, 10.0, 12.5, 15.0]))

    assert found.ratio == pytest.approx(5)
    assert found.resolution > 0.25
    assert found.verdict == "AMBIGUOUS"


def test_one_round_says_nothing():
    rounds = (0, 0, 0)

    found = change(timing([1.0] * 3, rounds=rounds), timing([3.0] * 3, rounds=rounds))

    assert found.verdict == "AMBIGUOUS"


def test_samples_of_one_round_are_one():
    # 25 samples in each of two rounds would pretend to know what two numbers can't.
    rounds = (0,) * 25 + (1,) * 25
    before, after = (
        timing([first] * 25 + [second] * 25, rounds=rounds)
        for first, second in ((1.0, 1.3), (1.2, 1.5))
    )

    assert change(before, after).verdict == "AMBIGUOUS"


def test_what_was_waited_for_a_core_does_not_count():
    quiet = timing([1.0] * 6)
    disturbed = timing([1.0, 1.5, 3.0, 4.0, 2.0, 9.0], waited=[0.0, 0.5, 2.0, 3.0, 1.0, 8.0])

    found = change(quiet, disturbed)

    assert (found.verdict, found.ratio, found.after_s) == ("SAME", 1.0, 1.0)


def test_processes_that_wait_at_the_same_time_do_not_hide_what_was_computed():
    twice = replace(timing([2.0] * 6, waited=[2.5] * 6), cpu_s=(1.0,) * 6)

    assert change(timing([1.0] * 6), twice).verdict == "SAME"


def test_a_machine_that_is_slower_as_a_whole_made_nothing_slower():
    # Both the sample and the yardstick take 1.7 times as long.
    found = change(timing([1.0] * 6), timing([1.7] * 6, yardstick=[1.7] * 6))

    assert (found.verdict, found.ratio, found.after_s) == ("SAME", pytest.approx(1.0), 1.7)


def test_where_memory_became_slower_than_the_cores_a_row_may_move_by_as_much():
    # Its copies took 1.1 times as long, its products the same: some rows follow the one, some the
    # other, and what moved by 8 % may be either.
    def runs(seconds, copy_s):
        return run(*(timing([one] * 12, name, copying=[copy_s] * 12) for name, one in seconds))

    before = runs([("a", 1.0), ("b", 1.0)], 2.0)
    after = runs([("a", 1.09), ("b", 1.25)], 2.2)
    first, second = compare(before, after)[0]

    assert memory_drift(before.timings, after.timings) == pytest.approx(np.log(1.1))
    assert memory_drift(after.timings, before.timings) == pytest.approx(-np.log(1.1))
    assert (first.verdict, second.verdict) == ("SAME", "SLOWER")
    # Rounds that agree to the last digit are still those of two processes.
    assert first.resolution == pytest.approx(1.1 * np.exp(2.750 * np.sqrt(2) * PROCESS_SPREAD) - 1)
    assert any("memory took 1.10 times as long" in note for note in compare(before, after)[1])
    # A machine that is slower as a whole has not drifted.
    slower = run(*(timing([2.0] * 12, yardstick=[2.0] * 12, copying=[4.0] * 12) for _ in "a"))
    assert memory_drift(before.timings, slower.timings) == 0
    assert memory_drift(before.timings, [timing([1.0] * 6)]) == 0
    # A file whose copies have no other work beside them says nothing either.
    lacking = [replace(one, yardstick_s=()) for one in after.timings]
    assert memory_drift(before.timings, lacking) == 0


def test_an_old_file_is_compared_by_its_seconds_alone():
    old = replace(timing([1.0] * 6), waited_s=(), yardstick_s=())

    assert change(old, timing([1.0] * 6, yardstick=[9.0] * 6)).verdict == "SAME"
    assert change(old, timing([2.0] * 6)).verdict == "SLOWER"


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
        schema=RUN_SCHEMA,
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
    (same,) = (line for line in table.splitlines() if "SAME |" in line)
    assert [cell.strip() for cell in same.split("|")][-3:-1] == ["1.000", "5%"]
