"""Score, softmax and mix as data."""

import numpy as np
import pytest

from attnpanel.explorer.selection import PICTURE_CELLS
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views.heatmaps import (
    output_drawing,
    scores_drawing,
    weights_drawing,
)
from attnpanel.explorer.weight_scales import WEIGHT_SCALES
from attnpanel.models.toy import toy_trace
from attnpanel.trace import AttentionCall
from attnpanel.ui.theme import DARK, LIGHT
from tests.hand_made import call, from_scores, recorded, trace_of

DRAWINGS = {"scores": scores_drawing, "weights": weights_drawing, "output": output_drawing}
SCALES = [row.name for row in WEIGHT_SCALES]
LN3 = float(np.log(3))


def hand_made(**chosen):
    """Two queries, three keys: weights 1/5 1/5 3/5 and 1/3 1/3 1/3; the values are 5, 10, 0."""
    scores = [[0, 0, LN3], [-2, -2, -2]]
    trace = trace_of(from_scores(scores, [[5.0], [10.0], [0.0]]))
    return ExplorerState(trace, **chosen)


def image(drawing):
    (columns,) = drawing.sources.values()
    return columns["image"][0]


def test_the_three_pictures_hold_what_the_hand_computes():
    state = hand_made()

    np.testing.assert_allclose(image(scores_drawing(state)), [[0, 0, LN3], [-2] * 3], rtol=1e-6)
    third = [1 / 3] * 3
    np.testing.assert_allclose(image(weights_drawing(state)), [[0.2, 0.2, 0.6], third], rtol=1e-6)
    # 0.2 * 5 + 0.2 * 10 = 3 and 15 / 3 = 5.
    np.testing.assert_allclose(image(output_drawing(state)), [[3.0], [5.0]], rtol=1e-6)


@pytest.mark.parametrize("name", DRAWINGS)
def test_an_image_lies_on_whole_positions_and_its_rows_run_downwards(name):
    drawing = DRAWINGS[name](ExplorerState(trace_of(call(query_len=5, key_len=7))))

    columns = drawing.sources[f"attn:{name}"]
    across = 13 if name == "output" else 7
    assert image(drawing).shape == (5, across)
    assert {side: columns[side] for side in ("x", "y", "dw", "dh")} == {
        "x": [-0.5],
        "y": [-0.5],
        "dw": [across],
        "dh": [5],
    }
    assert drawing.x == (-0.5, across - 0.5)
    assert drawing.y == (4.5, -0.5)
    assert image(drawing).dtype == np.float32


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_selected_row_is_outlined(name):
    drawing = DRAWINGS[name](ExplorerState(toy_trace(T=5), query_index=3))

    assert drawing.outline == (None, None, 2.5, 3.5)


def test_labels_are_the_tokens_short_enough_to_stand_beside_a_plot():
    trace = toy_trace(T=3)
    trace.set_tokens([["a", "a\nb\x00", "x" * 40]])

    drawing = weights_drawing(ExplorerState(trace))

    assert drawing.x_labels == drawing.y_labels == ["a", "a·b·", "x" * 13 + "…"]


# -- masked cells and empty rows -----------------------------------------------------------


@pytest.mark.parametrize("name", ["scores", "weights"])
def test_a_masked_cell_is_nan_and_no_other_is(name):
    state = ExplorerState(toy_trace(T=5), mask="causal")

    drawing = DRAWINGS[name](state)

    upper = np.triu(np.ones((5, 5), dtype=bool), k=1)
    np.testing.assert_array_equal(np.isnan(image(drawing)), upper)
    assert drawing.masked


@pytest.mark.parametrize("weight_scale", SCALES)
@pytest.mark.parametrize(
    ("policy", "row"),
    [("zero", [np.nan] * 5), ("uniform", [0.2] * 5), ("nan", [np.nan] * 5)],
)
def test_an_empty_row_is_drawn_as_its_policy_filled_it(policy, row, weight_scale):
    chosen = {"mask": "padding", "pad_len": 3, "empty_rows": policy, "weight_scale": weight_scale}
    drawing = weights_drawing(ExplorerState(toy_trace(T=5), **chosen))

    columns = drawing.sources["attn:weights"]
    cells = columns["exact" if weight_scale == "per row" else "image"][0]
    np.testing.assert_allclose(cells[3:], [row, row], rtol=1e-6)
    assert np.isfinite(cells[:3, :3]).all()
    assert np.isnan(cells[:3, 3:]).all()


@pytest.mark.parametrize("policy", ["zero", "uniform", "nan"])
def test_an_empty_row_with_a_sink_is_masked_under_every_policy(policy):
    sinks = np.zeros(3, dtype=np.float32)
    chosen = {"mask": "padding", "pad_len": 3, "empty_rows": policy}
    state = ExplorerState(trace_of(call(sinks=sinks)), **chosen)

    assert np.isnan(image(weights_drawing(state))[3:]).all()


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.parametrize("policy", ["zero", "uniform", "nan"])
@pytest.mark.parametrize("weight_scale", SCALES)
def test_a_picture_of_empty_rows_alone_has_a_colour_scale(name, policy, weight_scale):
    chosen = {"mask": "padding", "pad_len": 0, "empty_rows": policy, "weight_scale": weight_scale}
    drawing = DRAWINGS[name](ExplorerState(toy_trace(T=5), **chosen))

    assert drawing.colours.low < drawing.colours.high


