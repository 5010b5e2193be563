"""Pairs of runs of the same code: the share that is SAME, and in which 10 % more is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench.__main__ import main
from attnpanel.bench.run import repeatability
from attnpanel.bench.run.repeatability import (
    Repeatability,
    compared_pairs,
    delayed,
    measure_pairs,
    paths_of,
    repeatability_table,
)
from attnpanel.bench.run.serialization import write
from attnpanel.bench.run.terminal import Interrupted
from tests.unit.bench.run.fake_plans import plan
from tests.unit.bench.run.sample_runs import sample_run

ROUNDS = 12


def drawn(seed: int, *, noise=0.005, seconds=2e-3, factor=1.0):
    """Return a run of two rows, each of so many rounds around a time."""
    rng = np.random.default_rng(seed)
    run = sample_run()
    rows = []
    for row in run.timings[:2]:
        taken = tuple(map(float, factor * seconds * np.exp(rng.normal(0, noise, ROUNDS))))
        yard = (3e-3,) * ROUNDS
        made = replace(row, wall_s=taken, cpu_s=taken, rounds=tuple(range(ROUNDS)))
        rows.append(replace(made, yardstick_s=yard, waited_s=(0.0,) * ROUNDS))
    return replace(run, timings=tuple(rows), agreements=())


def of(*runs) -> Repeatability:
    found = Repeatability()
    for before, after in zip(runs[::2], runs[1::2], strict=True):
        found.add(before, after)
    return found


def test_same_code_is_same_and_a_tenth_more_is_found():
    found = of(*(drawn(seed) for seed in range(20)))

    assert (found.pairs, found.verdicts.total(), found.delayed.total()) == (10, 20, 20)
    # 99 of 100 by construction: 3 of 20 would be once in a thousand.
    assert found.same >= 0.9
    assert found.found == 1
    table = repeatability_table(found)
    assert "10 pairs of runs of the same code" in table
    assert table.count("reached") == 2


def test_a_row_that_changed_is_listed_and_the_mark_missed():
    found = of(drawn(0), drawn(1, factor=1.3))

    assert found.same == 0
    assert [(pair, change.verdict) for pair, change in found.wrong] == [(1, "SLOWER")] * 2
    first, *_ = (line for line in repeatability_table(found).splitlines() if "same code is" in line)
    assert "missed" in first
    assert "2 SLOWER" in first


@pytest.mark.parametrize(
    ("law", "short"),
    [
        ({"noise": 0.1}, 0),  # resolved to more than 8 %
        ({"seconds": 1e-4}, 2),  # a tenth is 10 µs, which is less than 30
    ],
)
def test_rows_that_could_not_show_it_do_not_count(law, short):
    found = of(drawn(0, **law), drawn(1, **law))

    assert (found.delayed.total(), found.short) == (0, short)
    assert "no rows" in repeatability_table(found)


def test_a_delay_lengthens_the_time_that_was_not_waiting():
    run = drawn(0)
    waiting = replace(
        run.timings[0],
        wall_s=tuple(s + 0.01 for s in run.timings[0].wall_s),
        waited_s=(0.01,) * ROUNDS,
    )
    (row, *_) = delayed(replace(run, timings=(waiting,))).timings

    np.testing.assert_allclose(row.own_s, 1.1 * np.array(waiting.own_s), rtol=1e-12)
    assert row.waited_s == waiting.waited_s


def test_each_run_has_its_file_and_an_interrupted_one_ends_the_pairs(tmp_path):
    asked = []

    def run_plan(_plan, path):
        asked.append(path)
        made = drawn(len(asked))
        write(made, path)
        return replace(made, finished=len(asked) != 6)

    assert measure_pairs(plan("RIGHT"), tmp_path, 2, run_plan).pairs == 2
    assert asked == [*paths_of(tmp_path, 1), *paths_of(tmp_path, 2)]
    with pytest.raises(Interrupted, match="continue with the same command"):
        measure_pairs(plan("RIGHT"), tmp_path, 2, run_plan)
    assert compared_pairs(tmp_path).pairs == 2


def test_a_folder_without_a_pair_is_refused(tmp_path):
    write(drawn(0), paths_of(tmp_path, 1)[0])

    with pytest.raises(ValueError, match="must have a finished pair"):
        compared_pairs(tmp_path)


def test_the_command_times_the_plans_cases_only(tmp_path, monkeypatch, capsys):
    asked = []

    def fake_run(plan, *, output, **_):
        asked.append((plan, output))
        return drawn(len(asked))

    monkeypatch.setattr(repeatability, "run", fake_run)
    options = ["--pairs", "2", "--T", "64", "--mask", "none", "--gradients", "--device", "cpu"]
    assert main(["aa", *options, "--implementations", "torch-eager", "-o", str(tmp_path)]) == 0

    plans = {id(plan): plan for plan, _ in asked}
    (made,) = plans.values()
    assert (len(asked), made.certified, made.gradients) == (4, (), False)
    assert [case.request.direction for case in made.timed] == ["forward", "backward", "both"]
    assert "2 pairs of runs of the same code" in capsys.readouterr().out
