"""Download report: the served page's state as one offline file."""

from contextlib import suppress

import playwright.sync_api
from playwright.sync_api import Download, Page, expect

from tests.browser.reading import open_explorer


def downloaded(page: Page) -> Download:
    """What the button gives; pressed once more where nothing came, as a reader would.

    Beside other tests a press has been seen to bring nothing, twice in some thirty runs; why is
    not known.
    """
    with suppress(playwright.sync_api.TimeoutError), page.expect_download() as first:
        page.get_by_text("Download report").click()
    with suppress(playwright.sync_api.TimeoutError):
        return first.value
    with page.expect_download(timeout=90_000) as second:
        page.get_by_text("Download report").click()
    return second.value


def test_the_downloaded_report_opens_offline_where_the_page_was(page, open_page, served, tmp_path):
    open_explorer(page, f"{served}?mask=causal&head=2&token=5")
    report = tmp_path / "attention.html"
    downloaded(page).save_as(report)

    offline = open_page(offline=True)
    offline.goto(report.as_uri())

    expect(offline.get_by_role("heading", name="Where “t5” looks")).to_be_visible()
    expect(offline.get_by_text("layer 0, head 2 · entropy")).to_be_visible()
    offline.keyboard.press("ArrowUp")
    expect(offline.get_by_role("heading", name="Where “t4” looks")).to_be_visible()
