"""Pages in other languages: every text of theirs is translated, and the address names which."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.acting import press, unfold
from tests.browser.conftest import started
from tests.browser.marked_words import LANGUAGE, untranslated
from tests.browser.reading import open_explorer, settle

STEPS = 8
# What is no language: the product, tokens, names of quantities and files, keys.
DATA = re.compile(
    r"attnpanel\w*|https?:\S+|\btoy\b|float\d+|d_model|\bt\d+\b|\bsqrt\b|Softmax|\bpt\b|\bmm\b"
    r"|\b(Home|End|Shift|Ctrl|Enter)\b|RoPE|PNG|SVG|\bqps\b|\bnan\b"
)


@pytest.fixture(scope="module")
def server(root, tmp_path_factory):
    """The address of a server that has the language of brackets."""
    log = tmp_path_factory.mktemp("words") / "server.log"
    with started(root, log, module="tests.browser.marked_words", static_start=True) as (_, address):
        yield address


@pytest.fixture
def marked_page(open_page, server):
    return open_explorer(open_page(), f"{server}?lang={LANGUAGE}")


def test_the_explorer_has_no_text_that_is_not_translated(marked_page):
    page = marked_page
    page.locator(".attn-more-button button").click()
    for css in (".attn-why", ".attn-maps-card"):
        unfold(page.locator(f"details{css}"))
    settle(page)
    expect(page.locator(".attn-why-chart svg")).to_be_visible()
    expect(page.locator(".attn-maps canvas").first).to_be_visible()
    assert untranslated(page, DATA) == []

    page.evaluate("document.activeElement.blur()")
    press(page, "?")
    expect(page.locator("dialog.attn-keys")).to_be_visible()
    assert untranslated(page, DATA) == []


def test_the_lesson_has_no_text_that_is_not_translated(marked_page):
    page = marked_page
    page.locator(".attn-bar .attn-action-button button").first.click()
    for step in range(STEPS):
        card = page.locator(".attn-lesson-card")
        expect(card).to_contain_text(f"{step + 1}")
        settle(page)
        card.locator(".attn-lesson-choices button").first.click()
        assert untranslated(page, DATA) == []
        card.locator(".attn-lesson-foot button").last.click()
