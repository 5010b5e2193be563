"""A report is one file: it opens without a server or a network, and asks for nothing."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from attnpanel.pages.explorer.report import save_report
from tests.browser.reading import sentence, settle
from tests.browser.report_page import fragment, go, open_report, wait_until_live, watch_requests
from tests.browser.report_pictures import pictures

pytest_plugins = ["tests.browser.reports"]

# How many colours a picture's canvas shows.
COLOURS = """
(name) => {
  const page = Bokeh.documents[0]
  const view = page.views_manager.get_one(page.get_model_by_name(`attn:plot:${name}`))
  const {canvas} = view.canvas_view.primary
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
  return new Set(new Uint32Array(data.buffer)).size
}
"""
NAMES = [
    "toy", "kinds", "odd", "cross", "one token",  # "odd" opens at recorded weights
    pytest.param("minilm", marks=pytest.mark.model),
]  # fmt: skip


@pytest.mark.thorough(but=2)
@pytest.mark.parametrize("name", NAMES)
def test_a_report_asks_for_nothing_but_itself_and_is_silent(on_screen, name):
    opened = on_screen(name)

    assert opened.requests[0] == opened.path.as_uri()  # what is watched is seen
    assert opened.faults() == []


@pytest.mark.thorough(but=2)
@pytest.mark.parametrize("name", NAMES)
def test_the_first_pictures_are_painted(on_screen, name):
    page = on_screen(name).page

    # Blank is one colour, a frame four; smoothed labels bring shades of grey.
    assert page.evaluate(COLOURS, "weights") > 20
    # One head of one token is one tile of one colour.
    assert page.evaluate(COLOURS, "grid") > (1 if name == "one token" else 20)


class Addresses(HTMLParser):
    """The addresses in a document's tags; what scripts hold is text to this parser."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, _tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]


@pytest.mark.parametrize("name", ["toy", "kinds"])
def test_no_tag_of_a_report_names_an_address(reports, name):
    parser = Addresses()
    parser.feed(reports(name)[0].read_text(encoding="utf-8"))

    assert parser.found == []


def test_a_request_elsewhere_would_be_noticed(browser):
    context = browser.new_context(offline=True)
    requests = watch_requests(context)
    context.new_page().set_content("<img src=http://attnpanel.invalid/picture.png>")

    assert requests == ["http://attnpanel.invalid/picture.png"]
    context.close()


# -- where it opens --------------------------------------------------------------------------


@pytest.mark.thorough
def test_the_state_is_restored_from_the_address_in_a_new_page(browser, reports, on_screen):
    page = on_screen("toy").page
    go(page, "head=2&token=5&temperature=0.5&mask=causal")
    before = pictures(page), sentence(page)

    again = open_report(browser, *reports("toy"), "#" + page.url.partition("#")[2])

    asked = {"head": "2", "token": "5", "temperature": "0.5", "mask": "causal"}
    assert fragment(page).items() >= asked.items()
    assert fragment(again.page) == fragment(page)
    np.testing.assert_equal((pictures(again.page), sentence(again.page)), before)
    assert again.faults() == []
    again.page.context.close()


@pytest.mark.thorough
def test_the_state_survives_a_reload(on_screen):
    page = on_screen("cross").page
    go(page, "head=2&token=3&mask=window&window=3&mean=1")
    before = fragment(page), pictures(page)

    page.reload()
    wait_until_live(page)

    assert before[0].items() >= {"token": "3", "mask": "window", "mean": "1"}.items()
    np.testing.assert_equal((fragment(page), pictures(page)), before)


def test_going_back_returns_to_the_address_before(on_screen):
    page = on_screen("toy").page
    go(page, "head=1&token=2")
    before = fragment(page), pictures(page)
    words = sentence(page)
    go(page, "head=3&token=7")
    assert sentence(page) != words

    page.go_back()
    page.wait_for_function("location.hash.includes('token=2')")
    settle(page)

    np.testing.assert_equal((fragment(page), pictures(page)), before)


def test_a_report_opens_where_it_was_saved(browser, reports, tmp_path):
    trace = reports("toy")[1]
    choices = {"head": 3, "query_index": 6, "temperature": 2.0, "mask": "padding", "pad_len": 5}
    path = save_report(trace, tmp_path / "saved.html", weight_scale="per row", **choices)
    opened = open_report(browser, path, trace)

    assert fragment(opened.page).items() >= {
        "head": "3", "token": "6", "temperature": "2", "mask": "padding", "pad": "5",
        "empty": "uniform", "scale": "per row",
    }.items()  # fmt: skip
    assert opened.faults() == []
    opened.page.context.close()
