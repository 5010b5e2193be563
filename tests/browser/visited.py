"""Pytest plugin: pages that the tests of a file share by address.

Use it by ``pytest_plugins = ["tests.browser.visited"]``.
"""

from __future__ import annotations

import pytest

from tests.browser.conftest import Problems
from tests.browser.reading import WATCH

VIEWPORT = {"width": 1440, "height": 900}
IDLE = "() => window.Bokeh?.documents?.[0]?.is_idle"


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
