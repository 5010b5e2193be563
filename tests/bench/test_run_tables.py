"""The tables of a run: what its times are, and what they are compared by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.run_tables import median_s, times_as_long
from tests.bench.hand_made_runs import timing, timing_cases

ROW = timing("numpy-naive", timing_cases()[0])
SECONDS = ROW.wall_s


def test_a_time_is_without_what_was_waited_for_a_core():
    busy = replace(
        ROW, wall_s=tuple(3 * one for one in SECONDS), waited_s=tuple(2 * one for one in SECONDS)
    )

    assert median_s(busy) == pytest.approx(median_s(ROW))


def test_two_rows_are_compared_by_their_yardsticks_where_both_have_some():
    # The machine was half as fast when the second was measured.
    first = replace(ROW, yardstick_s=(3e-3,) * 3)
    second = replace(ROW, wall_s=tuple(2 * one for one in SECONDS), yardstick_s=(6e-3,) * 3)

    assert times_as_long(second, first) == pytest.approx(1)
    assert times_as_long(second, ROW) == pytest.approx(2)
