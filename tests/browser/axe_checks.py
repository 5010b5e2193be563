"""Pytest plugin: what axe finds on a page, and fields without a name.

Use it by ``pytest_plugins = ["tests.browser.axe_checks"]``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

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


@pytest.fixture(scope="module")
def axe(root: Path) -> Callable[[Page], None]:
    """Fail where a page has a serious problem, or a field without a name; by axe-core's script."""
    path = root / "js" / "node_modules" / "axe-core" / "axe.min.js"
    if not path.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("no axe-core: `make js` installs it")
        pytest.skip("no axe-core: `make js` installs it")
    script = path.read_text(encoding="utf-8")

    def check(page: Page) -> None:
        page.evaluate(script)
        assert page.evaluate(WORST) == []
        assert page.evaluate(NAMELESS) == []

    return check
