"""A served decoder writes on, as it does in a file."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from attnpanel.models.loading import load_model
from attnpanel.models.prompts import trace_ids, trace_prompt
from attnpanel.pages.explorer.report import save_report
from tests.browser.conftest import started
from tests.browser.reading import link, matrix, open_explorer, settle
from tests.browser.report_page import open_report
from tests.browser.test_live_decoder import AT_POSITION, ids_shown
from tests.tiny_language_models import LIMIT, save_gpt2

pytestmark = pytest.mark.thorough

pytest_plugins = ["tests.browser.axe_checks"]
pytest.importorskip("torch")
pytest.importorskip("transformers", reason="no transformers: `make install` brings it")
TEXT = "The page computes attention."
CHOICES = {"Tokens": "6", "Temperature": "2", "Top-k": "400", "Seed": "4"}
SERVED_AT = AT_POSITION.replace("location.hash.slice(1)", "location.search")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    """A tiny model whose weights float16 holds, so that a file computes with the same ones."""
    return str(save_gpt2(tmp_path_factory.mktemp("model") / "tiny", rounded=True))


@pytest.fixture(scope="module")
def address(root, folder, tmp_path_factory):
    """The address of the model's prompt on a server; `&` and more may follow."""
    log = tmp_path_factory.mktemp("served") / "server.log"
    with started(root, log, "--model", folder) as (_server, address):
        yield f"{address}?source=prompt&prompt={TEXT}"


def write(page: Page, **choices: str) -> None:
    for name, value in {**CHOICES, **choices}.items():
        page.get_by_role("spinbutton", name=name, exact=True).fill(value)
    page.get_by_role("button", name="Write on").click()


def said(page: Page):
    return page.locator(".attn-writing-said")


def words(page: Page) -> list[str]:
    return page.locator(".attn-written-token").all_inner_texts()


def wait_for_text(page: Page, count: int) -> None:
    expect(said(page)).to_contain_text(f"{count} tokens written by tiny")
    expect(page).to_have_url(re.compile("[#&]write="))  # the trace is there
    settle(page)


def test_it_writes_as_the_file_does_and_shows_pytorchs_attention(
    browser, page, folder, address, tmp_path
):
    open_explorer(page, address)
    write(page)
    wait_for_text(page, 6)
    page.wait_for_function(SERVED_AT, arg=str(len(ids_shown(page, folder)) - 2))
    settle(page)

    ids = ids_shown(page, folder)
    call = trace_ids(load_model(folder), ids).calls[0]
    np.testing.assert_allclose(np.nan_to_num(matrix(page, "weights")), call.weights(0), atol=2e-5)
    assert link(page)["write"] == "6,2,400,4"
    made = trace_prompt(TEXT, folder)
    path = save_report(made, tmp_path / "live.html", model=folder)
    file = open_report(browser, path, made)
    file.page.get_by_role("textbox", name="Your own text").fill(TEXT)
    write(file.page)
    wait_for_text(file.page, 6)
    assert words(page) == words(file.page)
    rows = ".attn-candidates tbody"
    assert page.inner_text(rows) == file.page.inner_text(rows)
    assert file.faults() == []
    file.page.context.close()


def test_a_written_token_is_chosen_and_a_link_writes_it_again(page, address, axe):
    open_explorer(page, address)
    write(page, Seed="9")
    wait_for_text(page, 6)
    page.locator(".attn-written-token").nth(2).click()
    expect(page.locator(".attn-candidates caption")).to_contain_text(
        f"“{words(page)[2]}” was drawn"
    )
    settle(page)
    before, opened = words(page), dict(parse_qsl(urlsplit(page.url).query))
    weights = matrix(page, "weights")

    axe(page)
    page.goto(page.url)
    wait_for_text(page, 6)

    assert words(page) == before
    assert dict(parse_qsl(urlsplit(page.url).query)) == opened
    np.testing.assert_array_equal(matrix(page, "weights"), weights)


def test_a_link_without_a_token_goes_to_the_last_that_was_drawn(page, folder, address):
    open_explorer(page, f"{address}&write=6,2,400,4")  # runs before the page is drawn
    wait_for_text(page, 6)

    assert link(page)["token"] == str(len(ids_shown(page, folder)) - 2)


def test_it_ends_where_no_more_can_be_read_and_where_the_reader_stops_it(page, address):
    open_explorer(page, address)
    write(page, Tokens="500")
    expect(said(page)).to_contain_text(f"At most {LIMIT} tokens can be read, so it ends here.")
    settle(page)

    write(page, **{"Top-k": "401"})
    expect(said(page)).to_have_text("Top-k must be an integer from 1 to 400; got 401.")
    # A prompt of its own: nothing is written any more.
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".attn-written")).to_be_hidden()
    expect(page).not_to_have_url(re.compile("[?&]write="))


def test_in_another_language_and_beside_a_link_that_asks_too_much(page, address):
    open_explorer(page, f"{address}&lang=de&write=501,1,1,1")

    expect(page.get_by_role("button", name="Weiterschreiben")).to_be_visible()
    expect(page.locator(".attn-caption.error").first).to_contain_text("from 1 to 500; got 501")
