"""Taps, keys and the pointer on a report."""

from __future__ import annotations

import pytest

from attnpanel.attention.mask_table import MASKS
from attnpanel.explorer.state import ExplorerState
from tests.browser.acting import (
    hover,
    position,
    press,
    tap,
)
from tests.browser.reading import outlined, place, ring, sentence, settle, tooltip
from tests.browser.report_page import fragment
from tests.browser.report_traces import stored

pytest_plugins = ["tests.browser.reports"]


def token(opened):
    return int(fragment(opened.page)["token"])


@pytest.mark.parametrize("view", ["scores", "weights", "output"])
def test_a_tap_on_a_heatmap_chooses_the_token_of_its_row(toy_report, view):
    tap(toy_report.page, view, 1, 3)

    assert token(toy_report) == 3
    assert position(toy_report.page, "Token") == 3
    assert outlined(toy_report.page, view) == (2.5, 3.5)


def test_a_slow_tap_is_one_too(toy_report):
    page = toy_report.page
    page.mouse.move(*place(page, "weights", 1, 5))
    page.evaluate(
        """() => Bokeh.documents[0].get_model_by_name("attn:plot:weights")
          .on_event("press", () => { window.attnPressed = true })"""
    )
    page.mouse.down()
    page.wait_for_function("window.attnPressed")  # Bokeh has given up waiting for a tap
    page.mouse.up()
    settle(page)

    assert token(toy_report) == 5


def test_a_tap_on_a_bar_chooses_its_token(toy_report):
    tap(toy_report.page, "row", 4, 0.02)

    assert token(toy_report) == 4


def test_a_tap_on_a_swatch_chooses_its_token(toy_report):
    tap(toy_report.page, "swatches", 0.05, 2)

    assert token(toy_report) == 2


def test_a_tap_on_a_token_chooses_it(toy_report):
    toy_report.page.locator(".attn-chips button").get_by_text("t5", exact=True).click()
    settle(toy_report.page)

    assert token(toy_report) == 5
    assert toy_report.page.locator(".attn-chips .selected").inner_text() == "t5"


@pytest.mark.parametrize(
    ("keys", "name", "value"),
    [
        (["ArrowDown"], "token", "7"),
        (["ArrowUp", "ArrowUp"], "token", "4"),
        (["Home"], "token", "0"),
        (["Home", "End"], "token", "7"),
        (["ArrowRight", "ArrowRight"], "head", "2"),
        (["ArrowRight", "ArrowLeft", "ArrowLeft"], "head", "0"),
        (["m"], "mask", "padding"),
        (["m"] * len(MASKS), "mask", "none"),
        (["f"], "nosink", "1"),
    ],
    ids=lambda part: "+".join(part) if isinstance(part, list) else "",
)
def test_keys_move_the_choices(toy_report, keys, name, value):
    press(toy_report.page, *keys)

    assert fragment(toy_report.page)[name] == value


def test_hovering_tells_the_pair_in_a_sentence_and_a_tooltip(toy_report):
    hover(toy_report.page, "weights", 2, 5)

    state = ExplorerState(stored(toy_report.trace), query_index=6)
    weight = state.selection.weights[5, 2]
    assert sentence(toy_report.page).startswith("t5 → t2 ")
    assert f" {100 * weight:.3g} % of what “t5” becomes" in sentence(toy_report.page)
    assert ring(toy_report.page, "scores") == [1.5, 2.5, 4.5, 5.5]
    assert ring(toy_report.page, "row") is None  # whose bars are of another token
    told = tooltip(toy_report.page)
    assert (told["query"], told["key"]) == ("5 · t5", "2 · t2")
    assert abs(float(told["weight"]) - weight) < 6e-5  # four decimals


def test_the_sentence_returns_to_the_token_when_the_pointer_leaves(toy_report):
    hover(toy_report.page, "weights", 2, 5)
    toy_report.page.mouse.move(5, 5)
    settle(toy_report.page)

    row = ExplorerState(stored(toy_report.trace)).selection.weights[6]
    assert sentence(toy_report.page).startswith(f"t6 → t{row.argmax()} ")
    key = row.argmax()
    assert ring(toy_report.page, "weights") == [key - 0.5, key + 0.5, 5.5, 6.5]
    assert ring(toy_report.page, "row")[:2] == [key - 0.5, key + 0.5]
