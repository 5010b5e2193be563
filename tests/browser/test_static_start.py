"""The toy's page without a session: it draws itself, and gets one when its reader needs Python."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from attnpanel.attention.reference import attend
from attnpanel.models.toy import toy_trace
from tests.browser.acting import choose, fill_number, position, press, tap
from tests.browser.conftest import started
from tests.browser.reading import link, matrix, open_explorer, settle

TOY = {"source": "toy", "T": "8", "d_model": "8", "heads": "4", "seed": "42"}
ALONE = "document.querySelector('#attnpanel-drawn') !== null"


@pytest.fixture(scope="module")
def start(root, tmp_path_factory):
    """The address of a server as a user starts it."""
    log = tmp_path_factory.mktemp("start") / "server.log"
    with started(root, log, static_start=True) as (_server, address):
        yield address
    assert "Traceback" not in log.read_text()


def sessions(page: Page, address: str) -> int:
    """How many sessions a server has."""
    return page.request.get(f"{address}health").json()["sessions"]["open"]


def attached(page: Page) -> None:
    """Wait until a page has its session, and nothing is on its way any more."""
    page.wait_for_function("document.querySelector('#attnpanel-drawn') === null")
    settle(page)
    assert page.evaluate("Bokeh.documents.length") == 1


def test_the_toy_is_drawn_and_moves_without_a_session(start, page):
    before = sessions(page, start)
    open_explorer(page, f"{start}?head=2&token=5&mask=causal&theme=dark")
    tap(page, "weights", 1, 6)
    press(page, "[")

    call = toy_trace().calls[0]
    truth = attend(call.query, call.key, call.value, mask=np.tri(8, dtype=bool))
    weights = np.nan_to_num(matrix(page, "weights"))  # masked cells have no number
    np.testing.assert_allclose(weights, truth.weights[0, 2], atol=1e-6)
    expect(page.locator(".attn-caption-row")).to_contain_text("“t6”")
    told = {"head": "2", "token": "6", "mask": "causal", "theme": "dark"}
    assert link(page) | TOY | told == link(page)
    assert page.evaluate("document.documentElement.className") == "attn-dark-page"
    assert page.evaluate(ALONE)
    assert sessions(page, start) == before


@pytest.mark.slow
def test_what_needs_python_gets_a_session_with_all_that_was_on_screen(start, page):
    open_explorer(page, f"{start}?head=1&token=4")
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("button", name="Lesson").click()
    page.get_by_label("All steps").select_option(index=2)
    choose(page, Head=3, Token=6)
    page.locator(".attn-notes-card textarea").fill("not added yet")
    page.mouse.wheel(0, 300)
    page.wait_for_function("window.scrollY > 200")

    # Without scrolling there, as a click of Playwright's would.
    file = page.get_by_role("button", name="File", exact=True)
    file.evaluate("(button) => button.focus({preventScroll: true})")
    page.keyboard.press("Enter")
    attached(page)

    expect(page.locator(".attn-upload")).to_be_attached()
    assert (position(page, "Head"), position(page, "Token")) == (3, 6)
    assert page.get_by_label("All steps").input_value() == "2"
    assert link(page)["lesson"] == "3"
    assert page.locator(".attn-notes-card textarea").input_value() == "not added yet"
    more = page.get_by_role("button", name="More", exact=True)
    assert more.get_attribute("aria-expanded") == "true"
    assert page.evaluate("window.scrollY") > 200
    focused = "let n = document.activeElement; while (n.shadowRoot) n = n.shadowRoot.activeElement"
    assert page.evaluate(f"() => {{ {focused}; return n.textContent }}") == "File"
    assert "live" not in link(page)
    # One page handles a key, and Python follows it.
    page.evaluate(f"() => {{ {focused}; n.blur() }}")
    press(page, "ArrowUp")
    assert position(page, "Token") == 5


@pytest.mark.thorough
@pytest.mark.slow
def test_a_number_of_the_toy_is_taken_along(start, page):
    open_explorer(page, start)

    fill_number(page, "T", 9)
    attached(page)

    assert matrix(page, "weights").shape == (9, 9)
    assert link(page)["T"] == "9"
    fill_number(page, "T", 7)
    assert matrix(page, "weights").shape == (7, 7)


@pytest.mark.thorough
@pytest.mark.slow
def test_a_link_to_another_small_toy_needs_no_session_but_for_its_report(start, page):
    open_explorer(page, f"{start}?T=6&seed=7&head=1")

    call = toy_trace(T=6, seed=7).calls[0]
    truth = attend(call.query, call.key, call.value).weights[0, 1]
    np.testing.assert_allclose(matrix(page, "weights"), truth, atol=1e-6)
    assert (link(page)["T"], link(page)["seed"]) == ("6", "7")
    assert page.evaluate(ALONE)

    # It is downloaded by the press that asked for it.
    with page.expect_download() as download:
        page.get_by_role("button", name="Download report").click()

    assert download.value.suggested_filename == "attention.html"
    assert "attnpanel-document" in download.value.path().read_text("utf-8")


@pytest.mark.thorough
@pytest.mark.slow
def test_notes_go_along_where_the_browser_keeps_none(start, page):
    page.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage']) "
        "Object.defineProperty(window, name, {get() { throw new Error('forbidden') }})"
    )
    open_explorer(page, start)
    field = page.locator(".attn-notes-card textarea").first
    field.fill("added")
    field.press("Control+Enter")
    page.locator("[data-edit]").click()
    page.locator(".attn-note-list textarea").fill("changed, and not saved")

    page.get_by_role("button", name="File", exact=True).click()
    attached(page)

    expect(page.locator(".attn-note-list li")).to_have_count(1)
    expect(page.locator(".attn-note-list")).to_contain_text("changed, and not saved")


@pytest.mark.thorough
@pytest.mark.slow
def test_a_server_that_is_full_or_does_not_answer_is_told_and_asked_again(start, page, problems):
    problems.allow("503|ERR_INTERNET_DISCONNECTED")
    # A choice that does not apply is told, too, and the rest is shown.
    open_explorer(page, f"{start}?head=99&token=5")
    notice = page.locator(".attn-notice")
    expect(notice).to_contain_text("Not restored from the link. Head: “99” does not apply here.")
    full = "This server is full: 2 pages are open, the most at a time."
    page.route(
        "**/?*live=1*",
        lambda route: route.fulfill(status=503, body=full, content_type="text/plain"),
    )

    page.get_by_role("button", name="Prompt", exact=True).click()

    status = page.locator(".attn-status")
    expect(status).to_contain_text(full)
    expect(page.locator(".attn-sources .bk-active")).to_have_text("Toy")
    press(page, "ArrowDown")
    assert position(page, "Token") == 6
    assert page.evaluate(ALONE)
    page.unroute_all()
    page.context.set_offline(True)

    page.get_by_role("button", name="File", exact=True).click()

    expect(status).to_contain_text("The server does not answer")
    expect(page.locator(".attn-sources .bk-active")).to_have_text("Toy")
    choose(page, Head=2)
    page.context.set_offline(False)
    status.get_by_role("button", name="Try again").click()
    attached(page)
    expect(page.locator(".attn-upload")).to_be_visible()
    assert (position(page, "Head"), position(page, "Token")) == (2, 6)


@pytest.mark.thorough
@pytest.mark.slow
def test_it_looks_as_a_session_does(start, page, open_page):
    pictures = []
    for at, address in ((page, f"{start}?head=2"), (open_page(), f"{start}?head=2&live")):
        open_explorer(at, address)
        shot = at.screenshot(full_page=True, animations="disabled")
        with Image.open(io.BytesIO(shot)) as image:
            pictures.append(np.asarray(image.convert("RGB"), int))

    alone, session = pictures
    assert alone.shape == session.shape
    # Two shots of one page differ by 2 of 255 at rounded borders.
    assert abs(alone - session).max() <= 3
