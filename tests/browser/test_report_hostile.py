"""What a stranger put into a report is text: nothing of it runs or asks for anything."""

from __future__ import annotations

import dataclasses
import json

import pytest

from attnpanel.pages.explorer.report import save_report
from attnpanel.trace import Trace
from tests.browser.acting import choose, hover, tap
from tests.browser.reading import labels, sentence, settle
from tests.browser.report_page import go, open_report
from tests.hand_made import call

pytest_plugins = ["tests.browser.reports"]

RUN = "window.pwned=1"
HOSTILE = (
    f"</script><script>{RUN}</script>",
    f"<img src=x onerror={RUN}>",
    f"\"'><svg onload={RUN}>",
    f"javascript:{RUN}//",
    "$$\\mathrm{math}$$",
    "line\u2028\u2029separators\x00\x1b",
    f"<!--<script>{RUN}</script>",
    f"{{{{constructor.constructor('{RUN}')()}}}}${{{RUN}}}",
    "@weight{safe} $x %s {0} &lt;b&gt;",
    f"&lt;img src=x onerror={RUN}&gt;",
    "\u202eright to left\u200b",
    "long " * 2000,
)
NOTES = f"""# Notes <img src=x onerror={RUN}>

<script>{RUN}</script></script><svg onload={RUN}>

[a link](javascript:{RUN}) and [another](data:text/html,<script>{RUN}</script>)

![x](x" onerror="{RUN})

$$\\mathrm{{math}}$$ and `<b>code</b>` and **bold** &lt;img src=x onerror={RUN}&gt;

![a picture](http://attnpanel.invalid/1.png) ![another](//attnpanel.invalid/2.png)
![of a file](file:///etc/hostname) ![x]: http://attnpanel.invalid/3.png

<img src=http://attnpanel.invalid/4.png> <link rel=stylesheet href=http://attnpanel.invalid/5.css>

after
"""
TITLE = f"</title>{HOSTILE[0]} {HOSTILE[1]} & {HOSTILE[4]}"


@pytest.fixture(scope="module")
def hostile(browser, tmp_path_factory):
    """Two layers, the second of other tokens than it looks at; used by all tests of this module."""
    calls = [
        call(0, heads=2, query_len=len(HOSTILE)),
        call(1, heads=2, query_len=5, key_len=len(HOSTILE)),
    ]
    trace = Trace(
        [dataclasses.replace(one, layer=name) for one, name in zip(calls, HOSTILE, strict=False)],
        query_tokens=[HOSTILE],
        source=HOSTILE[6],
        model=HOSTILE[2],
    )
    path = tmp_path_factory.mktemp("hostile") / "report.html"
    opened = open_report(browser, save_report(trace, path, title=TITLE, notes=NOTES), trace)
    yield opened
    opened.page.context.close()


@pytest.fixture
def page(hostile):
    """Fails a test in which anything ran, was asked for or complained."""
    yield hostile.page
    assert hostile.faults() == []


def test_nothing_runs_or_is_asked_for_when_it_opens(page):
    assert page.title() == TITLE


def test_nothing_runs_when_a_token_is_chosen_and_hovered(page):
    for index in range(len(HOSTILE)):
        go(page, f"layer=0&token={index}")
        hover(page, "weights", index, len(HOSTILE) - 1 - index)
        page.locator(".bk-tooltip-content").wait_for()
        hover(page, "row", index, 0.001)


@pytest.mark.thorough
def test_nothing_runs_in_either_look_or_another_layer(page):
    for _ in range(2):
        page.get_by_role("button", name="Light or dark").click()
        settle(page)
    choose(page, Layer=1, Mask="causal")
    tap(page, "swatches", 0.05, 1)
    hover(page, "scores", 3, 2)
    choose(page, Layer=0)


def test_tokens_stand_on_the_page_as_they_are(page):
    choose(page, Layer=0)
    chips = page.locator(".attn-chips").nth(1).locator("button")

    assert chips.count() == len(HOSTILE)
    for index in (0, 1, 2, 3, 4, 7, 8, 9):
        assert chips.nth(index).text_content() == HOSTILE[index]
    _, down = labels(page, "weights")
    assert down[1] == "<img src=x on…"


def test_the_sentence_quotes_a_token_as_it_is(page):
    choose(page, Layer=0, Token=3)

    assert sentence(page).startswith("javascript:window.pwned=1// →")


def test_the_title_layer_and_model_are_shown_as_text(page):
    assert page.locator(".attn-header h2").text_content().strip() == TITLE
    choose(page, Layer=0)
    assert HOSTILE[0] in page.locator(".attn-caption-provenance p").text_content()
    assert HOSTILE[2] in page.locator(".attn-footer .attn-caption").first.text_content()


def test_notes_keep_their_markdown_and_lose_what_could_run(page):
    notes = page.locator(".attn-markdown")

    assert notes.locator("h1").text_content() == f"Notes {HOSTILE[1]}"
    assert notes.locator("strong").text_content() == "bold"
    assert notes.locator("code").text_content() == "<b>code</b>"
    text = " ".join(notes.locator("p").all_text_contents())
    assert f"<script>{RUN}</script></script><svg onload={RUN}>" in text
    assert "$$\\mathrm{math}$$" in text
    assert f"<img src=x onerror={RUN}>" in text
    assert notes.locator("script, svg, img, iframe").count() == 0
    links = [link.get_attribute("href") or "" for link in notes.locator("a").all()]
    assert not [link for link in links if link.startswith(("javascript:", "data:"))]
    # Nor was any of its pictures asked for, or the page would have a fault.
    notes.get_by_text("after", exact=True).wait_for()


def test_the_document_in_the_file_is_json_that_ends_no_script(reports):
    text = reports("kinds")[0].read_text(encoding="utf-8")

    inside = text.partition('id="attnpanel-document">')[2].partition("</script>")[0]
    assert "<" not in inside
    assert json.loads(inside)
