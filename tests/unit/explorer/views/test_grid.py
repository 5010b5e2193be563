"""Layers × heads in one picture."""

import numpy as np

from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views.grid import GAP, TILE, grid_drawing
from attnpanel.models.toy import toy_trace
from tests.hand_made import call, recorded, trace_of

SIDE = TILE + GAP


def tile(mosaic, layer, head):
    """What lies inside the gaps of one tile."""
    top, left = layer * SIDE + GAP // 2, head * SIDE + GAP // 2
    return mosaic[top : top + TILE, left : left + TILE]


def mosaic_of(state):
    return grid_drawing(state).sources["attn:grid"]["image"][0]


def test_every_head_has_its_tile_in_its_layers_row():
    trace = trace_of(call(0, heads=2, query_len=3), call(1, heads=5, query_len=3))
    state = ExplorerState(trace)

    mosaic = mosaic_of(state)

    assert mosaic.shape == (2 * SIDE, 5 * SIDE)
    for layer, heads in ((0, 2), (1, 5)):
        for head in range(heads):
            # 3 × 3 weights on 24 × 24 cells: each is a block of 8 × 8.
            blocks = np.kron(trace.calls[layer].weights(head), np.ones((8, 8)))
            np.testing.assert_allclose(tile(mosaic, layer, head), blocks, rtol=1e-5)
    assert np.isnan(mosaic[:SIDE, 2 * SIDE :]).all()


def test_between_the_tiles_there_is_nothing():
    mosaic = mosaic_of(ExplorerState(toy_trace(T=5, heads=2)))

    inside = np.zeros(mosaic.shape, dtype=bool)
    for head in range(2):
        tile(inside, 0, head)[...] = True
    assert np.isnan(mosaic[~inside]).all()
    assert np.isfinite(mosaic[inside]).all()


def test_a_tile_centre_is_its_layer_and_head():
    drawing = grid_drawing(ExplorerState(trace_of(call(0, heads=3), call(1, heads=3))))

    columns = drawing.sources["attn:grid"]
    assert (columns["x"], columns["dw"]) == ([-0.5], [3])
    assert (columns["y"], columns["dh"]) == ([-0.5], [2])
    assert drawing.x == (-0.5, 2.5)
    assert drawing.y == (1.5, -0.5)


def test_the_outline_is_the_head_or_the_whole_layer_of_the_mean():
    state = ExplorerState(trace_of(call(0, heads=3), call(1, heads=3)), layer=1, head=2)

    assert grid_drawing(state).outline == (1.5, 2.5, 0.5, 1.5)
    state.aggregate = True
    assert grid_drawing(state).outline == (-0.5, 2.5, 0.5, 1.5)


def test_a_chosen_mask_is_seen_in_every_live_tile_and_recorded_ones_stay():
    trace = trace_of(call(0, query_len=3), recorded(1, query_len=3))
    state = ExplorerState(trace, mask="causal", temperature=2.0)

    mosaic = mosaic_of(state)

    np.testing.assert_array_equal(tile(mosaic, 0, 0)[0, 8:], 0)
    blocks = np.kron(trace.calls[1].weights(0), np.ones((8, 8)))
    np.testing.assert_allclose(tile(mosaic, 1, 0), blocks, rtol=1e-6)


def test_layers_of_different_batch_sizes_are_all_drawn():
    trace = trace_of(call(0, batch=3, query_len=3), call(1, batch=1, query_len=3))

    mosaic = mosaic_of(ExplorerState(trace, batch=2))

    expected = np.kron(trace.calls[0].weights(1, 2), np.ones((8, 8)))
    np.testing.assert_allclose(tile(mosaic, 0, 1), expected, rtol=1e-5)


def test_six_layers_of_twelve_heads_fit_on_one_screen():
    trace = trace_of(*(call(index, heads=12, query_len=3) for index in range(6)))

    assert grid_drawing(ExplorerState(trace)).height <= 300
