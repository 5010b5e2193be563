"""An exercise done in a browser, from the task to the answer that is handed in."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.acting import choose
from tests.browser.reading import open_explorer, settle

ABOVE = """(words) => {
  const deep = (root) => [root, ...[...root.querySelectorAll("*")]
    .flatMap((one) => (one.shadowRoot ? deep(one.shadowRoot) : []))]
  const found = (css, holds) => deep(document).flatMap((root) => [...root.querySelectorAll(css)])
    .find((one) => one.textContent.includes(holds)).getBoundingClientRect()
  return found("p", words).bottom < found("h2", "Softmax").top
}"""
# How many colours each picture has: a plot that wasn't drawn has one.
COLOURS = """(pictures) => Promise.all(pictures.map(async (picture) => {
  await picture.decode()
  const canvas = new OffscreenCanvas(picture.naturalWidth, picture.naturalHeight)
  const context = canvas.getContext("2d")
  context.drawImage(picture, 0, 0)
  return new Set(new Uint32Array(
    context.getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size
}))"""


@pytest.mark.thorough
def test_an_exercise_is_solved_and_handed_in(page, open_page, served, tmp_path):
    open_explorer(page, f"{served}exercises?exercise=causal")
    verdict = page.locator(".attn-verdict")

    page.get_by_role("button", name="Check").click()
    expect(verdict.get_by_text("Not yet: t0 may see 8 tokens")).to_be_visible()
    page.get_by_role("button", name="Hint").click()
    expect(page.get_by_text("Hint: It is the mask of every language model")).to_be_visible()
    choose(page, Mask="causal")
    settle(page)
    page.get_by_role("button", name="Check").click()
    expect(verdict.get_by_text("Solved: t0 may see 1 token, the last token 8")).to_be_visible()

    page.get_by_label("Your answer").fill("One score has <b>softmax</b> 1.")
    page.get_by_label("Your answer").blur()
    page.get_by_label("Your name").fill("Ada *King*")
    page.get_by_label("Date", exact=True).fill("2026-12-01")
    settle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export my answer").click()
    assert download.value.suggested_filename == "answer-causal-ada-king-2026-12-01.html"
    path = tmp_path / "answer.html"
    download.value.save_as(path)

    report = open_page(offline=True)
    report.goto(path.as_uri())
    expect(report.get_by_role("heading", name="Exercise: No looking ahead")).to_be_visible()
    expect(report.get_by_text("One score has <b>softmax</b> 1.")).to_be_visible()
    expect(report.get_by_text("Solved: t0 may see 1 token, the last token 8")).to_be_visible()
    expect(report.get_by_text("Ada *King*, 2026-12-01")).to_be_visible()
    report.wait_for_function("location.hash.includes('mask=causal')")
    # The words stand above the explorer, with pictures of it that no slider moves.
    assert report.evaluate(ABOVE, "One score has")
    snapshots = report.locator(".attn-snapshots img")
    expect(snapshots).to_have_count(4)
    assert snapshots.nth(0).get_attribute("alt") == "Score, softmax and mix"
    assert snapshots.nth(1).get_attribute("alt") == "Where “t0” looks"
    # As wide as the plots were, whatever the pixels of the screen.
    plots = report.locator(".attn-steps").evaluate("(one) => one.getBoundingClientRect().width")
    assert snapshots.nth(0).evaluate("(one) => one.width") <= plots
    for colours in snapshots.evaluate_all(COLOURS):
        assert colours > 5

    # The words outlast a reload, and belong to their exercise.
    page.reload()
    expect(page.get_by_label("Your answer")).to_have_value("One score has <b>softmax</b> 1.")
    page.get_by_label("Exercise", exact=True).select_option("1 · Half for itself")
    expect(page.get_by_label("Your answer")).to_have_value("")
    # The name was asked once; a date is today's until another is chosen.
    expect(page.get_by_label("Your name")).to_have_value("Ada *King*")
    today = page.evaluate("new Date().toLocaleDateString('sv')")
    expect(page.get_by_label("Date", exact=True)).to_have_value(today)

    # All answers are one file, also those of an earlier visit.
    page.get_by_label("Your answer").fill("Half is half.")
    page.get_by_label("Your answer").blur()
    settle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export all").click()
    assert download.value.suggested_filename == f"answer-all-ada-king-{today}.html"
    path = tmp_path / "all.html"
    download.value.save_as(path)
    report.goto(path.as_uri())
    expect(report.get_by_role("heading", name="Exercises: 2 of")).to_be_visible()
    expect(report.get_by_text("Half is half.")).to_be_visible()
    expect(report.get_by_text("One score has <b>softmax</b> 1.")).to_be_visible()


@pytest.mark.thorough
def test_on_a_phone_the_answer_is_folded_away_beside_the_task(page, served):
    size = page.viewport_size
    page.set_viewport_size({"width": 390, "height": 844})
    open_explorer(page, f"{served}exercises?exercise=half")
    answer = page.get_by_label("Your answer", exact=True).and_(page.locator("textarea"))
    unfold = page.get_by_role("button", name="Your answer")

    expect(answer).to_be_hidden()
    unfold.click()
    expect(answer).to_be_visible()
    answer.press("Escape")
    expect(answer).to_be_hidden()
    expect(unfold).to_be_focused()

    # A verdict or hint that is not there yet takes no room.
    hint = page.get_by_role("button", name="Hint").bounding_box()
    card = page.locator(".attn-exercise").bounding_box()
    assert card["y"] + card["height"] - (hint["y"] + hint["height"]) < 18
    page.set_viewport_size(size)
