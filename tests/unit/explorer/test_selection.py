"""What is computed for the head on screen."""

import numpy as np
import pytest

from attnpanel.attention.masks import make_mask
from attnpanel.explorer.selection import OVERVIEW_TILE, overview_tile, pool, select, value_colours
from attnpanel.models.toy import rgb_from_values
from tests.hand_made import call, from_scores, recorded

LIVE = {"mask": None, "temperature": 1.0, "empty_rows": "zero"}


def test_a_head_by_hand():
    # Scores 0 and ln 3 weigh 1/4 and 3/4; values 8 and 4 then mix to 5.
    shown = select(from_scores([[0, np.log(3)]], [[8.0], [4.0]]), 0, 0, **LIVE)

    np.testing.assert_allclose(shown.weights, [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(shown.output, [[5.0]], rtol=1e-6)
    np.testing.assert_allclose(shown.scores, [[0, np.log(3)]], rtol=1e-6)
    assert shown.visible.all()
    assert not shown.empty.any()


@pytest.mark.parametrize("kv_heads", [6, 2, 1])
@pytest.mark.parametrize("chosen", [None, "causal"])
def test_the_mean_is_the_mean_over_the_heads(kv_heads, chosen):
    made = call(heads=6, kv_heads=kv_heads, query_len=5, key_len=7, batch=2)
    options = {**LIVE, "mask": None if chosen is None else make_mask(chosen, 5, 7)}

    mean = select(made, None, 1, **options)

    each = [select(made, head, 1, **options) for head in range(6)]
    for part in ("scores", "weights", "output"):
        expected = np.mean([getattr(one, part) for one in each], axis=0, dtype=np.float64)
        np.testing.assert_allclose(getattr(mean, part), expected, rtol=1e-5, atol=1e-6)


def test_the_mean_of_recorded_weights_is_their_mean():
    made = recorded(heads=3)

    shown = select(made, None, 0, **LIVE)

    np.testing.assert_allclose(shown.weights, made.recorded_weights[0].mean(axis=0), rtol=1e-6)
    assert shown.scores is None
    assert shown.output is None


def test_a_pair_is_masked_in_the_mean_only_where_every_head_masks_it():
    mask = np.ones((1, 2, 2, 2), dtype=bool)
    mask[0, 0, 0, 1] = mask[0, :, 1, 0] = False
    made = call(heads=2, query_len=2, mask=mask)

    np.testing.assert_array_equal(select(made, None, 0, **LIVE).visible, [[1, 1], [0, 1]])
    np.testing.assert_array_equal(select(made, 0, 0, **LIVE).visible, [[1, 0], [0, 1]])


def test_a_chosen_mask_stands_in_place_of_the_models():
    made = call(query_len=3, causal="top_left")
    backwards = ~make_mask("causal", 3)

    shown = select(made, 0, 0, **{**LIVE, "mask": backwards})

    np.testing.assert_array_equal(shown.weights > 0, backwards)
    np.testing.assert_array_equal(shown.empty, [False, False, True])


@pytest.mark.parametrize("head", [0, None])
def test_a_key_hidden_by_the_bias_is_masked_under_any_mask(head):
    bias = np.zeros((1, 1, 3, 3), dtype=np.float32)
    bias[..., 0, 2] = bias[..., 1, :] = -np.inf
    made = call(query_len=3, bias=bias)

    shown = select(made, head, 0, **{**LIVE, "mask": make_mask("none", 3)})

    np.testing.assert_array_equal(shown.visible, [[1, 1, 0], [0, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(shown.empty, [False, True, False])


@pytest.mark.parametrize(
    ("policy", "row"), [("zero", [0, 0]), ("uniform", [0.5, 0.5]), ("nan", [np.nan, np.nan])]
)
def test_an_empty_row_follows_its_policy(policy, row):
    hidden = np.array([[True, True], [False, False]])

    shown = select(from_scores(np.eye(2)), 0, 0, **{**LIVE, "mask": hidden, "empty_rows": policy})

    np.testing.assert_array_equal(shown.weights[1], row)
    np.testing.assert_array_equal(shown.empty, [False, True])


# -- paint ---------------------------------------------------------------------------------


def test_the_paint_of_a_head_is_that_of_the_values_it_reads():
    made = call(batch=2, heads=6, kv_heads=2, query_len=5, key_len=7)
    colours = rgb_from_values(made.value[1], 3)

    for head, shared in enumerate([0, 0, 0, 1, 1, 1]):
        np.testing.assert_array_equal(value_colours(made, head, 1, seed=3), colours[shared])
    np.testing.assert_allclose(value_colours(made, None, 1, seed=3), colours.mean(axis=0))


def test_without_values_there_is_no_paint():
    assert value_colours(call(values=False), 0, 0, seed=0) is None


# -- the overview --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made", [call(heads=6, kv_heads=2, query_len=5, key_len=7, batch=2), recorded(heads=6, batch=2)]
)
def test_a_small_tile_is_the_weights_themselves(made):
    options = {**LIVE, "mask": None}

    tile = overview_tile(made, 4, 1, **options)

    np.testing.assert_allclose(tile, made.weights(4, 1), rtol=1e-6)


def test_a_tile_follows_mask_bias_cap_sink_and_temperature():
    bias = np.random.default_rng(0).standard_normal((3, 5, 7)).astype(np.float32)
    sinks = np.array([0, 0, 1], np.float32)
    made = call(query_len=5, key_len=7, bias=bias, soft_cap=0.5, sinks=sinks)
    options = {"mask": make_mask("causal", 5, 7), "temperature": 3.0, "empty_rows": "zero"}

    expected = select(made, 2, 0, **options).weights
    np.testing.assert_allclose(overview_tile(made, 2, 0, **options), expected, rtol=1e-5)


def test_a_long_tile_keeps_a_single_bright_key():
    # 211 queries, of which 96 are read; every one looks at key 150 alone.
    scores = np.zeros((211, 211))
    scores[:, 150] = 60

    tile = overview_tile(from_scores(scores), 0, 0, **LIVE)

    # 9 keys a block: key 150 lies in block 16. 96 queries in blocks of 4 are 24.
    assert tile.shape == (24, 24)
    assert max(tile.shape) <= OVERVIEW_TILE
    np.testing.assert_allclose(tile[:, 16], 1, rtol=1e-6)
    np.testing.assert_allclose(np.delete(tile, 16, axis=1), 0, atol=1e-20)


def test_an_empty_row_that_is_nan_is_dark_in_a_tile():
    options = {"mask": np.zeros((3, 3), dtype=bool), "temperature": 1.0, "empty_rows": "nan"}

    np.testing.assert_array_equal(overview_tile(call(query_len=3), 0, 0, **options), 0)


def test_pooling_keeps_the_largest_of_each_block():
    matrix = np.array(
        [
            [1, 2, 3, 4, 5],
            [6, 7, 8, 9, 0],
            [9, 1, 1, 1, 2],
        ]
    )

    np.testing.assert_array_equal(pool(matrix, 2, 3), [[7, 9, 5], [9, 1, 2]])
    np.testing.assert_array_equal(pool(matrix, 1, 1), [[9]])
    np.testing.assert_array_equal(pool(matrix, 3, 5), matrix)


def test_pooling_takes_nan_for_the_smallest():
    matrix = np.array([[np.nan, -3.0, np.nan, np.nan], [np.nan, -5.0, np.nan, np.nan]])

    np.testing.assert_array_equal(pool(matrix, 1, 2), [[-3.0, np.nan]])


@pytest.mark.parametrize("head", [1, None])
@pytest.mark.parametrize("own_mask", [True, False])
@pytest.mark.parametrize("made", [call, recorded])
def test_a_large_matrix_is_the_same_by_blocks_of_queries(monkeypatch, head, own_mask, made):
    of = made(0, heads=2, query_len=13)
    mask = None if own_mask or not of.live else np.tri(13, dtype=bool)
    options = {"mask": mask, "temperature": 1.0 if mask is None else 0.5, "empty_rows": "uniform"}
    whole = select(of, head, 0, **options)
    monkeypatch.setattr("attnpanel.explorer.selection.WHOLE_CELLS", 1)
    monkeypatch.setattr("attnpanel.analysis.query_blocks.BLOCK_CELLS", 5 * 13)

    blocks = select(of, head, 0, **options)

    for name in ("scores", "weights", "output"):
        expected, got = getattr(whole, name), getattr(blocks, name)
        assert (expected is None) == (got is None)
        if expected is not None:
            assert got.dtype == expected.dtype
            np.testing.assert_allclose(got, expected, atol=1e-6)  # products of other shapes
    np.testing.assert_array_equal(blocks.visible, whole.visible)
    np.testing.assert_array_equal(blocks.empty, whole.empty)
