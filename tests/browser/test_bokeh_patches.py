"""Every patch of js/bokeh_patches still finds in Bokeh and Panel what it patches."""

from __future__ import annotations

import pytest

from tests.browser.reading import open_explorer

pytest_plugins = ["tests.browser.reports"]

PATCHES = "() => Object.fromEntries(globalThis[Symbol.for('attnpanel.patches')])"
NO_PATCHES = {"patch"}  # the function that applies the others
OF_SESSIONS = {"session_texts"}
FETCHED = "() => performance.getEntriesByType('resource').map(({ name }) => name)"


def test_every_patch_applies_to_this_version(toy_report, root):
    files = {path.stem for path in (root / "js" / "bokeh_patches").glob("*.js")}

    expected = dict.fromkeys(files - NO_PATCHES - OF_SESSIONS, True)
    assert toy_report.page.evaluate(PATCHES) == expected


@pytest.mark.thorough
def test_a_sessions_page_fetches_its_texts_apart_or_gets_them_with_the_rest(served, page, problems):
    open_explorer(page, f"{served}?source=toy&live=1")
    assert page.evaluate(PATCHES).items() >= dict.fromkeys(OF_SESSIONS, True).items()
    assert any("/common-texts/" in address for address in page.evaluate(FETCHED))

    problems.allow("ERR_FAILED")
    page.route("**/common-texts/*", lambda route: route.abort())
    open_explorer(page, f"{served}?source=toy&live=1")
    assert page.evaluate(PATCHES).items() >= dict.fromkeys(OF_SESSIONS, True).items()
