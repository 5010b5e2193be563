"""A server that ends: what its page says, keeps doing, and does when it is back."""

from __future__ import annotations

import re
import signal

import pytest
from playwright.sync_api import expect

from tests.browser.acting import choose, position
from tests.browser.conftest import free_port, started
from tests.browser.reading import open_explorer, settle
from tests.hand_made import call, trace_of

INERT = """() => [...Bokeh.documents[0]._all_models.values()]
  .filter((model) => Bokeh.index.find_one(model)?.el?.inert)
  .map((model) => model.class_name ?? model.type)"""


@pytest.mark.thorough
def test_pages_tell_that_their_server_died_draw_on_and_come_back_as_they_were(
    root, open_page, problems, tmp_path
):
    problems.allow("ERR_CONNECTION_REFUSED|not connected so cannot send")
    log, own, port = tmp_path / "server.log", tmp_path / "mine.safetensors", free_port()
    trace_of(call(query_len=3)).save(own)
    options = (root, log, "--runs", str(tmp_path / "runs.sqlite3"))
    toy, lab, file = pages = [open_page() for _ in range(3)]
    notes, steps = lab.locator(".lab-notes-field textarea"), lab.locator(".lab-steps input")
    with started(*options, port=port) as (server, address):
        open_explorer(toy, address)
        lab.goto(f"{address}lab")
        notes.fill("layer 1 first")
        steps.fill("77")
        steps.press("Tab")
        open_explorer(file, address)
        file.get_by_role("button", name="File").click()
        file.locator(".attn-upload input").set_input_files(own)
        file.wait_for_url("**source=file**")
        settle(file)
        server.send_signal(signal.SIGKILL)
        for page in pages:
            expect(page.locator(".attn-status")).to_contain_text("Not connected")

    # What needs the server is inert; the page's own controls go on, and so does the address.
    assert {"Download", "Spinner", "ThemeButton"} <= set(toy.evaluate(INERT))
    expect(toy.locator(".attn-caption-row")).to_contain_text("“t2”")
    toy.keyboard.press("ArrowDown")
    expect(toy.locator(".attn-caption-row")).to_contain_text("“t3”")
    toy.wait_for_url("**token=3**")

    with started(*options, port=port):
        expect(toy.locator(".attn-status")).to_be_hidden()
        expect(toy.locator(".attn-caption-row")).to_contain_text("“t3”")
        assert position(toy, "Token") == 3
        choose(toy, Head=2)  # the server answers again
        # What was typed and not sent survives.
        expect(lab.locator(".attn-status")).to_be_hidden()
        expect(notes).to_have_value("layer 1 first")
        expect(steps).to_have_value("77")
        # An uploaded file stays on screen until the reader says so.
        status = file.locator(".attn-status")
        expect(status).to_contain_text("has lost the file")
        assert "source=file" in file.url
        status.get_by_role("button", name="Load anew").click()
        expect(file.locator(".attn-caption")).to_contain_text(["choose the file again"])
    assert "Traceback" not in log.read_text()


def test_a_page_whose_connection_was_cut_comes_back_as_it_was(page, served):
    sockets = []

    def through(socket):
        sockets.append(socket)
        socket.connect_to_server()

    page.route_web_socket(re.compile("/ws"), through)
    open_explorer(page, served)
    choose(page, Head=2, Token=3)
    sockets[0].close(code=1011, reason="by the test")

    with page.expect_event("load"):
        expect(page.locator(".attn-status")).to_contain_text("Not connected")
    page.wait_for_function("Bokeh.documents[0]?.is_idle")
    expect(page.locator(".attn-caption-row")).to_contain_text("“t3”")
    assert (position(page, "Head"), position(page, "Token")) == (2, 3)
    choose(page, Head=1)  # the server answers again
    assert len(sockets) == 2
