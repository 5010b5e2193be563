"""drawings.js computes the selections of Python and draws them as Python does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attnpanel.analysis import entropy
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views import VIEWS
from attnpanel.explorer.views.grid import grid_drawing, tile_outline
from attnpanel.explorer.views.heatmaps import row_outline
from attnpanel.trace import Trace
from attnpanel.ui.theme import hex_colour
from tests.browser_kernel.explorers import (
    assert_same_drawing,
    call,
    choices,
    opened_page,
    selection_of,
    states,
    traces,
)

TRACES = traces()
# The line view draws other heads, too, than the selection's: see test_lines_js.py.
PICTURES = {
    view.name: view.draw for view in VIEWS if view.drawn == "at once" and view.name != "lines"
}


def laws(name: str) -> settings:
    """A long sequence has megabytes to send for every state."""
    return settings(max_examples=4 if name == "long" else 15, deadline=None)


@pytest.fixture(scope="module")
def page():
    with opened_page() as page:
        yield page


def each_trace(test):
    return pytest.mark.parametrize("name", TRACES)(test)


def for_states(name: str, check) -> None:
    """Hold `check` for drawn states of a trace."""

    @laws(name)
    @given(states(TRACES[name]))
    def held(state):
        check(state)

    held()


def by_hand(name: str = "toy", **chosen) -> ExplorerState:
    return ExplorerState(TRACES[name], **chosen)


def limit_of(state: ExplorerState) -> float:
    """float32 scores of a few units are 2e-6 apart at most; a temperature below 1 magnifies it."""
    return 2e-6 * max(1, 1 / state.temperature)


# -- what is computed ------------------------------------------------------------------------


@each_trace
def test_the_selection_has_the_numbers_of_select(page, name):
    def check(state):
        made, expected = page.selected(state), selection_of(state)

        assert made.keys() == expected.keys()
        assert (made["T"], made["S"]) == (expected["T"], expected["S"])
        for part in ("visible", "empty"):
            np.testing.assert_array_equal(made[part], expected[part].ravel())
        for part, limit in (("scores", 2e-6), ("weights", 0), ("output", 0)):
            if expected[part] is None:
                assert made[part] is None
                continue
            atol = limit_of(state) * (5 if part == "output" else 1)  # values reach a few units
            np.testing.assert_allclose(
                made[part], expected[part].ravel(), rtol=limit, atol=atol, err_msg=part
            )
            assert made[part].dtype == np.float32

    for_states(name, check)


@each_trace
def test_each_rows_entropy_is_that_of_the_analysis(page, name):
    def check(state):
        made, weights = page.ask("measureEntropy", state), np.nan_to_num(state.selection.weights)

        expected = [entropy(row[None]) if row.any() else np.nan for row in weights]
        np.testing.assert_allclose(made["entropy"], expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(made["seen"], state.selection.visible.sum(axis=-1))

    for_states(name, check)


def test_a_mean_by_hand(page):
    # Scores are 0 and ln 3 in the first head, 0 and 0 in the second: weights 1/4, 3/4 and 1/2, 1/2.
    query = np.array([np.log(3), 0], np.float32).reshape(1, 2, 1, 1)
    key = np.array([0, 1, 0, 1], np.float32).reshape(1, 2, 2, 1)
    value = np.array([8, 4, 0, 16], np.float32).reshape(1, 2, 2, 1)
    one = call(query=query, key=key, value=value, kind="cross")
    state = ExplorerState(Trace([one], source="capture"), aggregate=True)

    mean = page.selected(state)

    np.testing.assert_allclose(mean["weights"], [0.375, 0.625], rtol=1e-6)
    np.testing.assert_allclose(mean["scores"], [0, np.log(3) / 2], rtol=1e-6)
    np.testing.assert_allclose(mean["output"], [(5 + 8) / 2], rtol=1e-6)


@pytest.mark.parametrize(
    "choice",
    [
        {"query_index": 3},
        {"viewport": (1.0, 4.0, 2.0, 5.0)},
        {"dark": True},
        {"weight_scale": "per row"},
        {"color_seed": 7},
        {"pair": (1, 2)},
        {"window": 2},
        {"align": "bottom_right"},
        {"pad_len": 2},
    ],
    ids=lambda choice: next(iter(choice)),
)
def test_what_changes_no_weight_computes_nothing(page, choice):
    page.show(TRACES["toy"])
    before, after = by_hand(), by_hand(**choice)

    assert page("sameSelection", choices(before), choices(after))
    assert not page("sameSelection", choices(before), choices(by_hand(temperature=2)))


@pytest.mark.parametrize("aggregate", [False, True])
def test_temperature_mask_and_policy_multiply_no_queries(page, aggregate):
    page.show(TRACES["toy"])
    page.selected(by_hand(aggregate=aggregate))
    read = page("queriesReadNow")

    for choice in ({"temperature": 2}, {"mask": "causal"}, {"empty_rows": "nan"}):
        page.selected(by_hand(aggregate=aggregate, **choice))

    assert read == (4 if aggregate else 1)
    assert page("queriesReadNow") == 0


def test_the_scores_that_are_kept_take_no_more_than_they_may(page):
    page.show(TRACES["toy"], mostBytes=3 * 8 * 8 * 4)
    for head in range(4):
        page.selected(by_hand(head=head))
    page("queriesReadNow")

    assert page("scoreBytes") == 3 * 8 * 8 * 4
    for head in (3, 2, 1):
        page.selected(by_hand(head=head))
    assert page("queriesReadNow") == 0
    page.selected(by_hand(head=0))
    assert page("queriesReadNow") == 1


@pytest.mark.parametrize("choice", [{}, {"mask": "causal", "temperature": 0.5}])
def test_a_mean_whose_scores_do_not_fit_in_the_cache_is_the_same(page, choice):
    page.show(TRACES["toy"])
    expected = page.selected(by_hand(aggregate=True, **choice))
    page.show(TRACES["toy"], mostBytes=3 * 8 * 8 * 4)
    page.selected(by_hand(head=2))  # one head's scores are cached, and must survive

    for _ in range(2):
        mean = page.selected(by_hand(aggregate=True, **choice))
        for name in ("scores", "weights", "output", "visible", "empty"):
            np.testing.assert_array_equal(mean[name], expected[name])
        page.selected(by_hand(head=2))
    assert page("scoreBytes") == 8 * 8 * 4


# -- how it is drawn -------------------------------------------------------------------------


@pytest.mark.thorough(but=4)
@each_trace
def test_pictures_of_one_selection_are_pythons_in_every_column(page, name):
    def check(state):
        for picture, draw in PICTURES.items():
            assert_same_drawing(page.ask(f"{picture}Drawing", state), draw(state))

    for_states(name, check)


@pytest.mark.parametrize("mask", ["none", "model", "causal"])
def test_a_bias_that_hides_a_key_from_some_heads_leaves_no_score_of_their_mean(page, mask):
    state = by_hand("bias", mask=mask, aggregate=True)
    hidden = state.selection.visible & np.isneginf(state.selection.scores)
    assert hidden.any(), "this state must tell"

    made = page.ask("scoresDrawing", state)

    assert_same_drawing(made, PICTURES["scores"](state))
    assert np.isnan(made["sources"]["attn:scores"]["image"][0][hidden.ravel()]).all()


@each_trace
def test_pictures_of_what_is_computed_here_are_within_2e_6_of_pythons(page, name):
    def check(state):
        for picture in ("scores", "weights", "output"):
            expected = PICTURES[picture](state)
            made = page("drawn", picture, choices(state))
            # Of "per row" and of values, a few units are the whole.
            assert_same_drawing(made, expected, atol=5 * limit_of(state))

    page.show(TRACES[name])
    for_states(name, check)


def test_more_cells_than_pixels_are_pooled_until_one_zooms_in(page):
    whole = by_hand("long", layer=0)
    part = by_hand("long", layer=0, viewport=(9.6, 40.2, 600.4, 500.0))
    # 699 keys are two cells to a block, like 700; 512 are drawn one by one.
    edges = by_hand("long", layer=0, viewport=(1.0, 699.0, 0.0, 511.0))

    drawn = {
        state: page.ask("weightsDrawing", state)["sources"]["attn:weights"]
        for state in (whole, part, edges)
    }

    sizes = [(columns["rows"], columns["columns"]) for columns in drawn.values()]
    assert sizes == [(350, 350), (101, 31), (512, 350)]
    assert drawn[part]["x"] == [9.5]
    assert drawn[part]["dw"] == [31]
    for state, picture in ((whole, "weights"), (part, "scores"), (edges, "output")):
        assert_same_drawing(page.ask(f"{picture}Drawing", state), PICTURES[picture](state))


def test_of_equally_heavy_tokens_the_earlier_are_shown(page):
    # All 23 first keys are equally heavy, the last seven have no weight at all.
    even = np.zeros((1, 2, 23, 30, 1), np.float32)
    flat = call(
        query=even[..., 0, :], key=even[:, :, 0].repeat(30, axis=2)[:, :, :30], value=None,
        kind="cross", q_offset=0,
    )  # fmt: skip
    state = ExplorerState(Trace([flat], source="capture"), mask="key_padding", pad_len=23)

    row, swatches = (page.ask(f"{name}Drawing", state)["sources"] for name in ("row", "swatches"))

    np.testing.assert_array_equal(row["attn:row:labels"]["x"], np.arange(16))
    np.testing.assert_array_equal(swatches["attn:swatches"]["key_index"], [*range(19), -1])
    expected = PICTURES["swatches"](state).sources["attn:swatches"]["weight"]
    np.testing.assert_allclose(swatches["attn:swatches"]["weight"], expected, atol=1e-12)


def test_tokens_without_any_weight_show_their_mean_colour(page):
    state = by_hand("thirty keys", mask="padding", pad_len=0)

    swatches = page.ask("swatchesDrawing", state)["sources"]["attn:swatches"]

    # The first 19 are shown one by one.
    assert swatches["color"][-1] == hex_colour(state.colours[19:].mean(axis=0))
    assert swatches["weight"][-1] == 0


@given(st.integers(0, 2**24 - 1))
@example(0x767676)
@example(0x757575)
def test_text_on_a_colour_is_the_readable_one(page, number):
    from attnpanel.explorer.views.swatches import readable_on

    colour = f"#{number:06x}"

    assert page("readableOn", colour) == readable_on(colour)


# -- the overview ----------------------------------------------------------------------------


@each_trace
def test_the_overview_is_pythons(page, name):
    def check(state):
        made = page("drawn", "grid", choices(state))

        assert_same_drawing(made, grid_drawing(state), atol=limit_of(state))

    page.show(TRACES[name])
    for_states(name, check)


def test_the_overview_grows_tile_by_tile(page):
    state = by_hand("recorded and live")
    page.show(state.trace)

    def tiles(made):
        mosaic = made["sources"]["attn:grid"]["image"][0].reshape(3, 26, 3, 26)
        return (~np.isnan(mosaic)).any(axis=(1, 3)).tolist()

    grown = [tiles(page("gridAfter", steps, choices(state))) for steps in (0, 3, 7)]

    assert grown[0] == [[False] * 3] * 3
    assert grown[1] == [[True, True, False], [True, False, False], [False] * 3]
    assert grown[2] == [[True, True, False], [True] * 3, [True, True, False]]


def test_choosing_a_tile_makes_none_anew(page):
    page.show(TRACES["grouped keys"])
    page("drawn", "grid", choices(by_hand("grouped keys")))
    made = page("queriesReadNow")

    page("drawn", "grid", choices(by_hand("grouped keys", head=3, query_index=2, dark=True)))
    kept = page("queriesReadNow")
    page("drawn", "grid", choices(by_hand("grouped keys", temperature=2)))

    assert (made, kept, page("queriesReadNow")) == (6, 0, 6)


# -- the table of pictures -------------------------------------------------------------------


def test_the_page_draws_every_row_of_the_table(page):
    table = page("table")

    assert sorted(table["names"]) == sorted(view.name for view in VIEWS)
    assert set(table["outlined"]) == {view.name for view in VIEWS if view.moves}


@pytest.mark.parametrize("aggregate", [False, True])
def test_outlines_are_pythons(page, aggregate):
    state = by_hand("recorded and live", layer=1, head=2, query_index=4, aggregate=aggregate)

    assert page.ask("rowOutline", state) == list(row_outline(state))
    assert page.ask("tileOutline", state) == list(tile_outline(state))
