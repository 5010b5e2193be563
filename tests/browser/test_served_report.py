"""Download report: the served page's state as one offline file."""

from playwright.sync_api import expect

from tests.browser.reading import open_explorer


def test_the_downloaded_report_opens_offline_where_the_page_was(page, open_page, served, tmp_path):
    open_explorer(page, f"{served}?mask=causal&head=2&token=4")
    report = tmp_path / "attention.html"
    button = page.get_by_role("button", name="Download report")
    with page.expect_download() as download:
        # Pressed in the same moment as the key that goes to the next token.
        button.evaluate(
            """(button) => {
              const key = {key: "ArrowDown", bubbles: true, composed: true}
              document.body.dispatchEvent(new KeyboardEvent("keydown", key))
              button.click()
            }"""
        )
    download.value.save_as(report)

    offline = open_page(offline=True)
    offline.goto(report.as_uri())

    expect(offline.get_by_role("heading", name="Where “t5” looks")).to_be_visible()
    expect(offline.get_by_text("layer 0, head 2 · entropy")).to_be_visible()
    offline.keyboard.press("ArrowUp")
    expect(offline.get_by_role("heading", name="Where “t4” looks")).to_be_visible()
