"""The row of token i as bars."""

import numpy as np
import pytest

from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views.row import row_drawing
from attnpanel.models.toy import toy_trace
from attnpanel.ui.theme import LIGHT
from tests.hand_made import call, from_scores, trace_of


def of_weights(weights, **chosen):
    """A state whose first row has exactly these weights: scores are their logarithms."""
    with np.errstate(divide="ignore"):
        scores = np.log(np.asarray(weights, dtype=float))
    hidden = np.isfinite(scores)[None]
    trace = trace_of(from_scores([np.where(hidden[0], scores, 0)], mask=hidden))
    return ExplorerState(trace, **chosen)


def test_a_bar_is_as_high_as_its_weight_and_stands_at_its_key():
    bars = row_drawing(of_weights([0.25, 0.0, 0.7, 0.05])).sources["attn:row"]

    np.testing.assert_allclose(bars["top"], [0.25, 0, 0.7, 0.05], rtol=1e-5)
    np.testing.assert_allclose(bars["weight"], [0.25, 0, 0.7, 0.05], rtol=1e-5)
    np.testing.assert_array_equal(bars["bottom"], 0)
    np.testing.assert_allclose((bars["left"] + bars["right"]) / 2, [0, 1, 2, 3], atol=1e-12)
    assert bars["token"] == ["0", "1", "2", "3"]


def test_the_largest_bar_alone_has_the_accent_colour():
    bars = row_drawing(of_weights([0.25, 0.0, 0.7, 0.05])).sources["attn:row"]

    assert bars["color"] == [LIGHT.bar, LIGHT.bar, LIGHT.accent, LIGHT.bar]


def test_a_label_tells_the_weight_where_a_bar_can_be_seen():
    labels = row_drawing(of_weights([0.25, 0.01, 0.7, 0.04])).sources["attn:row:labels"]

    assert labels["text"] == ["0.25", "0.70", "0.04"]
    np.testing.assert_array_equal(labels["x"], [0, 2, 3])
    np.testing.assert_allclose(labels["y"], [0.25, 0.7, 0.04], rtol=1e-5)


def test_at_most_sixteen_bars_are_labelled_and_those_are_the_highest():
    weights = np.linspace(1, 3, 23) / np.linspace(1, 3, 23).sum()

    labels = row_drawing(of_weights(weights)).sources["attn:row:labels"]

    np.testing.assert_array_equal(labels["x"], np.arange(7, 23))


@pytest.mark.parametrize(
    ("weights", "end"),
    [([1.0], 1.0), ([0.55, 0.45], 0.6), ([0.05] * 20, 0.05), ([0.0013] * 769, 0.0015)],
)
def test_the_axis_ends_at_1_unless_an_own_scale_is_asked_for(weights, end):
    for scale, ends in (("square root", 1.0), ("linear", 1.0), ("own", end), ("per row", end)):
        drawing = row_drawing(of_weights(weights, weight_scale=scale))

        assert [position for position, _ in drawing.y_ticks] == [0, ends / 2, ends]
        assert [float(text) for _, text in drawing.y_ticks] == [0, ends / 2, ends]
        assert drawing.y[0] == 0
        assert drawing.y[1] > ends  # room for a label


@pytest.mark.parametrize(("policy", "height"), [("zero", 0), ("uniform", 0.2), ("nan", 0)])
def test_an_empty_row_has_bars_as_its_policy_filled_it(policy, height):
    chosen = {"mask": "padding", "pad_len": 2, "empty_rows": policy, "query_index": 4}

    drawing = row_drawing(ExplorerState(toy_trace(T=5), **chosen))

    bars = drawing.sources["attn:row"]
    np.testing.assert_allclose(bars["top"], [height] * 5, rtol=1e-6)
    assert np.isnan(bars["weight"]).all() == (policy == "nan")
    assert (LIGHT.accent in bars["color"]) == (policy == "uniform")
    assert drawing.y[1] > 0


def test_a_bar_for_each_key_not_each_query():
    bars = row_drawing(ExplorerState(trace_of(call(query_len=3, key_len=7)))).sources["attn:row"]

    assert {len(column) for column in bars.values()} == {7}
