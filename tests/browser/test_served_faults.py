"""A server that ends: what its page says, keeps doing, and does when it is back."""

from __future__ import annotations

import signal

import pytest
from playwright.sync_api import expect

from tests.browser.acting import choose, position
from tests.browser.conftest import free_port, started
from tests.browser.reading import open_explorer, settle
from tests.hand_made import call, trace_of


@pytest.fixture
def port():
    return free_port()


def test_a_page_tells_that_its_server_died_draws_on_and_comes_back_with_its_state(
    root, page, problems, port, tmp_path
):
    problems.allow("ERR_CONNECTION_REFUSED|not connected so cannot send")
    log = tmp_path / "server.log"
    status = page.locator(".attn-status")
    with started(root, log, port=port) as (server, address):
        open_explorer(page, address)
        server.send_signal(signal.SIGKILL)
        expect(status).to_contain_text("Not connected")

    # What needs the server is inert; the page's own controls go on, and so does the address.
    inert = page.evaluate(
        """() => [...Bokeh.documents[0]._all_models.values()]
          .filter((model) => Bokeh.index.find_one(model)?.el?.inert)
          .map((model) => model.class_name ?? model.type)"""
    )
    assert {"Download", "Spinner", "ThemeButton"} <= set(inert)
    expect(page.locator(".attn-caption-row")).to_contain_text("“t2”")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".attn-caption-row")).to_contain_text("“t3”")
    page.wait_for_url("**token=3**")

    with started(root, log, port=port):
        expect(status).to_be_hidden()
        expect(page.locator(".attn-caption-row")).to_contain_text("“t3”")
        assert position(page, "Token i") == 3
        choose(page, Head=2)  # the server answers again
    assert "Traceback" not in log.read_text()


def test_what_was_typed_and_not_sent_survives_a_restart(root, page, problems, port, tmp_path):
    problems.allow("ERR_CONNECTION_REFUSED")
    log, runs = tmp_path / "server.log", str(tmp_path / "runs.sqlite3")
    notes = page.locator(".lab-notes-field textarea")
    steps = page.locator(".lab-steps input")
    with started(root, log, "--runs", runs, port=port) as (server, address):
        page.goto(f"{address}lab")
        notes.fill("layer 1 first")
        steps.fill("77")
        steps.press("Tab")
        server.send_signal(signal.SIGKILL)
        expect(page.locator(".attn-status")).to_contain_text("Not connected")
    with started(root, log, "--runs", runs, port=port):
        expect(page.locator(".attn-status")).to_be_hidden()
        expect(notes).to_have_value("layer 1 first")
        expect(steps).to_have_value("77")


def test_an_uploaded_file_stays_on_screen_until_the_reader_says_so(
    root, page, problems, port, tmp_path
):
    problems.allow("ERR_CONNECTION_REFUSED")
    log, path = tmp_path / "server.log", tmp_path / "mine.safetensors"
    trace_of(call(query_len=3)).save(path)
    status = page.locator(".attn-status")
    with started(root, log, port=port) as (server, address):
        open_explorer(page, address)
        page.get_by_role("button", name="File").click()
        page.locator(".attn-upload input").set_input_files(path)
        page.wait_for_url("**source=file**")
        settle(page)
        server.send_signal(signal.SIGKILL)
        expect(status).to_contain_text("Not connected")
    with started(root, log, port=port):
        expect(status).to_contain_text("has lost the file")
        assert "source=file" in page.url
        status.get_by_role("button", name="Load anew").click()
        expect(page.locator(".attn-caption")).to_contain_text(["choose the file again"])
