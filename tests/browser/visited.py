"""Pytest plugin: pages that the tests of a file share by address, and axe, which judges them.

Use it by ``pytest_plugins = ["tests.browser.visited"]``.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Problems
from tests.browser.reading import WATCH

# Every field, slider, group and plot that has no name; shadow roots included.
NAMELESS = """
() => {
  const deep = (root) => [...root.querySelectorAll("*")]
    .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])])
  const named = (one) => one.ariaLabel || one.getAttribute("aria-labelledby")
    || [...(one.labels ?? [])].some((label) => label.textContent.trim())
  const asked = "input:not([type=hidden]), select, textarea, [role=slider]" +
    ", .bk-btn-group, .bk-Canvas"
  return deep(document.body)
    .filter((one) => one.matches(asked) && one.checkVisibility() && !named(one)
      && !(one.matches(".bk-btn-group") && one.children.length < 2))
    .map((one) => one.outerHTML.slice(0, 120))
}
"""
WORST = """
async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .filter(({impact}) => impact === "serious" || impact === "critical")
  .flatMap(({id, nodes}) => nodes.map(({target, html}) => `${id}: ${target} ${html.slice(0, 160)}`))
"""
VIEWPORT = {"width": 1440, "height": 900}
IDLE = "() => window.Bokeh?.documents?.[0]?.is_idle"


@pytest.fixture(scope="module")
def assert_accessible(root) -> Callable[[Page], None]:
    """Hold a page to axe, which the JavaScript tools bring, and to names for all its fields."""
    path = root / "js" / "node_modules" / "axe-core" / "axe.min.js"
    if not path.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("no axe-core: `make js` installs it")
        pytest.skip("no axe-core: `make js` installs it")
    axe = path.read_text(encoding="utf-8")

    def assert_accessible(page: Page) -> None:
        page.evaluate(axe)
        assert page.evaluate(WORST) == []
        assert page.evaluate(NAMELESS) == []

    return assert_accessible


@pytest.fixture(scope="module")
def _visits(browser):
    """A page for each address that was visited, left as it is."""
    context, problems, pages = browser.new_context(viewport=VIEWPORT), Problems(), {}
    problems.watch(context)

    def visit(address, *, settles=False):
        if address not in pages:
            pages[address] = context.new_page()
            if settles:
                pages[address].add_init_script(WATCH)
            pages[address].goto(address)
            pages[address].wait_for_function(IDLE)
        return pages[address]

    yield visit, problems
    context.close()


@pytest.fixture
def visit(_visits):
    """Return the page of an address, opened once for all tests; `settles` is for settle()."""
    visit, problems = _visits
    yield visit
    seen, problems.seen = problems.unexpected(), []
    assert seen == []
