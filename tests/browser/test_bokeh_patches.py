"""Every patch of js/bokeh_patches still finds in Bokeh and Panel what it patches."""

from __future__ import annotations

pytest_plugins = ["tests.browser.reports"]

PATCHES = "() => Object.fromEntries(globalThis[Symbol.for('attnpanel.patches')])"
NO_PATCHES = {"patch"}  # the function that applies the others


def test_every_patch_applies_to_this_version(toy_report, root):
    files = {path.stem for path in (root / "js" / "bokeh_patches").glob("*.js")}

    assert toy_report.page.evaluate(PATCHES) == dict.fromkeys(files - NO_PATCHES, True)
