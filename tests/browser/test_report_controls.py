"""Every control of a report is live, with no server behind it, and shows what Python draws."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from attnpanel.explorer.state import ExplorerState
from tests.browser.acting import (
    choose,
    control,
    is_dimmed,
    title,
)
from tests.browser.reading import notice, settle
from tests.browser.report_page import fragment, go, open_report
from tests.browser.report_pictures import assert_shows
from tests.browser.report_traces import stored

pytest_plugins = ["tests.browser.reports"]

STATE = {"query_index": 6}


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize(
    ("moves", "means"),
    [
        ({"Head": 2}, {"head": 2}),
        ({"Mean_of_heads": True}, {"aggregate": True}),
        ({"Token": 3}, {"query_index": 3}),
        ({"Temperature": 6}, {"temperature": 10**0.3}),
        ({"Temperature": -20}, {"temperature": 0.1}),
        ({"Mask": "causal"}, {"mask": "causal"}),
        ({"Mask": "padding", "Pad_length": 5}, {"mask": "padding", "pad_len": 5}),
        ({"Mask": "key padding", "Pad_length": 6}, {"mask": "key_padding", "pad_len": 6}),
        ({"Mask": "window", "Window": 2}, {"mask": "window", "window": 2}),
        ({"Mask": "padding", "Pad_length": 0}, {"mask": "padding", "pad_len": 0}),
        (
            {"Mask": "padding", "Pad_length": 5, "Empty_rows": "zero"},
            {"mask": "padding", "pad_len": 5, "empty_rows": "zero"},
        ),
        (
            {"Mask": "padding", "Pad_length": 5, "Empty_rows": "nan"},
            {"mask": "padding", "pad_len": 5, "empty_rows": "nan"},
        ),
        ({"Colour_scale": "linear, 0–1"}, {"weight_scale": "linear"}),
        ({"Colour_scale": "per row"}, {"weight_scale": "per row"}),
        ({"Colour_scale": "own scale"}, {"weight_scale": "own"}),
        ({"Scale_without_first_token": True}, {"skip_first": True}),
        ({"Paint_seed": 7}, {"color_seed": 7}),
        ({"Paint_seed": 19}, {"color_seed": 19}),
    ],
    ids=lambda part: "+".join(f"{k}={v}" for k, v in part.items()),
)
def test_a_control_shows_what_python_draws(toy_report, moves, means):
    choose(toy_report.page, **moves)

    assert_shows(toy_report.page, ExplorerState(stored(toy_report.trace), **STATE | means))


@pytest.mark.parametrize("seed", [20, 1234])
def test_a_paint_seed_that_the_report_lacks_is_not_shown_as_grey(toy_report, seed):
    choose(toy_report.page, Paint_seed=seed)

    shown = int(fragment(toy_report.page).get("paint", 0))
    assert_shows(
        toy_report.page, ExplorerState(stored(toy_report.trace), **STATE, color_seed=shown)
    )


def test_the_button_turns_the_page_dark_and_back(toy_report):
    button = toy_report.page.get_by_role("button", name="Light or dark")
    looks = [toy_report.page.evaluate("getComputedStyle(document.body).backgroundColor")]
    for dark in (True, False):
        button.click()
        settle(toy_report.page)
        looks.append(toy_report.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert_shows(toy_report.page, ExplorerState(stored(toy_report.trace), dark=dark, **STATE))

    assert looks[0] == looks[2] != looks[1]


@pytest.mark.thorough
def test_a_reader_who_prefers_dark_gets_a_dark_page(browser, reports):
    path, trace = reports("toy")
    opened = open_report(browser, path, trace, color_scheme="dark")
    opened.page.wait_for_function("document.documentElement.style.colorScheme === 'dark'")
    settle(opened.page)

    assert_shows(opened.page, ExplorerState(stored(trace), dark=True))
    assert opened.faults() == []
    opened.page.context.close()


def test_sliders_say_their_value_in_words(toy_report):
    choose(toy_report.page, Token=2, Head=1, Temperature=-6)

    assert title(toy_report.page, "Token").endswith("2 · t2")
    assert title(toy_report.page, "Head").endswith("1 of 0–3")
    assert title(toy_report.page, "Temperature").endswith("0.50")


def test_titles_follow_the_choices(toy_report):
    choose(toy_report.page, Head=3, Token=4, Paint_seed=5, Colour_scale="per row")

    words = toy_report.page.locator(".attn-caption")
    expect(words.filter(has_text="Where “t4” looks")).to_be_visible()
    expect(words.filter(has_text="layer 0, head 3 · tap")).to_be_visible()
    expect(words.filter(has_text="seed 5")).to_be_visible()
    expect(words.filter(has_text="colour relative to its row")).to_be_visible()


def test_a_control_that_does_nothing_is_disabled_until_it_does(toy_report):
    for label in ("Layer", "Pad length", "Empty rows"):
        assert is_dimmed(toy_report.page, label), label
    expect(control(toy_report.page, "Batch")).to_be_hidden()
    expect(control(toy_report.page, "Window")).to_be_hidden()

    choose(toy_report.page, Mask="padding", Pad_length=4)

    assert not is_dimmed(toy_report.page, "Pad length")
    assert not is_dimmed(toy_report.page, "Empty rows")
    choose(toy_report.page, Mask="window", Mean_of_heads=True)
    expect(control(toy_report.page, "Window")).to_be_visible()
    assert is_dimmed(toy_report.page, "Head")


def test_the_tooltip_of_a_control_says_why_it_is_idle_only_while_it_is(toy_report):
    pad = control(toy_report.page, "Pad length")
    assert "padding masks only" in (pad.get_attribute("title") or "")

    choose(toy_report.page, Mask="padding")

    assert "padding masks only" not in (pad.get_attribute("title") or "")


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize(
    ("nonsense", "named"),
    [
        ("head=99", "Head: “99” does not apply here."),
        ("token=banana", "Token: “banana” does not apply here."),
        ("temperature=nan", "Temperature: “nan” does not apply here."),
        ("mask=<img src=x onerror=window.pwned=1>", "Mask: “<img src=x onerror=window.pwned=1>”"),
        ("mask=model&layer=-1", "Layer: “-1” does not apply here."),
        ("scale=%E0%A4%A&head=2", "Colour scale:"),
    ],
)
def test_nonsense_in_the_address_is_a_readable_notice(toy_report, nonsense, named):
    go(toy_report.page, nonsense)

    assert named in notice(toy_report.page)
    assert toy_report.page.evaluate("window.pwned") is None


@pytest.mark.thorough
def test_the_notice_goes_with_the_next_choice(toy_report):
    go(toy_report.page, "head=99")
    assert notice(toy_report.page) != ""

    choose(toy_report.page, Head=1)

    assert notice(toy_report.page) == ""


def test_names_that_mean_nothing_in_the_address_are_left_alone(toy_report):
    go(toy_report.page, "constructor=1&__proto__=2&=&&head=1")

    assert fragment(toy_report.page)["head"] == "1"


def test_a_link_is_followed_though_the_address_is_written_anew_meanwhile(toy_report):
    go(toy_report.page, "head=0")

    # The browser tells of a new address later; an earlier choice may write another one first.
    toy_report.page.evaluate(
        "() => { location.hash = 'head=2'; history.replaceState(null, '', '#head=1') }"
    )

    toy_report.page.wait_for_function(
        "new URLSearchParams(location.hash.slice(1)).get('head') === '2'"
    )


def test_document_starts_are_written_as_a_list_and_anything_else_is_put_back(toy_report):
    page = toy_report.page
    choose(page, Mask="documents")
    starts = page.locator(".attn-control-starts input")

    starts.fill("2, 5")
    starts.press("Enter")
    settle(page)

    documents = {"mask": "documents", "starts": (2, 5)}
    assert_shows(page, ExplorerState(stored(toy_report.trace), **STATE | documents))
    assert fragment(page)["starts"] == "2,5"

    starts.fill("5, 2")
    starts.press("Enter")
    settle(page)

    assert notice(page) == "Document starts: “5, 2” does not apply here."
    assert starts.input_value() == "2, 5"
    assert fragment(page)["starts"] == "2,5"
