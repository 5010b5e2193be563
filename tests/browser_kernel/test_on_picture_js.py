"""The card "On the picture" lays out the weights that NumPy computes as the patches lie."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from attnpanel import attend
from attnpanel.attention.masks import make_mask
from attnpanel.trace import Trace
from attnpanel.trace.picture import Grid, Picture
from tests.browser_kernel.conftest import node_running
from tests.browser_kernel.explorers import call, data_of, hiding_bias, recorded

HERE = Path(__file__).parent
ROWS, COLUMNS, TEXT = 2, 3, 5
# A tower of CLS and patches, and a text around the same patches that may grow.
TOWER = Grid(ROWS, COLUMNS, 7, 1, ("CLS",))
STORY = Grid(ROWS, COLUMNS, 11, 3, grows=True)
STATE = {
    "layer": 0,
    "head": 1,
    "batch": 0,
    "aggregate": False,
    "query_index": 2,
    "pair": None,
    "viewport": None,
    "temperature": 1,
    "mask": "model",
    "empty_rows": "zero",
    "align": "top_left",
    "weight_scale": "linear",
    "skip_first": False,
    "dark": False,
}
CALLS = (
    call(0, query_len=7),
    call(1, query_len=13, causal="top_left"),
    call(2, query_len=TEXT, key_len=7),
    call(3, query_len=7, key_len=TEXT),
    call(4, query_len=7, bias=hiding_bias(1, 3, 7, 7, empty=4), sinks=np.array([0, 1, 2], "f4")),
    recorded(5),
    call(6, query_len=TEXT),
    call(7, batch=12, query_len=6),
)
# Two images of 4 × 9 patches in 2 × 3 windows of 2 × 3, moved by one row and two columns.
MOVED = Grid(2, 3, 6, layers=("layer.7",), windows=(2, 3), shift=(1, 2))


def moved_windows():
    """Return each window's patches as numbers of the whole picture, as torch would roll them."""
    rolled = np.roll(np.arange(36).reshape(4, 9), (-1, -2), (0, 1))
    return rolled.reshape(2, 2, 3, 3).transpose(0, 2, 1, 3).reshape(6, 6)


@pytest.fixture(scope="module")
def page():
    trace = Trace(CALLS, source="capture", query_tokens=[list("abcdefghijklm")])
    trace.picture = Picture((), (TOWER, STORY, MOVED))
    grids = [asdict(grid) for grid in trace.picture.grids]
    data = data_of(trace) | {"picture": {"images": ["data:image/png;base64,"], "grids": grids}}
    with node_running(HERE / "drawings.mjs") as page:
        page("show", data, {})
        yield page


@pytest.fixture(scope="module")
def shown(page):
    return lambda direction="looks", **changes: page("onPictureOf", STATE | changes, direction)


def weights_of(layer, head, **options):
    return np.nan_to_num(CALLS[layer].weights(head, **options))


@pytest.mark.parametrize(("layer", "grid"), [(0, TOWER), (1, STORY), (4, TOWER), (5, TOWER)])
@pytest.mark.parametrize("query", [0, 2, 4])
def test_the_heat_is_the_row_or_the_column_of_the_chosen_token(shown, layer, grid, query):
    weights = weights_of(layer, 1)
    cells = slice(grid.start, grid.start + grid.size)
    looks = shown(layer=layer, query_index=query)
    seen = shown("seen", layer=layer, query_index=query)

    np.testing.assert_allclose(looks["heat"], weights[query, cells], atol=1e-6)
    np.testing.assert_allclose(seen["heat"], weights[cells, query], atol=1e-6)
    beside = [token for token in range(len(weights)) if not 0 <= token - grid.start < grid.size]
    for content, shades in ((looks, weights[query]), (seen, weights[:, query])):
        assert [other["token"] for other in content["others"]] == beside
        np.testing.assert_allclose(
            [other["weight"] for other in content["others"]], shades[beside], atol=1e-6
        )
        inside = 0 <= query - grid.start < grid.size
        assert content["selected"] == (query - grid.start if inside else None)
        assert content["otherChosen"] == query
        assert (content["sends"], content["otherSends"]) == ("token", "token")