# -- colour scales -------------------------------------------------------------------------


@pytest.mark.parametrize("mask", ["none", "causal", "window"])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
def test_scales_stay_where_they_are_whatever_mask_and_temperature(mask, temperature):
    state = ExplorerState(trace_of(from_scores([[1, 41], [-3, 2]], [[0.3], [-1.7]])))
    state.choose(mask=mask, temperature=temperature, query_index=1)

    scores, weights, output = (
        draw(state).colours for draw in (scores_drawing, weights_drawing, output_drawing)
    )

    assert (scores.low, scores.high) == (-50.0, 50.0)
    assert scores.palette[0] == LIGHT.diverging[0]
    assert (weights.low, weights.high) == (0.0, 1.0)
    assert (output.low, output.high) == (-2.0, 2.0)


@pytest.mark.parametrize("aggregate", [False, True])
def test_no_output_lies_beyond_its_scale(aggregate):
    state = ExplorerState(trace_of(call(heads=6, kv_heads=2)), head=4, aggregate=aggregate)

    for temperature in (0.01, 1.0, 100.0):
        state.temperature = temperature
        assert np.abs(image(output_drawing(state))).max() <= output_drawing(state).colours.high


def test_weights_that_sum_to_more_than_1_have_a_scale_that_holds_them():
    recorded = np.array([[[[0.5, 2.9], [0.2, 0.3]]]], np.float32)
    state = ExplorerState(trace_of(AttentionCall("own", 0, recorded_weights=recorded)))

    assert weights_drawing(state).colours.high == 3.0


def test_the_scale_may_end_at_the_largest_of_the_other_tokens():
    # Rows of weights 0.9 and 0.1, 0.5 and 0.5: without the first token the scale ends at 0.5.
    rows = np.log([[0.9, 0.1], [0.5, 0.5]])
    state = ExplorerState(trace_of(from_scores(rows)), skip_first=True)

    assert weights_drawing(state).colours.high == pytest.approx(0.5)
    assert scores_drawing(state).colours.high == 2.5  # holds -ln 0.1 = 2.30
    np.testing.assert_allclose(image(weights_drawing(state)), [[0.9, 0.1], [0.5, 0.5]], rtol=1e-6)
    state.weight_scale = "per row"
    np.testing.assert_allclose(image(weights_drawing(state)), [[9, 1], [1, 1]], rtol=1e-6)
    state.skip_first = False
    np.testing.assert_allclose(image(weights_drawing(state)), [[1, 1 / 9], [1, 1]], rtol=1e-6)


def test_the_first_token_is_the_first_that_any_query_sees():
    # Padding on the left: the sink is token 1, and the scale that of token 2 alone.
    rows = np.log([[1.0, 3.0, 1.0]] * 3)
    mask = np.array([[False, True, True]])
    state = ExplorerState(trace_of(from_scores(rows, mask=mask)), skip_first=True)

    assert state.scaled_from == 2
    assert weights_drawing(state).colours.high == pytest.approx(0.25)


@pytest.mark.parametrize("weight_scale", SCALES)
def test_a_scale_of_nothing_is_the_whole_one(weight_scale):
    # One token that all queries see: without it there is no other.
    one = from_scores(np.zeros((2, 2)), mask=np.array([[False, True]]))
    state = ExplorerState(trace_of(one), skip_first=True, weight_scale=weight_scale)

    assert weights_drawing(state).colours.high == 1
    np.testing.assert_array_equal(image(weights_drawing(state))[:, 1], 1)


def test_weights_begin_at_the_cards_own_colour():
    for dark, theme in ((False, LIGHT), (True, DARK)):
        colours = weights_drawing(hand_made(dark=dark)).colours

        assert colours.low == 0.0
        assert colours.high == 1.0
        assert colours.palette[0] == theme.card


def test_the_square_root_scale_gives_a_quarter_the_colour_of_one_half():
    root = weights_drawing(hand_made()).colours.palette
    linear = weights_drawing(hand_made(weight_scale="linear")).colours.palette

    # Stop 64 of 255 is 0.251; its root is 0.501, stop 128 of 255 (0.502) one step off at most.
    near = [abs(a - b) for a, b in zip(channels(root[64]), channels(linear[128]), strict=True)]
    assert max(near) <= 2
    assert root[0] == linear[0]
    assert root[255] == linear[255]


