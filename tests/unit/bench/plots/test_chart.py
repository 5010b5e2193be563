from __future__ import annotations

from math import log10

import numpy as np
import pytest

from attnpanel.bench.plots.chart import (
    MARKS,
    NAME_HEIGHT,
    Chart,
    Line,
    chart_element,
    log_ticks,
    spread,
)
from attnpanel.bench.plots.format import seconds


def pixels(values, span, height):
    low, high = map(log10, span)
    return [(log10(value) - low) / (high - low) * height for value in values]


def test_labels_with_room_are_at_the_end_of_their_lines():
    values = [1e-3, 1e-2, 1e-1]

    np.testing.assert_allclose(spread(values, (1e-4, 1.0), 300), values)


@pytest.mark.parametrize("seed", range(5))
def test_labels_never_overlap_leave_the_axis_or_change_order(seed):
    values = sorted(10 ** np.random.default_rng(seed).uniform(-3, -2.9, size=17))
    at = pixels(spread(values, (1e-3, 1.0), 300), (1e-3, 1.0), 300)

    assert min(np.diff(at)) > NAME_HEIGHT - 1e-6
    assert at[0] > NAME_HEIGHT / 2 - 1e-6
    assert at[-1] < 300 - NAME_HEIGHT / 2 + 1e-6


def test_labels_of_equal_values_are_centred():
    at = pixels(spread([0.1] * 3, (0.01, 1.0), 300), (0.01, 1.0), 300)

    np.testing.assert_allclose(at, [150 - NAME_HEIGHT, 150, 150 + NAME_HEIGHT])


def test_ticks_are_decades_or_finer_where_there_are_few():
    assert log_ticks(0.9e-3, 11) == [1e-3, 1e-2, 1e-1, 1, 10]
    assert log_ticks(1, 110) == [1, 3, 10, 30, 100]
    assert len(log_ticks(0.1, 0.2)) >= 3


def test_every_framework_has_a_marker_and_a_colour_of_its_own():
    markers, colours = zip(*MARKS.values(), strict=True)

    assert len(set(markers)) == len(set(colours)) == len(MARKS)


@pytest.mark.parametrize("card", ["#ffffff", "#181c25"])
def test_colours_stand_out_from_both_cards(card):
    def luminance(colour):
        channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        return linear @ [0.2126, 0.7152, 0.0722]

    for _, colour in MARKS.values():
        dim, bright = sorted([luminance(colour), luminance(card)])
        # WCAG 2.2, 1.4.11: graphics need 3.
        assert (bright + 0.05) / (dim + 0.05) >= 3


def test_a_chart_of_one_point_and_a_hostile_name_can_be_drawn():
    import holoviews as hv

    line = Line("<img src=x onerror=window.pwned=1>" * 9, "1 s", [128.0], [1.0], ["T 128: 1 s"])
    chart = Chart((line,), (), ((128.0, "128"),), seconds, "T")
    figure = hv.render(chart_element(chart, "speed"), backend="bokeh")

    assert len(figure.yaxis[1].formatter.args["words"][0]) < 40
    assert figure.select_one({"name": "bench:speed:points"}).data["x"] == [128.0]
