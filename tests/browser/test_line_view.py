"""Lines from token to token: those of heads and tokens that one chooses, by pointer and by keys."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from attnpanel import attend
from tests.browser.acting import hover, press, tap
from tests.browser.reading import outlined, settle, source
from tests.browser.report_page import fragment, go

pytest_plugins = ["tests.browser.reports"]
START = "head=2&mean=0&token=6&temperature=1&mask=causal&empty=zero"


def lines(page) -> dict[tuple[int, int, int], float]:
    """The weight of each line on the page, by head, query and key."""
    drawn = source(page, "attn:lines")
    queries, keys = ([int(text.split(" ")[0]) for text in drawn[side]] for side in ("query", "key"))
    return dict(zip(zip(drawn["head"], queries, keys, strict=True), drawn["weight"], strict=True))


def assert_lines_are(page, expected: np.ndarray) -> None:
    drawn = lines(page)
    assert drawn.keys() == {tuple(map(int, at)) for at in np.argwhere(expected >= 0.01)}
    for at, weight in drawn.items():
        assert weight == pytest.approx(expected[at], abs=1e-5)


def heads_of(page) -> set[int]:
    return {head for head, _, _ in lines(page)}


def queries_of(page) -> set[int]:
    return {query for _, query, _ in lines(page)}


def button(page, name: str):
    return page.locator(".attn-lines-choice").get_by_role("button", name=name, exact=True)


def test_the_lines_are_numpys(toy_report):
    page, (call,) = toy_report.page, toy_report.trace.calls
    go(page, START.replace("temperature=1", "temperature=0.5"))

    query, key = (x.astype(np.float16).astype(np.float32) for x in (call.query, call.key))
    seen = np.tri(8, dtype=bool)
    expected = attend(query, key, None, mask=seen, scale=call.scale, temperature=0.5).weights[0]
    assert_lines_are(page, expected)


@pytest.mark.thorough
def test_many_lines_follow_the_sliders_when_the_reader_pauses(kinds_report):
    page, call = kinds_report.page, kinds_report.trace.calls[4]
    go(page, "layer=4&token=0&temperature=1&only=0")
    go(page, "layer=4&token=3&temperature=0.5&only=0")

    query, key = (x.astype(np.float16).astype(np.float32) for x in (call.query, call.key))
    seen = np.tri(23, 30, 7, dtype=bool)
    weights = attend(query, key, None, mask=seen, scale=call.scale, temperature=0.5).weights[0]
    least = np.sort(weights, axis=None)[-200]
    own = np.arange(23)[:, None] == 3
    assert_lines_are(page, np.where((weights >= least) | own, weights, 0))
    words = page.locator(".attn-lines-words")
    hidden = weights[(weights >= 0.01) & (weights < least) & ~own]
    expect(words).to_contain_text(f"Hidden: {hidden.size} lines")
    expect(words).to_contain_text(f"with {100 * hidden.sum() / weights.sum():.2g} % of the")
    assert outlined(page, "lines") == (2.5, 3.5)


def test_heads_are_chosen_by_their_buttons_and_kept_in_the_address(toy_report):
    page = toy_report.page
    go(page, START)
    assert heads_of(page) == {0, 1, 2, 3}

    button(page, "Head 1").click()
    settle(page)
    assert heads_of(page) == {0, 2, 3}
    assert fragment(page)["lines"] == "0,2,3"
    expect(button(page, "Head 1")).to_have_attribute("aria-pressed", "false")

    button(page, "only 2").focus()
    page.keyboard.press("Enter")
    settle(page)
    assert heads_of(page) == {2}
    expect(button(page, "Head 2")).to_have_attribute("aria-disabled", "true")  # the last one
    button(page, "all").click()
    settle(page)
    assert heads_of(page) == {0, 1, 2, 3}
    assert "lines" not in fragment(page)


def test_a_pointer_shows_the_lines_of_the_token_it_is_at(toy_report):
    page = toy_report.page
    go(page, START)

    hover(page, "lines", -0.1, 3)
    assert queries_of(page) == {3}
    hover(page, "lines", 1.1, 2)
    assert {key for _, _, key in lines(page)} == {2}
    assert queries_of(page) > {3}
    page.mouse.move(1, 1)
    settle(page)
    assert queries_of(page) == set(range(8))


def test_a_tap_keeps_them_and_the_arrow_keys_move_on(toy_report):
    page = toy_report.page
    go(page, START)

    tap(page, "lines", -0.1, 3)
    page.mouse.move(1, 1)
    settle(page)
    assert queries_of(page) == {3}
    assert {name: fragment(page)[name] for name in ("token", "only")} == {"token": "3", "only": "1"}
    marked = source(page, "attn:lines:keys")["text"]
    assert [text.startswith("✕ ") for text in marked] == [False] * 4 + [True] * 4
    press(page, "ArrowDown")
    assert queries_of(page) == {4}

    name = page.locator(".attn-plot-lines [role=img]").get_attribute("aria-label")
    assert "looks most, in head 0 at" in name
    button(page, "all tokens").click()
    settle(page)
    assert queries_of(page) == set(range(8))
