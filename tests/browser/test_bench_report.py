"""A run of the bench as one file: it opens without a network and shows text as text."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from playwright.sync_api import expect

from attnpanel.bench.certify.error_map import (
    REFERENCE,
    MapSettings,
    compute_side,
    difference,
    reference_result,
)
from attnpanel.bench.page import error_card
from attnpanel.bench.page.export import save_run_report
from attnpanel.kernels import IMPLEMENTATIONS
from tests.browser.conftest import Problems
from tests.browser.report_page import watch_requests
from tests.unit.bench.run.sample_runs import sample_run

RUN = "window.pwned=1"
HOSTILE = f"</script><img src=x onerror={RUN}><script>{RUN}</script>"
READY = "() => window.Bokeh?.documents?.[0]?.is_idle"
SOURCE = """
([name, column]) => {
  const {data} = Bokeh.documents[0].get_model_by_name(name)
  return column === "image" ? [...data.image[0]] : data[column]
}
"""
# Where a cell of the matrix lies on screen.
CELL = """
([row, column]) => {
  const page = Bokeh.documents[0]
  const view = page.views_manager.get_one(page.get_model_by_name("bench:plot:matrix"))
  const {left, top} = view.el.getBoundingClientRect()
  const {x_scale, y_scale} = view.frame
  return [left + x_scale.compute(column), top + y_scale.compute(row)]
}
"""
OUTLINE = """
() => {
  const {left, right, bottom, top, visible} = Bokeh.documents[0].get_model_by_name("bench:cell")
  return [left, right, bottom, top, visible]
}
"""
FIGURE = """
(name) => {
  const {x_range, y_range, right, visible} = Bokeh.documents[0].get_model_by_name(name)
  return {x: [x_range.start, x_range.end], names: right[0]?.formatter.args.words, visible}
}
"""


@dataclass
class OpenedFile:
    """A file on screen, and what went wrong in it."""

    page: object
    problems: Problems
    requests: list[str]

    def faults(self) -> list[str]:
        """What went wrong, and what was asked for beyond the file itself."""
        inside = ("blob:", "data:")
        asked = [url for url in self.requests[1:] if not url.startswith(inside)]
        pwned = self.page.evaluate("window.pwned")
        return [*self.problems.unexpected(), *asked, *([] if pwned is None else ["it ran"])]


@pytest.fixture(scope="module")
def opened(browser):
    """Open files with the network switched off, watched; closed at the end."""
    contexts = []

    def open_file(path, fragment="", **options):
        context = browser.new_context(
            **{"viewport": {"width": 1440, "height": 900}, "offline": True, **options}
        )
        contexts.append(context)
        problems = Problems()
        problems.watch(context)
        requests = watch_requests(context)
        page = context.new_page()
        page.goto(path.as_uri() + fragment)
        page.wait_for_function(READY)
        page.locator(".bench-error-choices strong").first.wait_for()
        return OpenedFile(page, problems, requests)

    yield open_file
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The files: a usual run, one whose every word is hostile, one that holds nothing."""
    folder = tmp_path_factory.mktemp("bench")
    run = sample_run()
    older = sample_run(date="2026-11-20T06:00:00+00:00", faster=0.8)
    names = {"numpy-naive": HOSTILE}

    def named(one):
        return replace(one, implementation=names.get(one.implementation, one.implementation))

    place = replace(run.environment, cpu_model=HOSTILE, commit=HOSTILE, versions={HOSTILE: HOSTILE})
    hostile = replace(
        run,
        preset=HOSTILE,
        environment=place,
        machine={HOSTILE: HOSTILE * 99},
        implementations=tuple(names.get(name, name) for name in run.implementations),
        agreements=tuple(replace(named(one), reasons=(HOSTILE,)) for one in run.agreements),
        timings=tuple(replace(named(one), reasons=(HOSTILE,)) for one in run.timings),
    )
    empty = replace(run, agreements=(), timings=(), limits=(), finished=False)
    runs = {"usual": run, "hostile": hostile, "empty": empty}
    with pytest.MonkeyPatch.context() as patch:
        few = tuple(one for one in IMPLEMENTATIONS if one.framework == "numpy")
        patch.setattr(error_card, "IMPLEMENTATIONS", few)  # all of them take 20 s
        yield {
            name: save_run_report(one, folder / f"{name}.html", history=[older])
            for name, one in runs.items()
        }
    error_card.record.cache_clear()


@pytest.fixture(scope="module")
def usual(opened, reports):
    return opened(reports["usual"])


def choice(page, label):
    return page.get_by_label(label, exact=True)


def read(page, name, column):
    return page.evaluate(SOURCE, [name, column])


def test_the_file_asks_for_nothing_and_its_console_is_silent(usual):
    assert len(usual.requests) >= 1
    assert usual.faults() == []


