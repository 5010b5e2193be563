"""A report whose data can't be read says so where it is seen."""

from __future__ import annotations

import re

import pytest

from tests.browser.report_page import open_file

pytest_plugins = ["tests.browser.reports"]


def test_an_unknown_version_of_the_data_is_a_readable_message(browser, reports, tmp_path):
    path, trace = reports("toy")
    text, count = re.subn(
        r'("schema"\W+attnpanel\.payload/)\d+', r"\g<1>99", path.read_text(encoding="utf-8")
    )
    assert count == 1
    edited = tmp_path / "edited.html"
    edited.write_text(text, encoding="utf-8")

    opened = open_file(browser, edited, trace)

    assert_told(opened, "attnpanel.payload/99")
    assert opened.faults() == []
    opened.page.context.close()


@pytest.mark.thorough
def test_data_cut_short_is_a_readable_message(browser, reports, tmp_path):
    path, trace = reports("toy")
    text = path.read_text(encoding="utf-8")
    start = text.index('"payloads": ["') + len('"payloads": ["')
    end = text.index('"', start)
    edited = tmp_path / "edited.html"
    edited.write_text(text[: start + (end - start) // 2] + text[end:], encoding="utf-8")

    opened = open_file(browser, edited, trace)

    assert_told(opened, "damaged")
    assert opened.elsewhere() == []
    opened.page.context.close()


def assert_told(opened, part):
    """A message that holds these words stands on the first screen, as a line and no column."""
    said = opened.page.get_by_text(part)
    said.wait_for()
    box = said.bounding_box()
    assert box["width"] > 300
    assert box["y"] + box["height"] < 900