@pytest.mark.parametrize(
    ("layer", "changes", "options"),
    [
        (0, {}, {}),
        (0, {"temperature": 0.5}, {"temperature": 0.5}),
        (0, {"mask": "causal"}, {"mask": make_mask("causal", 7)}),
        (1, {"mask": "none"}, {"mask": None}),
        (4, {}, {}),
        (5, {}, {}),
    ],
)
def test_each_head_has_its_own_row(shown, layer, changes, options):
    grid = STORY if layer == 1 else TOWER
    heads = shown(layer=layer, **changes)["heads"]

    assert [head["head"] for head in heads] == list(range(CALLS[layer].heads))
    for head in heads:
        expected = weights_of(layer, head["head"], **options)[2, grid.start :][: grid.size]
        np.testing.assert_allclose(head["heat"], expected, atol=1e-6)


def test_the_row_is_attends(shown):
    (query, key), grid = (
        (array[0, 1].astype(float) for array in (CALLS[0].query, CALLS[0].key)),
        TOWER,
    )
    weights = attend(query, key, None, scale=CALLS[0].scale).weights
    np.testing.assert_allclose(shown()["heat"], weights[2, grid.start :], atol=1e-6)


def test_a_text_looks_at_the_picture_and_the_picture_at_a_text(shown):
    text, picture = shown(layer=2, query_index=4), shown(layer=3, pair=[1, 3])

    np.testing.assert_allclose(text["heat"], weights_of(2, 1)[4, 1:], atol=1e-6)
    assert (text["directions"], text["sends"], text["otherSends"]) == (["looks"], "key", "token")
    assert [other["token"] for other in text["others"]] == list(range(TEXT))
    np.testing.assert_allclose(picture["heat"], weights_of(3, 1)[1:, 3], atol=1e-6)
    assert (picture["directions"], picture["sends"]) == (["seen"], "token")
    assert (picture["otherSends"], picture["otherChosen"]) == ("key", 3)
    assert picture["heads"] == []


def test_a_layer_without_patches_says_which_layers_have_them(shown):
    content = shown(layer=6)
    assert set(content) == {"missing", "heads"}
    assert content["missing"].startswith(
        "The tokens of this layer (5 queries, 5 keys) are no patches of the picture. Those of 7 "
    )


def test_the_sentence_has_the_share_and_the_largest_patches(shown):
    weights = weights_of(0, 1)[2, 1:]
    first = int(weights.argmax())
    sentence = shown()["sentence"]
    share, largest = 100 * weights.sum(), weights[first]
    assert sentence.startswith(f"The patch in row 0, column 1 gives the picture {share:.3g} %")
    assert f"most of it to row {first // 3}, column {first % 3} ({largest:.3g});" in sentence


@pytest.mark.parametrize("batch", [0, 4, 11])
def test_a_window_lies_where_it_was_cut_and_every_patch_leads_to_its_window(page, batch):
    windows = moved_windows()
    places = page("placesOf", asdict(MOVED), batch)

    np.testing.assert_array_equal(places["cells"], windows[batch % 6])
    for cell, (sequence, token) in enumerate(places["tokens"]):
        assert sequence // 6 == batch // 6
        assert windows[sequence % 6, token] == cell


def test_the_heat_of_a_window_is_its_own_and_unknown_elsewhere(shown):
    content = shown(layer=7, batch=10, query_index=5)

    expected = np.full(36, np.nan)
    expected[moved_windows()[4]] = CALLS[7].weights(1, 10)[5]
    heat = np.array([np.nan if one is None else one for one in content["heat"]], float)
    np.testing.assert_allclose(heat, expected, atol=1e-6)
    assert (content["rows"], content["columns"]) == (4, 9)
    assert content["selected"] == moved_windows()[4, 5]
