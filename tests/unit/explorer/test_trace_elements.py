"""`trace.hv`: a head as HoloViews elements that hold its numbers, the right way up."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.trace import AttentionCall, Trace

holoviews = pytest.importorskip("holoviews")

QUERY = np.zeros((1, 2, 3, 4), np.float32)
KEY = np.zeros((1, 2, 5, 4), np.float32)


@pytest.fixture
def trace():
    holoviews.extension("bokeh")
    call = AttentionCall("layer", 0, query=QUERY, key=KEY, causal="top_left")
    return Trace([call], query_tokens=[["a", "b", "c"]], key_tokens=[["v", "w", "x", "y", "z"]])


def test_a_heatmap_has_the_weight_of_a_query_and_a_key_at_their_positions(trace):
    image = trace.hv.heatmap(layer="layer", head=-1)

    # Row i of a causal head with equal scores shares its weight among i + 1 keys.
    at = {(key, query): image[key, query] for key in range(5) for query in range(3)}
    assert at == {
        (key, query): pytest.approx(1 / (query + 1) if key <= query else 0) for key, query in at
    }
    assert image.label == "layer, head 1"


def test_a_heatmap_is_drawn_with_the_first_query_on_top(trace):
    plot = holoviews.render(trace.hv.heatmap())

    assert plot.y_range.start > plot.y_range.end
    assert plot.xaxis.major_label_overrides[4] == "z"


def test_masked_scores_are_not_drawn(trace):
    image = trace.hv.heatmap(quantity="scores")

    assert np.isnan(image[1, 0])
    assert image[0, 1] == 0
    holoviews.render(image)


def test_a_row_has_a_bar_a_key_even_for_equal_tokens(trace):
    trace.set_tokens([["a", "b", "c"]], [["v", "v", "v", "v", "v"]])
    bars = trace.hv.row(query=1)

    assert list(bars.dimension_values("key_token")) == ["0 v", "1 v", "2 v", "3 v", "4 v"]
    np.testing.assert_allclose(bars.dimension_values("weight"), [0.5, 0.5, 0, 0, 0])


def test_elements_compose(trace):
    layout = trace.hv.heatmap() + trace.hv.row()

    assert holoviews.render(layout)


def test_a_quantity_that_is_none_is_refused(trace):
    with pytest.raises(ValueError, match="quantity must be one of"):
        trace.hv.heatmap(quantity="values")
