"""Pages in other languages: every text of theirs is translated, and the address names which."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

import attnpanel as ap
from attnpanel.bench.run.serialization import write
from tests.browser.acting import press, unfold
from tests.browser.conftest import started
from tests.browser.marked_words import LANGUAGE, SHOWN, untranslated
from tests.browser.reading import link, open_explorer, settle
from tests.unit.bench.run.sample_runs import sample_run

pytest_plugins = ["tests.browser.axe_checks"]

STEPS = 8
# What is no language: the product, tokens, names of quantities, keys, files, machines and papers.
DATA = re.compile(
    r"attnpanel\w*|https?:\S+|\btoy\b|float\d+|d_model|\bt\d+\b|\bsqrt\b|\bpt\b|\bmm\b|\beo\b"
    r"|\b(Home|End|Shift|Ctrl|Enter)\b"
    # Units, implementations, machines, and what a run of the bench says of its machine.
    r"|\S+\.json|\b[kMGT]?B(/s)?\b|\b[MGT]?FLOP(/[sB])?\b|\bms\b|\b(numpy|torch)-[\w-]+|\be\^.*max\b"
    r"|\b[AH][12]00 \w+\b|(AMD|Intel)[^,]*, 1 thread\b|A made-up CPU|Linux|CPython.*|dtype"
)
# The part of each page that stands last.
PLACES = {
    "exercises": ".attn-sentence .result",
    "variants": ".variants-player",
    "lab": ".lab-start",
    "compare": ".attn-ranking li button",
    "bench": ".bench-error-choices .attn-sentence .result",
}


@pytest.fixture(scope="module")
def server(root, tmp_path_factory):
    """The address of a server that has the language of brackets, too."""
    folder = tmp_path_factory.mktemp("words")
    write(sample_run(), folder / "run-made.json")
    options = ("--page", "bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTNPANEL_BENCH_RESULTS", str(folder))
        marked = started(
            root,
            folder / "server.log",
            *options,
            module="tests.browser.marked_words",
            static_start=True,
        )
        with marked as (_, address):
            yield address


@pytest.fixture
def marked_page(open_page, server):
    return open_explorer(open_page(), f"{server}?lang={LANGUAGE}")


@pytest.mark.thorough
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
    card = page.locator(".attn-lesson-card")
    for step in range(1, STEPS + 1):
        expect(card).to_contain_text(f"⟦Step {step} of {STEPS}⟧")
        settle(page)
        card.locator(".attn-lesson-choices button").first.click()
        assert untranslated(page, DATA) == []
        card.locator(".attn-lesson-foot button").last.click()


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize("name", PLACES)
def test_another_page_has_no_text_that_is_not_translated_and_nothing_serious(
    open_page, server, axe, name
):
    page = open_page()
    page.goto(f"{server}{name}?lang={LANGUAGE}")
    page.locator(PLACES[name]).first.wait_for()
    assert len(page.evaluate(SHOWN)) > 30  # all of it, not the header alone
    for button in ("⟦Hint⟧", "⟦Check⟧", "⟦All sizes⟧", "⟦Next block⟧"):
        for shown in page.get_by_role("button", name=button, exact=True).all():
            shown.click()

    assert untranslated(page, DATA) == []
    axe(page)
    assert (
        page.get_by_role("link", name="⟦Explorer⟧").get_attribute("href") == f"./?lang={LANGUAGE}"
    )


def test_what_is_not_translated_is_found(open_page, server):
    page = open_explorer(open_page(), f"{server}?lang=en")

    assert "Light or dark" in untranslated(page, DATA)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("code", "lesson", "looks"),
    [("de", "Lektion", "Wohin „t2“ blickt"), ("zh", "引导课", "“t2” 关注哪里")],
)
def test_the_browser_chooses_unless_the_address_does(open_page, server, code, lesson, looks):
    page = open_explorer(open_page(locale=code), server)

    assert page.locator("html").get_attribute("lang") == code
    expect(page.get_by_role("button", name=lesson)).to_be_visible()
    expect(page.locator(".attn-caption-row")).to_contain_text(looks)
    assert "lang" not in link(page)

    page.locator(".attn-language select").select_option("en")
    expect(page.get_by_role("button", name="Lesson")).to_be_visible()
    settle(page)
    assert link(page)["lang"] == "en"


@pytest.mark.thorough
def test_a_session_that_takes_over_speaks_as_the_page_did(open_page, server):
    page = open_explorer(open_page(), f"{server}?lang=de")
    page.locator(".attn-sources").get_by_role("button", name="Datei").click()

    expect(page.get_by_text("Trace-Datei wählen oder hier ablegen")).to_be_visible()
    expect(page.locator(".attn-caption-row")).to_contain_text("Wohin")
    assert page.locator("html").get_attribute("lang") == "de"


@pytest.mark.thorough
def test_a_session_speaks_from_the_start_where_the_server_says_so(root, tmp_path, open_page):
    with started(root, tmp_path / "server.log", "--language", "zh") as (_, address):
        page = open_explorer(open_page(), address)

        assert page.locator("html").get_attribute("lang") == "zh"
        expect(page.get_by_role("button", name="引导课")).to_be_visible()


def test_a_report_speaks_its_language_without_a_server(open_page, tmp_path):
    path = ap.save_report(ap.toy_trace(), tmp_path / "report.html", language="de")
    page = open_explorer(open_page(), path.as_uri())

    assert page.locator("html").get_attribute("lang") == "de"
    expect(page.locator(".attn-caption-row")).to_contain_text("Wohin „t0“ blickt")
    expect(page.get_by_text("die Aufmerksamkeit wird auf dieser Seite aus Querys")).to_be_visible()
    assert page.locator(".attn-language").count() == 0
