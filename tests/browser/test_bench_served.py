"""The bench and an app of one's own beside the dashboard: linked, live, starting a run."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from playwright.sync_api import expect

from attnpanel.bench.certify.error_map import (
    MapSettings,
    compute_side,
    difference,
    reference_result,
)
from attnpanel.bench.run.serialization import write
from tests.browser.conftest import Problems, free_port, wait_for_address
from tests.unit.bench.run.sample_runs import sample_run

READY = "() => window.Bokeh?.documents?.[0]?.is_idle"
IMAGE = "(name) => [...Bokeh.documents[0].get_model_by_name(name).data.image[0]]"

# Whether the weights of the one explorer that is on screen are painted: blank is one colour.
DRAWN = """
() => {
  const views = [...Bokeh.documents[0]._all_models.values()]
    .filter((model) => model.name === "attn:plot:weights")
    .map((model) => Bokeh.index.find_one(model)?.canvas_view?.primary?.canvas)
    .filter((canvas) => canvas?.checkVisibility({visibilityProperty: true}))
  if (views.length !== 1) return false
  const {width, height} = views[0]
  const {data} = views[0].getContext("2d").getImageData(0, 0, width, height)
  return new Set(new Uint32Array(data.buffer)).size > 20
}
"""
OPACITY = """
() => {
  const page = Bokeh.documents[0]
  const view = page.views_manager.get_one(page.get_model_by_name("bench:plot:error:output"))
  return getComputedStyle(view.el).opacity
}
"""


@pytest.fixture(scope="module")
def dashboard(root, tmp_path_factory):
    """The address of a server with the bench beside, as `make serve` starts it."""
    folder = tmp_path_factory.mktemp("results")
    write(sample_run(), folder / "run-made.json")
    log = folder / "server.log"
    command = [sys.executable, "-m", "attnpanel", "serve", "--page", "bench"]
    app = folder / "app.py"
    guide = (root / "docs" / "panel-apps.md").read_text(encoding="utf-8")
    app.write_text(guide.partition("```python notest\n")[2].partition("```")[0], encoding="utf-8")
    command += ["--page", f"mine={app}", "--port", str(free_port())]
    environment = {**os.environ, "ATTNPANEL_BENCH_RESULTS": str(folder), "PYTHONUNBUFFERED": "1"}
    with log.open("w") as file:
        server = subprocess.Popen(command, cwd=root, stdout=file, stderr=file, env=environment)
    try:
        yield wait_for_address(server, log)
    finally:
        server.terminate()
        server.wait(timeout=300)


@pytest.fixture(scope="module")
def _bench(browser, dashboard):
    context, problems = browser.new_context(viewport={"width": 1440, "height": 900}), Problems()
    problems.watch(context)
    page = context.new_page()
    page.goto(dashboard)
    page.get_by_role("link", name="Bench").click()
    page.wait_for_url("**/bench")
    yield page, problems
    context.close()


@pytest.fixture
def bench(_bench):
    """The bench's page, to which the dashboard has led; shared."""
    page, problems = _bench
    yield page
    seen, problems.seen = problems.unexpected(), []
    assert seen == []


def test_the_dashboard_leads_to_the_bench_and_back(dashboard, bench):
    bench.locator(".bench-certificate").wait_for()

    back = bench.get_by_role("link", name="Explorer")
    assert back.evaluate("(link) => link.href") == dashboard


def test_the_picture_of_certificates_never_scrolls_up_and_down(bench):
    picture = bench.locator(".bench-wide")
    picture.wait_for()

    assert picture.evaluate("(at) => at.scrollHeight <= at.clientHeight")


def test_the_error_map_answers_what_is_chosen(bench):
    page = bench
    words = page.locator(".bench-error-choices .attn-sentence")
    page.locator(".bench-error-choices strong").first.wait_for()
    for label, value in (("mask", "window"), ("τ", "0.1"), ("Compare", "numpy-online")):
        page.get_by_label(label, exact=True).select_option(value)
    page.get_by_label("with", exact=True).select_option("numpy-naive")
    words.get_by_text("numpy-online − numpy-naive").wait_for()
    setting = MapSettings(mask="window", temperature=0.1)
    right = reference_result(setting)
    sides = [compute_side(name, setting, right) for name in ("numpy-online", "numpy-naive")]
    expected = difference(*sides, right)

    got = np.array(page.evaluate(IMAGE, "bench:error:output"), dtype=float).reshape(32, 32)
    weights = np.array(page.evaluate(IMAGE, "bench:error:weights"), dtype=float).reshape(32, 32)

    # The picture holds float32.
    np.testing.assert_allclose(got, expected.output, rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(weights), ~right.visible)


def test_what_cannot_be_computed_is_said(bench):
    page = bench
    page.locator(".bench-error-choices strong").first.wait_for()

    page.get_by_label("Compare", exact=True).select_option("numpy-online")
    page.get_by_label("dtype", exact=True).select_option("bfloat16")

    page.get_by_text("numpy-online computes").wait_for()
    assert page.evaluate(OPACITY) == "0.15"  # of the answer before
    page.get_by_label("dtype", exact=True).select_option("float64")
    page.locator(".bench-error-choices strong").first.wait_for()
    assert page.evaluate(OPACITY) == "1"


@pytest.mark.thorough
def test_a_run_is_started_from_the_page_and_cancelled(bench):
    page = bench
    page.wait_for_function(READY)
    page.get_by_role("button", name="Start a run").click()
    progress = page.locator(".bench-progress")
    progress.get_by_text(" of ").wait_for()
    expect(page.get_by_role("button", name="Start a run")).to_be_disabled()

    page.get_by_role("button", name="Cancel").click()

    progress.get_by_text("Cancelled; what was done is shown.").wait_for()
    assert "just now" in page.locator(".bench-runs select").input_value()
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()


@pytest.mark.thorough
def test_two_explorers_stand_in_the_tabs_of_a_template_in_an_app_of_ones_own(
    dashboard, page, problems
):
    problems.allow("fonts|net::ERR")  # the template's, which is Panel's
    page.goto(f"{dashboard}mine")
    expect(page.get_by_text("0 of 0–3")).to_be_visible()
    page.wait_for_function(DRAWN)

    page.get_by_text("Another", exact=True).click()

    expect(page.get_by_text("1 of 0–3")).to_be_visible()
    page.wait_for_function(DRAWN)
