"""FASTER, SLOWER, SAME, AMBIGUOUS: on samples drawn from known distributions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench.certify.cases import Case
from attnpanel.bench.measure.environment import Environment
from attnpanel.bench.run.compare import (
    PROCESS_SPREAD,
    change,
    compare,
    compare_table,
    memory_drift,
    regressions,
)
from attnpanel.bench.run.records import RUN_SCHEMA, Agreement, BenchRun, Timing
from attnpanel.kernels.request import Request

CASE = Case(Request(2, 3, 3, 5, 7, 11, 13))


def timing(
    seconds, name="a", *, rounds=None, waited=None, yardstick=None, copying=(), **more
) -> Timing:
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
        **more,
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


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize("law", NOISES)
def test_a_run_against_itself_says_same_in_at_least_95_of_100_rows(law):
    generator = np.random.default_rng(7)

    changes = [
        change(drawn(generator, 2e-3, **law), drawn(generator, 2e-3, **law)) for _ in range(400)
    ]
    verdicts = [change.verdict for change in changes]

    assert verdicts.count("SAME") >= 380
    # 99 of 100 by construction, so 4 of 400; 12 are four standard deviations away.
    assert verdicts.count("FASTER") + verdicts.count("SLOWER") <= 12
    assert max(change.resolution for change in changes if change.verdict == "SAME") <= 0.25


@pytest.mark.parametrize(("ratio", "verdict"), [(1.1, "SLOWER"), (1 / 1.1, "FASTER")])
def test_a_change_of_10_percent_is_found_where_samples_differ_by_3(ratio, verdict):
    generator = np.random.default_rng(11)

    verdicts = [
        change(drawn(generator, 2e-3), drawn(generator, 2e-3 * ratio)).verdict for _ in range(200)
    ]

    assert verdicts.count(verdict) >= 190


def test_a_change_of_50_percent_is_found_on_a_drifting_shared_machine():
    generator = np.random.default_rng(13)

    changes = [
        change(drawn(generator, 2e-3, **NOISES[-1]), drawn(generator, 3e-3, **NOISES[-1]))
        for _ in range(200)
    ]

    assert [change.verdict for change in changes].count("SLOWER") >= 190
    assert np.median([change.ratio for change in changes]) == pytest.approx(1.5, rel=0.02)


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


def test_a_resolution_above_25_percent_is_ambiguous():
    before = timing([1.0, 1.5, 2.0, 2.5, 3.0])

    found = change(before, timing([5.0, 7.5, 10.0, 12.5, 15.0]))

    assert found.ratio == pytest.approx(5)
    assert found.resolution > 0.25
    assert found.verdict == "AMBIGUOUS"


def test_one_round_is_ambiguous():
    rounds = (0, 0, 0)

    found = change(timing([1.0] * 3, rounds=rounds), timing([3.0] * 3, rounds=rounds))

    assert found.verdict == "AMBIGUOUS"


def test_samples_of_a_round_count_once():
    # 25 samples in each of two rounds would pretend to know what two numbers can't.
    rounds = (0,) * 25 + (1,) * 25
    before, after = (
        timing([first] * 25 + [second] * 25, rounds=rounds)
        for first, second in ((1.0, 1.3), (1.2, 1.5))
    )

    assert change(before, after).verdict == "AMBIGUOUS"


def test_run_queue_time_is_excluded():
    quiet = timing([1.0] * 6)
    disturbed = timing([1.0, 1.5, 3.0, 4.0, 2.0, 9.0], waited=[0.0, 0.5, 2.0, 3.0, 1.0, 8.0])

    found = change(quiet, disturbed)

    assert (found.verdict, found.ratio, found.after_s) == ("SAME", 1.0, 1.0)


def test_simultaneous_waits_do_not_hide_the_computing_time():
    twice = replace(timing([2.0] * 6, waited=[2.5] * 6), cpu_s=(1.0,) * 6)

    assert change(timing([1.0] * 6), twice).verdict == "SAME"


def test_a_slower_machine_does_not_make_rows_slower():
    # Both the sample and the yardstick take 1.7 times as long.
    found = change(timing([1.0] * 6), timing([1.7] * 6, yardstick=[1.7] * 6))

    assert (found.verdict, found.ratio, found.after_s) == ("SAME", pytest.approx(1.0), 1.7)


def test_drift_of_memory_speed_widens_the_resolution():
    # Its copies took 1.1 times as long, its products the same: some rows follow the one, some the
    # other, and what moved by 8 % may be either.
    def runs(seconds, copy_s):
        return run(*(timing([value] * 12, name, copying=[copy_s] * 12) for name, value in seconds))

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
    lacking = [replace(timing, yardstick_s=()) for timing in after.timings]
    assert memory_drift(before.timings, lacking) == 0


def test_old_files_are_compared_by_seconds_only():
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
        implementations=tuple(timing.implementation for timing in timings),
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

    assert [change.implementation for change in changes] == ["a"]
    assert notes == [
        f"b: {CASE.name} (threads 1): timed before, crashed after",
        f"c: {CASE.name} (threads 1): absent before, timed after",
    ]


def test_a_different_or_busy_machine_is_reported():
    _, notes = compare(
        run(timing([1.0] * 5)),
        run(timing([1.0] * 5), cpu_model="Slide rule", load_before=(9.0, 0.0, 0.0)),
    )

    assert notes == [
        "cpu_model differs: Abacus before, Slide rule after",
        "the run after was made on a busy machine",
    ]


def test_a_different_commit_or_gpu_is_reported_but_not_its_clocks():
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


@pytest.mark.parametrize(("clock", "verdict"), [("cpu", "SAME"), ("cuda", "SLOWER")])
def test_the_least_difference_is_that_of_the_clock(clock, verdict):
    before, after = (timing([value] * 6, clock=clock) for value in (12e-6, 36e-6))

    assert change(before, after).verdict == verdict


def in_processes(generator, *, between: float, processes: int = 3, factor: float = 1.0) -> Timing:
    """Rounds of several processes, each with a speed of its own."""
    speeds = np.exp(generator.normal(0, between, processes)).repeat(5)
    seconds = factor * 2e-3 * speeds * np.exp(generator.normal(0, 0.02, speeds.size))
    return timing(seconds, processes=tuple(np.arange(processes).repeat(5).tolist()))


@pytest.mark.thorough
def test_processes_that_differ_coarsen_the_resolution():
    generator = np.random.default_rng(3)

    def verdicts(between, factor=1.0):
        return [
            change(
                in_processes(generator, between=between),
                in_processes(generator, between=between, factor=factor),
            ).verdict
            for _ in range(200)
        ]

    # The 99 % bound: 2 of 200, and four standard deviations more.
    for between in (0.0, 0.012, 0.04):
        wrong = 200 - verdicts(between).count("SAME") - verdicts(between).count("AMBIGUOUS")
        assert wrong <= 8
    # 10 % are found where processes differ as usual.
    assert verdicts(0.012, 1.1).count("SLOWER") >= 180


def test_a_row_of_two_speeds_is_not_called_slower():
    # 12 ms in two processes and 26 ms in the third: one of each says nothing about the code.
    one, other = (
        timing([a] * 4 + [b] * 4 + [c] * 4, processes=(0,) * 4 + (1,) * 4 + (2,) * 4)
        for a, b, c in ((0.012, 0.012, 0.026), (0.026, 0.026, 0.012))
    )

    assert change(one, other).verdict == "AMBIGUOUS"


def certified(found: BenchRun, verdict: str) -> BenchRun:
    reasons = () if verdict == "pass" else ("output: 9 units",)
    made = tuple(
        Agreement(name, CASE.name, verdict, "computed", reasons, ())
        for name in found.implementations
    )
    return replace(found, agreements=made)


@pytest.mark.parametrize(
    ("now", "verdict", "kinds", "words"),
    [
        (timing([1.0] * 5), "pass", [], ""),
        (
            Timing("a", CASE.name, 1, "not certified", ("output: 9 units",)),
            "fail",
            ["certificate"],
            "certificate: pass before; certificate fail: output: 9 units",
        ),
        (
            Timing("a", CASE.name, 1, "crashed", ("signal 6",)),
            "pass",
            ["status"],
            "status: timed before; crashed; signal 6",
        ),
        (
            timing([1.0] * 5, peak_bytes=30_000_000),
            "pass",
            ["memory"],
            "memory: 20.0 MB before, 30.0 MB after",
        ),
        (timing([1.0] * 5, peak_bytes=21_000_000), "pass", [], ""),
    ],
)
def test_what_got_worse_besides_time_is_told(now, verdict, kinds, words):
    before = certified(run(timing([1.0] * 5, peak_bytes=20_000_000)), "pass")
    after = certified(run(now), verdict)

    assert [one.kind for one in regressions(before, after)] == kinds
    assert f"- WORSE a: {CASE.name}: {words}" in compare_table(before, after) or not words


def test_page_faults_that_differ_are_told():
    before, after = (run(timing([1.0] * 3, page_faults=(faults,) * 3)) for faults in (0.0, 6368.0))

    assert compare(before, after)[1] == [f"a: {CASE.name}: 0 page faults a call before, 6368 after"]


def test_the_table_counts_its_verdicts():
    table = compare_table(
        run(timing([1.0] * 5), timing([1.0] * 5, "b")),
        run(timing([1.0] * 5), timing([2.0] * 5, "b")),
    )

    assert "0 FASTER, 1 SLOWER, 1 SAME, 0 AMBIGUOUS; the median ratio of all rows is 1.5" in table
    assert table.index("SLOWER") < table.index("SAME")
    (same,) = (line for line in table.splitlines() if "SAME |" in line)
    assert [cell.strip() for cell in same.split("|")][-3:-1] == ["1.000", "5%"]
