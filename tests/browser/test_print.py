"""Pages, reports and answers on paper: no controls, and nothing beyond the sheet."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.browser.handed_in"]

SHEET = 1046  # pixels of CSS between the margins of A4 in landscape
# What reaches beyond the sheet, what no paper needs, and how much there is besides.
ON_PAPER = """
(sheet) => {
  window.dispatchEvent(new Event("beforeprint"))
  const deep = (root) => [...root.querySelectorAll("*")]
    .flatMap((one) => [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])])
  const seen = deep(document.body)
    .filter((one) => one.checkVisibility() && one.getClientRects().length)
  const beyond = seen.filter((one) => one.matches("h1, h2, p, canvas, table, img, button")
    && one.getBoundingClientRect().right > sheet + 1)
  const controls = seen
    .filter((one) => one.matches(".noUi-handle, .attn-theme-button, input[type=range]"))
  return {
    beyond: beyond.map((one) => one.outerHTML.slice(0, 120)),
    controls: controls.map((one) => one.className),
    plots: seen.filter((one) => one.matches("canvas")).length,
    place: seen.find((one) => one.matches(".attn-print-place"))?.textContent ?? "",
    address: location.href, // the page may still be writing it
  }
}
"""


@pytest.mark.parametrize("name", ["report", "answer", "comparison"])
def test_a_file_fits_the_sheet_without_controls_and_returns_to_the_screen(page, files, name):
    page.goto(files[name].as_uri())
    page.locator(".attn-sentence .result").first.wait_for()
    width = "() => document.querySelector('.attn-root').getBoundingClientRect().width"
    before = page.evaluate(width)

    page.emulate_media(media="print")
    shown = page.evaluate(ON_PAPER, SHEET)

    assert shown["beyond"] == []
    assert shown["controls"] == []
    assert shown["plots"] >= 5
    assert shown["place"].endswith(shown["address"])
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert page.evaluate(width) == before
    # By the browser's own way, a sheet or a few of A4 in landscape (842 points wide).
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    assert 1 <= pdf.count(b"/Type /Page\n") <= 4
    assert b"/MediaBox [0 0 841" in pdf
