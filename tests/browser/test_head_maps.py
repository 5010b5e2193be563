"""The card of head maps: made when opened, one set of numbers, a head by pointer or keys."""

from __future__ import annotations

import json

import pytest

from attnpanel import toy_trace
from attnpanel.explorer.views.head_maps import HEAD_MAPS, head_maps
from tests.browser.acting import leave_focus, press, unfold
from tests.browser.reading import link, settle
from tests.browser.report_page import fragment

pytest_plugins = ["tests.browser.reports", "tests.browser.opened"]

NUMBERS = """() => {
  for (const model of Bokeh.documents[0]._all_models.values())
    if (model.css_classes?.includes("attn-head-maps")) return JSON.stringify(model.data.numbers)
}"""


def numbers(page):
    """What the card has to draw, but for which trace it is of."""
    return {
        name: part for name, part in json.loads(page.evaluate(NUMBERS)).items() if name != "trace"
    }


def arrange(page, order="Model order"):
    """Open the card and have its maps in an order; return the pictures."""
    card = page.locator(".attn-maps-card")
    unfold(card)
    card.get_by_role("button", name=order).click()
    pictures = card.locator("canvas")
    pictures.first.wait_for()
    settle(page)
    return pictures


def told(page):
    """The number above each map, by its title."""
    captions = page.locator(".attn-map figcaption").all()
    return dict(caption.inner_text().split("\n", 1) for caption in captions)


def words(trace, layer, head, batch=0):
    """What Python expects above each map."""
    values = head_maps(trace)["values"][str(batch)]
    expected = {}
    for one, by_layer in zip(HEAD_MAPS, values, strict=True):
        number = by_layer[layer][head]
        shown = "–" if number is None else f"{number:.{one.decimals}f}"
        expected[one.title] = f"{shown} {one.unit}".strip()
    return expected


def test_a_report_draws_no_map_before_it_is_opened(toy_report):
    page = toy_report.page
    assert page.locator(".attn-maps-card canvas").count() == 0

    arrange(page)

    assert numbers(page) == head_maps(toy_report.trace)
    assert told(page) == words(toy_report.trace, 0, 0)


def test_keys_go_to_a_head_and_enter_shows_it(kinds_report):
    page = kinds_report.page
    pictures = arrange(page)
    pictures.first.focus()
    press(page, "ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight")

    # Layer 2 has three heads; what is on screen stays until Enter.
    assert told(page) == words(kinds_report.trace, 2, 2)
    assert fragment(page)["layer"] == "0"
    press(page, "Enter")

    assert (fragment(page)["layer"], fragment(page)["head"]) == ("2", "2")
    leave_focus(page)


def test_a_tap_in_a_sorted_map_shows_the_head_that_stands_there(kinds_report):
    page = kinds_report.page
    pictures = arrange(page, "Largest first")
    pictures.first.click(position={"x": 30, "y": 18})
    settle(page)

    by_layer = head_maps(kinds_report.trace)["values"]["0"][0]
    largest = max(
        (value, at, head) for at, row in enumerate(by_layer) for head, value in enumerate(row)
    )
    assert (fragment(page)["layer"], fragment(page)["head"]) == tuple(map(str, largest[1:]))


@pytest.mark.thorough
@pytest.mark.usefixtures("problems")
def test_a_served_page_reads_the_same_numbers_when_the_card_is_opened(toy):
    assert numbers(toy)["values"] == {}

    pictures = arrange(toy, "Smallest first")

    assert numbers(toy) == head_maps(toy_trace())
    pictures.nth(1).click(position={"x": 30, "y": 18})
    settle(toy)
    (few,) = head_maps(toy_trace())["values"]["0"][1]
    assert link(toy)["head"] == str(few.index(min(few)))
    assert told(toy) == words(toy_trace(), 0, few.index(min(few)))
