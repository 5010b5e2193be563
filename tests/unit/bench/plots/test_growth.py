from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench.measure.datasheets import DATASHEETS
from attnpanel.bench.plots.families import families
from attnpanel.bench.plots.format import size
from attnpanel.bench.plots.growth import (
    history_chart,
    left_out_of_history,
    memory_chart,
    roofline_chart,
    speed_chart,
)
from tests.unit.bench.run.sample_runs import SPEEDS, sample_run


@pytest.fixture(scope="module")
def run():
    return sample_run()


def line(chart, name):
    return next(line for line in chart.lines if line.name == name)


def test_speed_is_drawn_against_length_with_its_growth(run):
    naive = line(speed_chart(run, families(run)[0]), "numpy-naive")

    np.testing.assert_allclose(naive.x, [256, 512, 1024, 2048])
    np.testing.assert_allclose(naive.y, [0.142 * 4.0 ** (-1.1 * i) for i in (2, 1, 0, -1)])
    assert naive.hover[2] == "T 1024: 142 ms (quartiles 135 ms to 149 ms), grows as T to the 2.20"


def test_the_limit_is_arithmetic_over_the_best_matrix_product(run):
    (limit,) = speed_chart(run, families(run)[0]).limits

    # 4 B H T² D operations at 1.02e11 a second; far from the copy's bound.
    assert limit.y[-1] == pytest.approx(4 * 8 * 2048**2 * 64 / 1.02e11)


def test_a_known_gpu_has_a_line_of_its_datasheet(run):
    h200 = DATASHEETS[0]
    known = replace(
        run, limits=tuple(replace(limits, datasheet=h200.words) for limits in run.limits)
    )

    _, floor = speed_chart(known, families(known)[0]).limits

    assert floor.name.startswith("H200 SXM datasheet")
    assert floor.y[-1] == pytest.approx(4 * 8 * 2048**2 * 64 / 67e12)


def test_half_the_pairs_of_a_causal_mask_halve_the_limit(run):
    none, causal = (speed_chart(run, family).limits[0].y[-1] for family in families(run))

    assert causal / none == pytest.approx(2049 / 4096)


def test_memory_is_drawn_with_the_output_and_one_score_matrix(run):
    chart = memory_chart(run, families(run)[0])
    output, scores = chart.limits

    assert output.y[-1] == 8 * 2048 * 64 * 4
    assert scores.y[-1] == 8 * 2048**2 * 4
    assert line(chart, "numpy-naive").y[2] == 8 * 1024 * 64 * 4 + 96e6


def test_without_memory_or_limits_the_card_says_so(run):
    bare = replace(
        run, limits=(), timings=tuple(replace(timing, peak_bytes=None) for timing in run.timings)
    )
    family = families(bare)[0]

    assert memory_chart(bare, family).empty.startswith("No memory was measured")
    assert roofline_chart(bare, family).empty.startswith("This run measured no limits")
    assert speed_chart(bare, family).limits == ()


def test_numbers_beyond_any_float_are_left_out(run):
    family = families(run)[0]
    peaks = tuple(
        replace(timing, peak_bytes=10**400 if timing.peak_bytes else None) for timing in run.timings
    )

    assert memory_chart(replace(run, timings=peaks), family).lines == ()
    assert size(10**400).endswith(" TB")


def test_the_roof_is_copy_times_intensity_and_then_the_matrix_product(run):
    chart = roofline_chart(run, families(run)[0])
    (roof,) = chart.limits
    flash = line(chart, "torch-sdpa-flash")

    # T²·4HD operations over 4·T·H·D numbers of four bytes: T / 4 operations a byte.
    np.testing.assert_allclose(flash.x, [64, 128, 256, 512])
    np.testing.assert_allclose(flash.y[2], 4 * 8 * 1024**2 * 64 / 0.055)
    knee = 1.02e11 / 1.2e10
    np.testing.assert_allclose(roof.x, [knee / 3, knee, 512])
    np.testing.assert_allclose(roof.y, [1.02e11 / 3, 1.02e11, 1.02e11])


def test_the_history_has_runs_of_this_machine_at_their_longest_common_length(run):
    older = sample_run(date="2026-11-20T06:00:00+00:00", faster=0.5)
    place = replace(older.environment, cpu_model="Another")
    elsewhere = replace(older, environment=place)
    runs = [run, elsewhere, older]
    chart = history_chart(runs, families(run)[0])

    assert [words for _, words in chart.x_ticks] == ["11-20 06:00", "11-22 06:44"]
    for name in SPEEDS:
        first, last = line(chart, name).y
        assert first == pytest.approx(2 * last)
    assert left_out_of_history(runs) == "1 run of another machine left out: times don't compare."
    assert left_out_of_history([run]) == ""
