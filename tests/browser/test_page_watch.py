"""The watched page itself: it must see what the other browser tests rely on it to see."""

from __future__ import annotations

import time

import pytest

from tests.browser.conftest import PATIENCE_S

ELSEWHERE = "http://attnpanel.invalid/"


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ("<script>console.error('red')</script>", "console error: red"),
        ("<script>console.warn('amber')</script>", "console warning: amber"),
        ("<script>throw new Error('thrown')</script>", "exception: Error: thrown"),
        (f"<img src={ELSEWHERE}picture.png>", f"elsewhere: {ELSEWHERE}picture.png"),
        (f"<script>new WebSocket('ws{ELSEWHERE[4:]}socket')</script>", "elsewhere: ws:"),
    ],
)
def test_a_page_with_a_problem_is_noticed(page, problems, html, problem):
    problem = problem.replace("elsewhere", "request leaves this machine")
    problems.allow("")

    page.set_content(html)

    # The browser tells it while the page waits.
    end = time.monotonic() + PATIENCE_S
    while not any(seen.startswith(problem) for seen in problems.seen):
        assert time.monotonic() < end, problems.seen
        page.evaluate("new Promise(requestAnimationFrame)")


def test_a_quiet_page_is_quiet(page, problems):
    page.set_content("<p>quiet</p><script>console.info('only for information')</script>")

    assert page.locator("p").inner_text() == "quiet"
    assert problems.unexpected() == []


def test_only_the_named_problem_is_allowed(page, problems):
    problems.allow("^console error: expected$")
    page.set_content("<script>console.error('expected'); console.error('another')</script>")

    assert problems.unexpected() == ["console error: another"]
    problems.allow("another")