def channels(colour):
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def test_per_row_shows_each_row_relative_to_its_largest_and_tells_the_weight():
    columns = weights_drawing(hand_made(weight_scale="per row")).sources["attn:weights"]

    np.testing.assert_allclose(columns["image"][0], [[1 / 3, 1 / 3, 1], [1, 1, 1]], rtol=1e-6)
    np.testing.assert_allclose(columns["exact"][0], [[0.2, 0.2, 0.6], [1 / 3] * 3], rtol=1e-6)
    # Other scales draw the weight itself, so that hovering needs no second matrix.
    assert "exact" not in weights_drawing(hand_made()).sources["attn:weights"]


# -- more cells than pixels ----------------------------------------------------------------

LONG = 2 * PICTURE_CELLS + 3


@pytest.fixture(scope="module")
def long():
    """One bright pair, (700, 300), in 1027 × 1027; queries 0 to 9 see the first key alone."""
    scores = np.zeros((LONG, LONG), dtype=np.float32)
    scores[700, 300] = 25
    scores[:10, 0] = 30
    query = scores[None, None]
    trace = trace_of(from_scores(query[0, 0], np.arange(LONG)[:, None]))
    return ExplorerState(trace)


def test_a_long_sequence_is_pooled_and_keeps_its_bright_pair(long):
    long.viewport = None

    drawing = weights_drawing(long)

    # 1027 cells in blocks of 3 are 343, the last of which holds one cell.
    assert image(drawing).shape == (343, 343)
    np.testing.assert_allclose(image(drawing)[700 // 3, 300 // 3], 1, rtol=1e-6)
    columns = drawing.sources["attn:weights"]
    assert (columns["x"], columns["dw"]) == ([-0.5], [3 * 343])
    assert drawing.x == (-0.5, LONG - 0.5)


def test_zoomed_in_the_cells_are_exact_and_lie_where_they_belong(long):
    long.viewport = (289.7, 310.2, 705.9, 690.1)

    drawing = weights_drawing(long)

    exact = long.selection.weights
    # What is partly on screen is drawn whole: keys 290 to 310, queries 690 to 706.
    np.testing.assert_array_equal(image(drawing), exact[690:707, 290:311])
    columns = drawing.sources["attn:weights"]
    assert (columns["x"], columns["dw"]) == ([289.5], [21])
    assert (columns["y"], columns["dh"]) == ([689.5], [17])
    # The axes keep the whole range: zooming out again must have somewhere to go.
    assert drawing.x == (-0.5, LONG - 0.5)
    output = output_drawing(long).sources["attn:output"]
    assert (output["y"], output["dh"]) == ([689.5], [17])
    np.testing.assert_array_equal(output["image"][0], long.selection.output[690:707])


@pytest.mark.parametrize(
    "viewport", [(-50, -20, 5, -40), (5000, 6000, 9000, 8000), (3.2, 3.3, 4.4, 4.3)]
)
def test_any_part_on_screen_draws_at_least_one_cell(long, viewport):
    long.viewport = viewport

    for draw in DRAWINGS.values():
        drawing = draw(long)
        assert 0 not in image(drawing).shape
        (columns,) = drawing.sources.values()
        assert columns["x"][0] >= -0.5
        assert columns["dw"][0] >= 1


def test_pooled_per_row_shades_tell_the_exact_largest_weight(long):
    long.viewport = None
    long.weight_scale = "per row"

    columns = weights_drawing(long).sources["attn:weights"]

    long.weight_scale = "square root"
    np.testing.assert_allclose(columns["exact"][0][700 // 3, 300 // 3], 1, rtol=1e-6)
    assert columns["exact"][0].shape == columns["image"][0].shape


# -- what is missing -----------------------------------------------------------------------


def test_recorded_weights_are_drawn_and_scores_are_not():
    state = ExplorerState(trace_of(recorded(query_len=5)), head=2)

    np.testing.assert_array_equal(image(weights_drawing(state)), state.call.recorded_weights[0, 2])
    assert np.isnan(image(scores_drawing(state))).all()
    assert np.isnan(image(output_drawing(state))).all()


@pytest.mark.parametrize("made", [recorded(query_len=5), call(query_len=5, values=False)])
def test_linked_pictures_have_the_same_axes_even_where_one_is_empty(made):
    state = ExplorerState(trace_of(made))

    scores, weights, output = (draw(state) for draw in DRAWINGS.values())

    assert scores.x == weights.x
    assert scores.y == weights.y == output.y


def test_an_empty_picture_is_furnished_like_the_real_one():
    # One plot shows the one or the other, as the layer changes.
    empty = ExplorerState(trace_of(recorded(query_len=5)))
    real = ExplorerState(trace_of(call(query_len=5)))

    for draw in (scores_drawing, output_drawing):
        a, b = draw(empty), draw(real)
        assert (a.x_labels is None) == (b.x_labels is None)
        assert (a.y_labels is None) == (b.y_labels is None)


def test_one_token_and_one_head_are_one_cell():
    state = ExplorerState(toy_trace(T=1, d_model=3, heads=1))

    assert image(weights_drawing(state)).tolist() == [[1.0]]
    assert image(output_drawing(state)).shape == (1, 3)
    for draw in DRAWINGS.values():
        assert draw(state).y == (0.5, -0.5)
