"""Reports of unusual traces: without values, weights alone, one token, huge numbers, long ones."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from attnpanel.explorer.state import ExplorerState
from tests.browser.acting import choose, control, is_dimmed, open_more, tap
from tests.browser.reading import palette, sentence, settle
from tests.browser.report_page import fragment, go
from tests.browser.report_pictures import assert_shows, image, pictures
from tests.browser.report_traces import stored

pytest_plugins = ["tests.browser.reports"]

RECORDED, ONE, HUGE, LONG = range(4)


@pytest.fixture
def odd(on_screen):
    return on_screen("odd")


def show(opened, **choices):
    state = ExplorerState(stored(opened.trace), **choices)
    go(opened.page, state)
    return state


# -- weights alone ---------------------------------------------------------------------------


@pytest.mark.thorough
def test_recorded_weights_are_shown_as_they_were_recorded(odd):
    for head in (0, 1):
        state = show(odd, layer=RECORDED, head=head, query_index=3)

        assert_shows(odd.page, state)
        weights = odd.trace.calls[RECORDED].recorded_weights[0, head]
        # Half a unit of float16 below 1.
        np.testing.assert_allclose(image(odd.page, "weights"), weights, rtol=0, atol=2.0**-12)


def test_mask_and_temperature_are_idle_where_weights_alone_were_recorded(odd):
    show(odd, layer=RECORDED)

    for label in ("Temperature", "Mask", "Pad length", "Paint seed"):
        assert is_dimmed(odd.page, label), label
    assert not is_dimmed(odd.page, "Head")
    choose(odd.page, Layer=HUGE)
    assert not is_dimmed(odd.page, "Temperature")


def test_what_weights_alone_do_not_give_is_said_where_it_would_stand(odd):
    reason = odd.page.get_by_text("Only the weights were recorded: another temperature")
    show(odd, layer=RECORDED)
    expect(reason).to_be_visible()

    show(odd, layer=HUGE)
    reason.wait_for(state="hidden")


def test_a_report_says_that_weights_alone_were_recorded(odd):
    footer = " ".join(odd.page.locator(".attn-footer .attn-caption").all_inner_texts())

    assert "Some layers hold recorded weights only: mask and temperature can't be live" in footer


def test_scores_that_were_not_recorded_are_not_invented(odd):
    show(odd, layer=RECORDED)

    assert np.isnan(image(odd.page, "scores")).all()
    assert np.isnan(image(odd.page, "output")).all()


# -- small and large -------------------------------------------------------------------------


def test_one_token_and_one_head_are_shown(odd):
    state = show(odd, layer=ONE)

    assert_shows(odd.page, state)
    assert image(odd.page, "weights").tolist() == [[1.0]]
    for label in ("Head", "Mean of heads", "Token"):
        assert is_dimmed(odd.page, label), label


def test_numbers_beyond_float16_are_kept_in_float32(odd):
    state = show(odd, layer=HUGE, head=1, query_index=2)

    assert_shows(odd.page, state)
    exact = ExplorerState(odd.trace, layer=HUGE, head=1).selection.weights
    np.testing.assert_allclose(image(odd.page, "weights"), exact, rtol=0, atol=1e-6)
    assert "float32" in odd.page.locator(".attn-caption-provenance p").inner_text()


@pytest.mark.thorough
def test_a_long_sequence_is_pooled_and_drawn_cell_by_cell_when_zoomed(odd):
    state = show(odd, layer=LONG, query_index=650)
    assert image(odd.page, "weights").shape == (350, 350)
    assert_shows(odd.page, state)

    zoom(odd.page, (9.6, 40.2), (600.4, 500.0))

    state.viewport = (9.6, 40.2, 600.4, 500.0)
    assert image(odd.page, "weights").shape == (101, 31)
    assert_shows(odd.page, state)
    zoom(odd.page, (-0.5, 699.5), (699.5, -0.5))
    state.viewport = None
    assert_shows(odd.page, state)


@pytest.mark.thorough
def test_a_zoom_ends_with_the_layer(odd):
    show(odd, layer=LONG)
    zoom(odd.page, (9.6, 40.2), (600.4, 500.0))

    state = show(odd, layer=HUGE)

    assert_shows(odd.page, state)
    assert_shows(odd.page, show(odd, layer=LONG))


def zoom(page, across, down):
    """Show a part of the heatmaps, as Bokeh's zoom tools do."""
    page.evaluate(
        """([[left, right], [first, last]]) => {
          const {x_range, y_range} = Bokeh.documents[0].get_model_by_name("attn:plot:weights")
          x_range.setv({start: left, end: right})
          y_range.setv({start: first, end: last})
        }""",
        [across, down],
    )
    settle(page)


@pytest.mark.thorough
def test_a_tap_in_a_zoomed_picture_chooses_the_token_that_is_there(odd):
    show(odd, layer=LONG)
    zoom(odd.page, (9.6, 40.2), (600.4, 500.0))

    tap(odd.page, "weights", 20, 555)

    assert fragment(odd.page).items() >= {"token": "555"}.items()
    zoom(odd.page, (-0.5, 699.5), (699.5, -0.5))


# -- without values --------------------------------------------------------------------------


@pytest.mark.thorough
def test_without_values_there_is_no_mix_and_all_else(on_screen):
    opened = on_screen("kinds", values=False, color_seed=3)
    for layer in range(3):
        state = show(opened, layer=layer, head=2, query_index=1)
        shown = pictures(opened.page)
        for view, name in (("scores", "attn:scores"), ("weights", "attn:weights")):
            expected = getattr(state.selection, view)
            seen = np.isfinite(shown[view][0][name]["image"][0])
            assert seen.any()
            np.testing.assert_allclose(
                shown[view][0][name]["image"][0][seen], expected[seen], rtol=1e-6, atol=1e-6
            )
        assert np.isnan(shown["output"][0]["attn:output"]["image"][0]).all()


@pytest.mark.thorough
def test_without_values_paints_are_those_of_the_seed(on_screen):
    opened = on_screen("kinds", values=False, color_seed=3)
    for choices in ({"head": 4}, {"aggregate": True}, {"layer": 1, "batch": 1, "head": 2}):
        state = ExplorerState(opened.trace, color_seed=3, query_index=2, **choices)
        go(opened.page, state)
        made = pictures(opened.page)["swatches"][0]

        # Colours of three channels, kept as float16.
        expected = np.array([[int(c * 255 + 0.5) for c in paint] for paint in state.colours])
        painted = [
            [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
            for colour in made["attn:swatches"]["color"]
        ]
        assert np.abs(np.array(painted) - expected).max() <= 1


@pytest.mark.thorough
def test_without_values_the_paint_seed_is_idle_and_the_page_says_why(on_screen):
    opened = on_screen("kinds", values=False, color_seed=3)
    show(opened, layer=0)

    assert is_dimmed(opened.page, "Paint seed")
    open_more(opened.page, "Paint seed")
    expect(control(opened.page, "Paint seed")).to_be_visible()
    footer = " ".join(opened.page.locator(".attn-footer .attn-caption").all_inner_texts())
    assert "Values were left out to keep the file small" in footer
    assert "no values were kept" in opened.page.locator(".attn-caption-output small").inner_text()


def test_a_masked_row_is_told_in_words(on_screen):
    opened = on_screen("toy")
    go(opened.page, ExplorerState(opened.trace, mask="padding", pad_len=4, query_index=6))

    assert "may see no key" in sentence(opened.page) or "sees no key" in sentence(opened.page)
    assert len(palette(opened.page, "weights")) == 256
