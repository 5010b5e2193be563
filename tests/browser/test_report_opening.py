"""A report that can't be drawn says why, in words a reader can act on."""

import re

import pytest
from playwright.sync_api import expect

from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.report import save_report
from tests.hand_made import call, trace_of


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return save_report(toy_trace(), tmp_path_factory.mktemp("toy") / "toy.html")


@pytest.fixture
def damaged(toy, tmp_path):
    def make(change):
        path = tmp_path / "damaged.html"
        path.write_text(change(toy.read_text(encoding="utf-8")), encoding="utf-8")
        return path.as_uri()

    return make


def test_a_report_opens_and_its_first_words_go(open_page, toy):
    page = open_page(offline=True)
    page.goto(toy.as_uri())

    expect(page.get_by_text("layer 0, head 0 · entropy")).to_be_visible()
    expect(page.locator("#attnpanel-opening")).to_have_count(0)
    # What the file brought stays in memory once: as running code.
    expect(page.locator("script[data-attnpanel-library]")).to_have_count(0)


def test_without_javascript_a_sentence_says_so_at_once(open_page, toy):
    page = open_page(offline=True, java_script_enabled=False)
    page.goto(toy.as_uri())

    expect(page.get_by_text("allow JavaScript for this file")).to_be_visible()


def test_a_browser_too_old_is_told_which_ones_are_not(open_page, toy):
    page = open_page(offline=True)
    page.add_init_script("delete window.DecompressionStream")
    page.goto(toy.as_uri())

    expect(page.get_by_text("This browser is too old for this report")).to_be_visible()


@pytest.mark.thorough
def test_a_browser_that_can_not_read_the_script_shows_the_first_words(open_page, damaged, problems):
    # The policy runs no script but those that the file was written with.
    problems.allow("SyntaxError|Content Security Policy")
    page = open_page(offline=True)
    page.goto(damaged(lambda text: text.replace("(async()=>{", "(async()==>{", 1)))

    expect(page.get_by_text("open it in a browser of 2023 or later")).to_be_visible()


@pytest.mark.parametrize("share", [0.05, 0.5, 0.999])
def test_a_file_cut_short_says_so(open_page, damaged, share):
    page = open_page(offline=True)
    page.goto(damaged(lambda text: text[: int(len(text) * share)]))

    expect(page.get_by_text(re.compile("was cut short|may be damaged"))).to_be_visible()


def test_a_damaged_library_says_so(open_page, damaged):
    page = open_page(offline=True)
    page.goto(damaged(lambda text: re.sub(r'(library="bokeh">.{5000}).{400}', r"\1", text)))

    expect(page.get_by_text("its file may be damaged")).to_be_visible()


@pytest.mark.thorough
def test_a_part_of_a_trace_is_shown_with_the_numbers_of_the_whole(open_page, tmp_path):
    trace = trace_of(*(call(index, heads=5) for index in range(6)))
    path = save_report(trace, tmp_path / "part.html", layers=[1, 4], heads=[0, 3], layer=4)
    page = open_page(offline=True)
    page.goto(path.as_uri())
    expect(page.get_by_text("layer 4, head 0 · entropy")).to_be_visible()
    expect(page.get_by_text("layers 0, 2, 3, 5 of 6; heads 1, 2, 4 of 5")).to_be_visible()

    page.keyboard.press("ArrowRight")

    expect(page.get_by_text("layer 4, head 3 · entropy")).to_be_visible()
    page.wait_for_function("location.hash.includes('layer=4&head=3')")
    page.goto(f"{path.as_uri()}#layer=1&head=0")
    expect(page.get_by_text("layer 1, head 0 · entropy")).to_be_visible()