@pytest.mark.thorough
def test_a_stranger_s_words_are_text(opened, reports):
    hostile = opened(reports["hostile"])
    hostile.page.locator(".bench-certificate").focus()
    hostile.page.keyboard.press("ArrowDown")
    shown = hostile.page.locator(".bench-certificate").inner_text()

    assert "onerror" in shown
    assert hostile.faults() == []


@pytest.mark.thorough
def test_a_run_that_holds_nothing_says_so(opened, reports):
    empty = opened(reports["empty"])

    expect(empty.page.get_by_text("This run certified nothing.")).to_be_visible()
    expect(empty.page.get_by_text("Nothing was timed")).to_be_visible()
    assert empty.faults() == []


def test_the_worst_certificate_is_told_first_and_arrow_keys_go_on(usual):
    box = usual.page.locator(".bench-certificate")
    assert "javascript-node · none" in box.inner_text()
    assert "106 units" in box.inner_text()

    box.focus()
    usual.page.keyboard.press("ArrowUp")

    assert "torch-flex-compiled" in box.inner_text()
    assert "Passed" in box.inner_text()


def test_a_tapped_cell_is_told_and_outlined(usual):
    usual.page.mouse.click(*usual.page.evaluate(CELL, [10, 6]))

    box = usual.page.locator(".bench-certificate")
    box.get_by_text("RuntimeError: the device said no").wait_for()
    assert "jax-attention · none B1 H3 T5 S7 D11 Dv13 float32 randn bias" in box.inner_text()
    assert usual.page.evaluate(OUTLINE) == [5.5, 6.5, 9.5, 10.5, True]


def test_other_calls_replace_lines_names_and_ranges(usual):
    page = usual.page
    before = read(page, "bench:speed:points", "y"), page.evaluate(FIGURE, "bench:plot:speed")

    choice(page, "Calls").select_option(label="causal · B1 H8 D64 · float32 · 1 thread")
    page.wait_for_function(
        "(y) => Bokeh.documents[0].get_model_by_name('bench:speed:points').data.y[0] !== y",
        arg=before[0][0],
    )
    after = read(page, "bench:speed:points", "y"), page.evaluate(FIGURE, "bench:plot:speed")

    # A causal call of the hand-made run takes 0.6 of the time of one without a mask.
    np.testing.assert_allclose(after[0], 0.6 * np.array(before[0]))
    assert after[1]["names"] != before[1]["names"]
    assert usual.faults() == []


def test_the_recorded_error_map_is_what_python_computes(usual):
    page = usual.page
    choice(page, "mask").select_option("causal")
    choice(page, "dtype").select_option("float16")
    choice(page, "with").select_option("numpy-naive")
    choice(page, "Compare").select_option("numpy-online")
    setting = MapSettings("float16", "causal")
    right = reference_result(setting)
    sides = [compute_side(name, setting, right) for name in ("numpy-online", "numpy-naive")]
    expected = difference(*sides, right)

    got = np.array(read(page, "bench:error:output", "image"), dtype=float).reshape(32, 32)

    # Two numbers of 16 bits, each below 4 units: 2 ** -9 apart at most.
    np.testing.assert_allclose(got, expected.output, atol=2**-9 + 1e-6)
    assert "numpy-online − numpy-naive" in page.locator(".bench-error-choices").inner_text()
    assert usual.faults() == []


def test_rows_that_see_no_key_tell_the_policies_apart(usual):
    page = usual.page
    choice(page, "dtype").select_option("float32")
    choice(page, "mask").select_option("padding")
    choice(page, "Compare").select_option("numpy-naive")
    choice(page, "with").select_option(REFERENCE)

    words = page.locator(".bench-error-choices .attn-sentence").inner_text()
    assert "Queries 24 to 31 see no key: the two fill them differently." in words
    choice(page, "Compare").select_option("numpy-online")
    words = page.locator(".bench-error-choices .attn-sentence").inner_text()
    assert "the two fill them alike" in words


def test_dark_and_light_recolour_every_cell_and_are_kept_in_the_address(usual):
    page = usual.page
    light = read(page, "bench:matrix:cells", "fill")

    page.get_by_role("button", name="Light or dark").click()

    assert read(page, "bench:matrix:cells", "fill") == read(page, "bench:matrix:cells", "fill@dark")
    assert "theme=dark" in page.url
    page.get_by_role("button", name="Light or dark").click()
    assert read(page, "bench:matrix:cells", "fill") == light
    assert usual.faults() == []


@pytest.mark.thorough
def test_a_phone_scrolls_the_matrix_and_nothing_else(opened, reports):
    phone = opened(
        reports["usual"], viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )

    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = phone.page.locator(".bench-wide")
    assert wide.evaluate("(one) => one.scrollWidth") > 390
    # Keys bring the cell they go to on screen.
    phone.page.locator(".bench-certificate").focus()
    for _ in range(4):
        phone.page.keyboard.press("ArrowRight")
    left, _ = phone.page.evaluate(CELL, [8, 15])
    assert 0 < left < 390
    assert phone.faults() == []
