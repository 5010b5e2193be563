"""Paint mixing as data."""

import numpy as np
import pytest

from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views.swatches import readable_on, swatches_drawing
from attnpanel.models.toy import toy_trace
from attnpanel.ui.theme import LIGHT, hex_colour
from tests.hand_made import call, from_scores, recorded, trace_of


def mixed(drawing):
    paint = drawing.sources["attn:mixed"]
    return [float(paint[channel][0]) for channel in ("red", "green", "blue")]


def test_the_mixed_colour_is_the_swatches_weighed():
    state = ExplorerState(toy_trace(T=5), query_index=3, temperature=4.0, color_seed=2)

    drawing = swatches_drawing(state)

    weights = state.selection.weights[3]
    by_hand = sum(w * c for w, c in zip(weights, state.colours, strict=True))
    np.testing.assert_allclose(mixed(drawing), by_hand, rtol=1e-12)
    assert drawing.sources["attn:mixed"]["color"] == [hex_colour(by_hand)]
    swatches = drawing.sources["attn:swatches"]
    assert swatches["color"] == [hex_colour(colour) for colour in state.colours]
    np.testing.assert_array_equal(swatches["weight"], weights)
    assert swatches["key_index"].tolist() == [0, 1, 2, 3, 4]
    assert swatches["token"] == ["t0", "t1", "t2", "t3", "t4"]


def test_the_mean_over_heads_mixes_the_mean_paint():
    state = ExplorerState(toy_trace(T=5), aggregate=True)

    expected = state.selection.weights[0].astype(float) @ state.colours
    np.testing.assert_allclose(mixed(swatches_drawing(state)), expected, rtol=1e-12)


def test_a_bar_fills_its_track_as_far_as_its_weight():
    # Weights 1/4 and 3/4: a track is one whole where one weight is above a half.
    state = ExplorerState(trace_of(from_scores([[0, np.log(3)]], [[1.0], [2.0]])))

    sources = swatches_drawing(state).sources
    bars, tracks = sources["attn:swatches:bars"], sources["attn:swatches:tracks"]

    share = (bars["right"] - bars["left"]) / (tracks["right"] - tracks["left"])
    np.testing.assert_allclose(share, [0.25, 0.75], rtol=1e-6)
    assert sources["attn:swatches:weights"]["text"] == ["0.250", "0.750"]


def test_small_weights_may_have_a_scale_of_their_own_and_no_bar_leaves_its_track():
    state = ExplorerState(trace_of(call(query_len=19)), temperature=100.0, weight_scale="own")

    sources = swatches_drawing(state).sources
    bars, tracks = sources["attn:swatches:bars"], sources["attn:swatches:tracks"]

    lengths = bars["right"] - bars["left"]
    assert (bars["right"] <= tracks["right"]).all()
    assert lengths.max() > 0.8 * (tracks["right"] - tracks["left"])[0]
    weights = state.selection.weights[0]
    np.testing.assert_allclose(lengths / lengths.max(), weights / weights.max(), rtol=1e-6)


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        ("zero", "“t4” becomes nothing"),
        ("uniform", "what “t4” becomes"),
        ("nan", "what “t4” becomes is unknown"),
    ],
)
def test_an_empty_row_mixes_as_its_policy_filled_it(policy, name):
    chosen = {"mask": "padding", "pad_len": 2, "empty_rows": policy, "query_index": 4}
    state = ExplorerState(toy_trace(T=5), **chosen)

    drawing = swatches_drawing(state)

    paint = {"zero": [0, 0, 0], "uniform": state.colours.mean(axis=0), "nan": [np.nan] * 3}
    np.testing.assert_allclose(mixed(drawing), paint[policy], rtol=1e-6)
    assert drawing.sources["attn:mixed:name"]["text"] == [name]
    bars = drawing.sources["attn:swatches:bars"]
    assert np.isfinite(bars["right"]).all()


def test_many_tokens_are_the_heaviest_nineteen_and_the_rest_in_one():
    state = ExplorerState(trace_of(call(query_len=23)), query_index=7)
    weights = state.selection.weights[7].astype(float)

    drawing = swatches_drawing(state)

    swatches = drawing.sources["attn:swatches"]
    heaviest = np.sort(np.argsort(-weights)[:19])
    assert swatches["key_index"].tolist() == [*heaviest, -1]
    assert swatches["token"][-1] == "4 others"
    np.testing.assert_allclose(np.sum(swatches["weight"]), weights.sum(), rtol=1e-6)
    # Mixing what is shown must give what all tokens give.
    np.testing.assert_allclose(mixed(drawing), weights @ state.colours, rtol=1e-12)


def test_the_rest_in_one_has_the_colour_that_it_mixes_to():
    state = ExplorerState(trace_of(call(query_len=23)), temperature=100.0)
    weights = state.selection.weights[0].astype(float)
    rest = np.sort(np.argsort(-weights)[19:])

    colour = swatches_drawing(state).sources["attn:swatches"]["color"][-1]

    assert colour == hex_colour(weights[rest] @ state.colours[rest] / weights[rest].sum())


def test_twenty_tokens_are_all_shown():
    drawing = swatches_drawing(ExplorerState(trace_of(call(query_len=20))))

    assert drawing.sources["attn:swatches"]["key_index"].tolist() == list(range(20))


@pytest.mark.parametrize("made", [call(values=False), recorded()])
def test_without_values_there_are_weights_and_no_paint(made):
    drawing = swatches_drawing(ExplorerState(trace_of(made)))

    assert set(drawing.sources["attn:swatches"]["color"]) == {"#8a8f99"}
    assert set(drawing.sources["attn:swatches:bars"]["color"]) == {LIGHT.bar}
    assert np.isnan(mixed(drawing)).all()
    assert drawing.sources["attn:mixed:name"]["text"] == ["what “0” becomes is unknown"]


def test_the_picture_grows_with_its_tokens_up_to_twenty():
    heights = [
        swatches_drawing(ExplorerState(trace_of(call(query_len=length)))).height
        for length in (3, 5, 20, 23, 101)
    ]

    assert heights[0] < heights[1] < heights[2] == heights[3] == heights[4]


@pytest.mark.parametrize(("colour", "ink"), [("#ffffff", "#000000"), ("#0b1f4f", "#ffffff")])
def test_text_on_a_colour_is_black_or_white(colour, ink):
    assert readable_on(colour) == ink
