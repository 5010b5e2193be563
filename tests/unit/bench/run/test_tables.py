"""The times in the tables of a run, and their ratios."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnpanel.bench.run.tables import median_s, relative_time
from tests.unit.bench.run.sample_runs import timing, timing_cases

ROW = timing("numpy-naive", timing_cases()[0])
SECONDS = ROW.wall_s


def test_the_median_excludes_time_spent_runnable_but_not_scheduled():
    busy = replace(
        ROW,
        wall_s=tuple(3 * value for value in SECONDS),
        waited_s=tuple(2 * value for value in SECONDS),
    )

    assert median_s(busy) == pytest.approx(median_s(ROW))


def test_rows_are_compared_relative_to_their_reference_workloads():
    # The machine was half as fast when the second was measured.
    first = replace(ROW, yardstick_s=(3e-3,) * 3)
    second = replace(ROW, wall_s=tuple(2 * value for value in SECONDS), yardstick_s=(6e-3,) * 3)

    assert relative_time(second, first) == pytest.approx(1)
    assert relative_time(second, ROW) == pytest.approx(2)
