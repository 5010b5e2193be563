"""Work too long for the page's thread: done by a Worker, said while it runs, dropped for newer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from attnpanel.explorer.selection import select
from attnpanel.pages.explorer.report import save_report
from attnpanel.trace import Trace
from tests.browser.conftest import PATIENCE_MS
from tests.browser.reading import matrix, settle
from tests.browser.report_page import KERNEL_MARKS, Opened, open_report
from tests.hand_made import call, trace_of

LENGTH, HEADS = 1536, 24


@pytest.fixture(scope="module")
def long_trace() -> Trace:
    """So many heads of so many tokens that their mean takes a Worker about a second."""
    return trace_of(call(0, heads=HEADS, query_len=LENGTH))


@pytest.fixture(scope="module")
def long_report(long_trace: Trace, tmp_path_factory) -> Path:
    """The file of its report."""
    return save_report(long_trace, tmp_path_factory.mktemp("long") / "long.html")


@pytest.fixture
def opened(browser: Browser, long_trace: Trace, long_report: Path) -> Iterator[Opened]:
    """The report of it, on its first head."""
    opened = open_report(browser, long_report, long_trace)
    yield opened
    assert opened.faults() == []
    opened.page.context.close()


def shown(trace: Trace, head: int | None) -> np.ndarray:
    """The weights of a head, or of the mean, by NumPy, pooled as a page draws them."""
    weights = select(trace.calls[0], head, 0, mask=None, temperature=1.0, empty_rows="zero").weights
    length = len(weights)
    blocks = -(-length // 512)
    return weights.reshape(length // blocks, blocks, length // blocks, blocks).max(axis=(1, 3))


@pytest.mark.thorough
def test_the_mean_of_many_heads_is_computed_beside_the_page_and_said_to_be(opened, long_trace):
    page = opened.page

    page.get_by_role("checkbox", name="Mean of heads").check()

    status = page.locator(".attn-caption.busy")
    expect(status).to_contain_text(f"the mean of {HEADS} heads")
    expect(status).to_be_hidden()
    worker, *helpers = page.workers  # which compute rows beside it, where there is a core for them
    assert len(helpers) == min(worker.evaluate("navigator.hardwareConcurrency") - 1, 3)
    kernel, *contest = worker.evaluate(KERNEL_MARKS)
    assert kernel == "attnpanel-kernel wasm-relaxed-simd"
    # A software adapter, or none, computes no picture.
    assert set(contest) <= {"attnpanel-no-webgpu"}
    np.testing.assert_allclose(matrix(page, "weights"), shown(long_trace, None), atol=2e-3)


@pytest.mark.thorough
def test_a_newer_choice_takes_the_place_of_one_that_is_still_computed(opened, long_trace):
    page = opened.page

    page.get_by_role("checkbox", name="Mean of heads").check()
    page.get_by_role("checkbox", name="Mean of heads").uncheck()
    page.evaluate("document.activeElement.blur()")
    for _ in range(3):
        page.keyboard.press("ArrowRight")

    page.wait_for_function("location.hash.includes('head=3')")
    np.testing.assert_allclose(matrix(page, "weights"), shown(long_trace, 3), atol=2e-3)
    expect(page.locator(".attn-caption.busy")).to_be_hidden()


@pytest.mark.thorough
def test_a_browser_without_workers_computes_in_the_page(browser, long_trace, long_report):
    context = browser.new_context(offline=True)
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script("window.Worker = class { constructor() { throw new Error('no') } }")
    page = context.new_page()
    page.goto(long_report.as_uri())

    page.wait_for_function("location.hash.includes('head=0')")
    page.get_by_role("checkbox", name="Mean of heads").check()
    page.wait_for_function("location.hash.includes('mean=1')")

    np.testing.assert_allclose(matrix(page, "weights"), shown(long_trace, None), atol=2e-3)
    context.close()


# Counts the pictures that came ahead, and paints the weights in them over where it is told to.
COUNT_AHEAD = """
(() => {
  const Real = window.Worker
  window.ahead = 0
  window.Worker = class extends Real {
    set onmessage(then) {
      super.onmessage = (event) => {
        then(event)
        if (event.data.kind !== "ahead") return
        const {sources} = event.data.drawings.weights
        if (window.paintOver) sources["attn:weights"].image[0].fill(0.25)
        window.ahead += 1
      }
    }
  }
})()
"""


@pytest.fixture
def counting(browser: Browser, long_trace: Trace, long_report: Path) -> Iterator[Opened]:
    """The report of it, which counts what was computed ahead."""
    opened = open_report(browser, long_report, long_trace, script=COUNT_AHEAD)
    yield opened
    assert opened.faults() == []
    opened.page.context.close()


@pytest.mark.thorough
def test_one_more_step_shows_what_was_computed_while_the_reader_looked(counting, long_trace):
    page = counting.page
    page.evaluate("window.paintOver = true")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("window.ahead === 1")
    np.testing.assert_allclose(matrix(page, "weights"), shown(long_trace, 1), atol=2e-3)

    page.keyboard.press("ArrowRight")
    page.wait_for_function("location.hash.includes('head=2')")

    assert (matrix(page, "weights") == 0.25).all()


@pytest.mark.thorough
def test_a_step_another_way_is_computed_for_itself(counting, long_trace):
    page = counting.page
    page.evaluate("window.paintOver = true")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("window.ahead >= 1")

    page.keyboard.press("ArrowLeft")
    page.wait_for_function("location.hash.includes('head=1')")

    np.testing.assert_allclose(matrix(page, "weights"), shown(long_trace, 1), atol=2e-3)


@pytest.mark.thorough
def test_what_was_computed_ahead_is_outlined_where_the_reader_went_since(counting, long_trace):
    page = counting.page
    page.keyboard.press("ArrowRight")
    page.wait_for_function("window.ahead === 1")
    page.keyboard.press("ArrowDown")
    page.wait_for_function("location.hash.includes('token=1')")

    page.keyboard.press("ArrowRight")
    page.wait_for_function("location.hash.includes('head=2')")

    np.testing.assert_allclose(matrix(page, "weights"), shown(long_trace, 2), atol=2e-3)
    outline = page.evaluate(
        "(() => { const plot = Bokeh.documents[0].get_model_by_name('attn:plot:weights');"
        " const box = plot.center.find((one) => one.name === 'attn:outline');"
        " return [box.bottom, box.top] })()"
    )
    assert sorted(outline) == [0.5, 1.5]


@pytest.mark.thorough
@pytest.mark.parametrize("approach", ["hover", "focus"])
def test_a_long_mean_is_computed_once_the_reader_comes_to_its_control(counting, approach):
    page = counting.page
    control = page.get_by_role("checkbox", name="Mean of heads")
    page.evaluate("window.paintOver = true")
    settle(page)
    assert page.evaluate("window.ahead") == 0

    getattr(control, approach)()
    page.wait_for_function("window.ahead === 1")
    control.check()
    page.wait_for_function("location.hash.includes('mean=1')")

    assert (matrix(page, "weights") == 0.25).all()


@pytest.mark.thorough
def test_the_first_mean_was_computed_while_the_reader_looked(browser, tmp_path):
    trace = trace_of(call(0, heads=5, query_len=401))
    file = save_report(trace, tmp_path / "mean.html")
    opened = open_report(browser, file, trace, script=f"{COUNT_AHEAD};window.paintOver = true")
    page = opened.page
    page.wait_for_function("window.ahead === 1")

    page.get_by_role("checkbox", name="Mean of heads").check()
    page.wait_for_function("location.hash.includes('mean=1')")

    assert (matrix(page, "weights") == 0.25).all()
    assert opened.faults() == []
    page.context.close()
