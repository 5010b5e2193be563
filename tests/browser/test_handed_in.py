"""Files that are handed in, for those who hear them and on paper: answers, reports and others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from attnpanel.bench.page.export import save_run_report
from attnpanel.models.toy import toy_trace
from attnpanel.pages.compare.report import save_comparison
from attnpanel.pages.exercises.page import ExercisesPage
from attnpanel.pages.explorer.report import save_report
from attnpanel.pages.lab.report import save_training_report
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.variants.report import save_variants
from attnpanel.training.runner import run_training
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.store import RunStore
from tests.unit.bench.run.sample_runs import sample_run

pytest_plugins = ["tests.browser.axe_checks", "tests.browser.visited"]

SHEET = 1046  # pixels of CSS between the margins of A4 in landscape
# What stands last in a file without a sentence.
LAST = {"variants": ".variants-player", "bench": "canvas", "training": "canvas"}
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
    folded: seen.filter((one) => one.matches("summary")).map((one) => one.textContent),
    // Chromium lays their foot over what a break has pushed down.
    flexible: seen.filter((one) => one.matches(".attn-plots, .attn-above"))
      .map((one) => getComputedStyle(one).display).filter((display) => display !== "block"),
    plots: seen.filter((one) => one.matches("canvas")).length,
    place: seen.find((one) => one.matches(".attn-print-place"))?.textContent ?? "",
    address: location.href, // the page may still be writing it
  }
}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files by name: report, answer, comparison and variants."""
    folder, trace = tmp_path_factory.mktemp("files"), toy_trace()
    names = ("report", "answer", "comparison", "variants", "bench", "training")
    made = {name: folder / f"{name}.html" for name in names}
    save_report(trace, made["report"], notes="# Notes\n\nIn *Markdown*.")
    answer = ExercisesPage(ServerSettings(), {})._make_report()
    assert answer is not None
    made["answer"].write_bytes(answer.content())
    save_comparison(trace, trace, made["comparison"], head=(0, 1))
    save_variants(made["variants"])
    save_run_report(sample_run(), made["bench"])
    store = RunStore(folder / "runs.sqlite3")
    settings = TrainingSettings(task="copy", d_model=8, heads=2, layers=1, steps=10, batch=2)
    run_training(store, store.create(settings))
    save_training_report(store, [1], made["training"])
    return made


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize("name", ["report", "answer", "comparison", "variants"])
def test_a_file_has_nothing_serious_and_names_its_fields(visit, files, axe, name):
    page = visit(files[name].as_uri() + "#contrast=1" * (name == "comparison"))
    page.locator(LAST.get(name, ".attn-sentence .result")).first.wait_for()
    if name == "comparison":
        page.locator(".attn-contrast-token").first.wait_for()

    axe(page)


@pytest.mark.thorough
def test_the_sliders_of_a_comparison_say_their_values_in_words(visit, files):
    page = visit(files["comparison"].as_uri())

    expect(page.get_by_role("slider", name="Token", exact=True)).to_have_attribute(
        "aria-valuetext", "0 · t0"
    )
    expect(page.get_by_role("slider", name="Temperature, A")).to_have_attribute(
        "aria-valuetext", "1.00"
    )


def test_on_paper_the_heads_by_difference_keep_their_names(visit, files):
    page = visit(files["comparison"].as_uri())
    heads = page.locator(".attn-ranking li button")
    heads.first.wait_for()

    page.emulate_media(media="print")

    expect(heads.first).to_be_visible()
    expect(heads.first).to_have_text(re.compile(r"^layer 0, head \d$"))
    page.emulate_media(media="screen")


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize("name", ["report", "answer", "comparison", "bench", "training"])
def test_a_file_fits_the_sheet_without_controls_and_returns_to_the_screen(visit, files, name):
    page = visit(files[name].as_uri())
    page.locator(LAST.get(name, ".attn-sentence .result")).first.wait_for()
    width = "() => document.querySelector('.attn-root').getBoundingClientRect().width"
    before = page.evaluate(width)

    page.emulate_media(media="print")
    shown = page.evaluate(ON_PAPER, SHEET)

    assert shown["beyond"] == []
    assert shown["controls"] == []
    assert shown["folded"] == []
    assert shown["flexible"] == []
    assert shown["plots"] >= 5
    assert shown["place"].endswith(shown["address"])
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert page.evaluate(width) == before
    # By the browser's own way, a sheet or a few of A4 in landscape (842 points wide).
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    assert 1 <= pdf.count(b"/Type /Page\n") <= 4
    assert b"/MediaBox [0 0 841" in pdf


@pytest.mark.parametrize("width", [1440, 1000])
def test_the_axes_of_a_training_s_curves_stand_in_one_line(visit, files, width):
    page = visit(files["training"].as_uri())
    page.set_viewport_size({"width": width, "height": 900})
    charts = page.locator(".lab-chart .bk-Canvas")
    expect(charts).to_have_count(3)
    if width == 1000:  # where one title needs two lines
        page.locator(".lab-chart").last.get_by_text("best head").evaluate(
            "(words) => { words.textContent += ' of every layer, and more words than have room' }"
        )

    tops = {round(chart.bounding_box()["y"]) for chart in charts.all()}

    assert len(tops) == 1, tops
