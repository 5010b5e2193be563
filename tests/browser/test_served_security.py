"""A server on this machine, seen by a browser that a foreign site has in its hands."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from attnpanel.bench.browser import ARGUMENTS, find_browser
from tests.browser.reading import open_explorer

EVIL = "evil.example"


@pytest.fixture(scope="module")
def rebound(browser):
    """A Chromium for which evil.example is this machine, as after DNS rebinding."""
    rules = f"--host-resolver-rules=MAP {EVIL} 127.0.0.1"
    chromium = browser.browser_type.launch(executable_path=find_browser(), args=[*ARGUMENTS, rules])
    yield chromium
    chromium.close()


def test_a_name_that_resolves_to_this_machine_opens_no_page(rebound, served):
    page = rebound.new_page()
    port = urlsplit(served).port

    for path in ("", "lab", "compare", "exercises", "static/js/bokeh.min.js", "health"):
        answer = page.goto(f"http://{EVIL}:{port}/{path}")
        assert answer.status == 403
        assert f"not reached by the name “{EVIL}:{port}”" in answer.text()
    page.close()


def test_a_page_of_another_origin_reaches_nothing(page, served, problems, tmp_path):
    """Neither a websocket, nor a script, nor a frame."""
    problems.allow("localhost|WebSocket|frame|Failed to load")
    hostile = tmp_path / "hostile.html"
    hostile.write_text("<!doctype html><title>hostile</title>")
    page.goto(hostile.as_uri())
    own = urlsplit(served).netloc

    outcome = page.evaluate(
        """async (own) => {
          const opened = await new Promise((resolve) => {
            const socket = new WebSocket(`ws://${own}/lab/ws`, ["bokeh", "x"]);
            socket.onopen = () => resolve(true);
            socket.onerror = () => resolve(false);
          });
          const ran = await new Promise((resolve) => {
            const script = document.createElement("script");
            script.src = `http://${own}/autoload.js?bokeh-autoload-element=a`;
            script.onload = () => resolve(true);
            script.onerror = () => resolve(false);
            document.head.append(script);
          });
          const read = await fetch(`http://${own}/lab`).then(() => true, () => false);
          return [opened, ran, read];
        }""",
        own,
    )
    assert outcome == [False, False, False]


def test_the_pages_policy_lets_them_work_and_nothing_leave(page, served, problems):
    problems.allow("example.org")
    open_explorer(page, served)

    blocked = page.evaluate(
        """async () => {
          const told = new Promise((resolve) => {
            const tell = (event) => resolve(event.effectiveDirective);
            document.addEventListener("securitypolicyviolation", tell);
          });
          fetch("https://example.org/").catch(() => {});
          return told;
        }"""
    )
    assert blocked == "connect-src"
    expect(page.locator(".attn-status")).to_be_hidden()
