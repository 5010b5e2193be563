"""A report of several layers, of other lengths and heads each: all of them can be reached."""

from __future__ import annotations

import pytest

from attnpanel.explorer.state import ExplorerState
from tests.browser.acting import (
    choose,
    leave_focus,
    position,
    press,
    tap,
    title,
)
from tests.browser.reading import sentence, settle
from tests.browser.report_page import fragment, go, open_file, wait_until_live
from tests.browser.report_pictures import assert_shows
from tests.browser.report_traces import stored

pytest_plugins = ["tests.browser.reports"]

# Whoever reads decompressed bytes gets them when the test says so.
HOLD = """
(() => {
  const read = Response.prototype.arrayBuffer
  const released = new Promise((resolve) => (window.attnRelease = resolve))
  Response.prototype.arrayBuffer = async function () {
    const bytes = await read.call(this)
    window.attnHeld = true
    await released
    return bytes
  }
})()
"""


def token(opened):
    return int(fragment(opened.page)["token"])


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize(
    ("start", "moves", "means"),
    [
        ("layer=0", {"Layer": 1}, {"layer": 1}),
        ("layer=0", {"Batch": 1}, {"layer": 0, "batch": 1}),
        ("layer=0", {"Mask": "none"}, {"layer": 0, "mask": "none"}),
        (
            "layer=1&mask=causal",
            {"Causal_alignment": "bottom right"},
            {"layer": 1, "mask": "causal", "align": "bottom_right"},
        ),
        ("layer=0&mask=causal", {"Mask": "as the model"}, {"layer": 0, "mask": "model"}),
    ],
    ids=["Layer", "Batch", "Mask=none", "Causal_alignment", "Mask=model"],
)
def test_a_control_of_larger_traces_shows_what_python_draws(kinds_report, start, moves, means):
    go(kinds_report.page, start)

    choose(kinds_report.page, **moves)

    assert_shows(kinds_report.page, ExplorerState(stored(kinds_report.trace), **means))


def test_a_tap_on_a_tile_chooses_layer_and_head(kinds_report):
    choose(kinds_report.page, Mean_of_heads=True)

    tap(kinds_report.page, "grid", 2, 1)

    shown = fragment(kinds_report.page)
    assert (shown["layer"], shown["head"], "mean" in shown) == ("1", "2", False)
    assert_shows(kinds_report.page, ExplorerState(stored(kinds_report.trace), layer=1, head=2))


@pytest.mark.thorough
def test_a_tap_where_no_tile_is_changes_nothing(kinds_report):
    before = fragment(kinds_report.page)

    tap(kinds_report.page, "grid", 5, 3)

    assert fragment(kinds_report.page) == before


def test_a_tap_on_a_key_of_other_tokens_tells_the_pair(kinds_report):
    go(kinds_report.page, "layer=1&token=2")

    kinds_report.page.locator(".attn-chips").nth(1).locator("button").nth(9).click()
    settle(kinds_report.page)

    assert token(kinds_report) == 2
    assert sentence(kinds_report.page).startswith("sat → 9 ")


@pytest.mark.thorough
def test_brackets_move_the_layer(kinds_report):
    leave_focus(kinds_report.page)
    press(kinds_report.page, "]", "]", "[")

    assert fragment(kinds_report.page)["layer"] == "1"
    assert position(kinds_report.page, "Layer") == 1


@pytest.mark.thorough
def test_sliders_say_in_words_what_the_layer_has(kinds_report):
    assert title(kinds_report.page, "Token").endswith("0 · The")

    choose(kinds_report.page, Layer=4)

    assert title(kinds_report.page, "Layer").endswith("4 of 0–6")
    assert title(kinds_report.page, "Head").endswith("0 of 0–1")


@pytest.mark.thorough
def test_a_choice_made_while_the_layer_is_opened_is_drawn(browser, reports):
    path, trace = reports("toy")
    opened = open_file(browser, path, trace, script=HOLD)
    opened.page.wait_for_function("window.attnHeld")

    opened.page.evaluate(
        """() => {
          document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "End", bubbles: true}))
          window.attnRelease()
        }"""
    )
    wait_until_live(opened.page)

    last = ExplorerState(stored(trace), query_index=trace.calls[0].query_len - 1)
    assert_shows(opened.page, last)
    assert opened.faults() == []
    opened.page.context.close()
