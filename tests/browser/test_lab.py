"""The lab: train a tiny run, watch its curve grow, stop another, compare the two, keep a report."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from attnpanel.pages.lab.curves import DECIMAL
from attnpanel.training.store import RunStore
from tests.browser.conftest import free_port, wait_for_address

pytest.importorskip("torch")

POINTS = """(chart) => {
  const source = Bokeh.documents[0].get_model_by_name(`lab:${chart}:lines`)
  return source.data.ys.map((line) => line.length)
}"""
DASHED = "() => Bokeh.documents[0].get_model_by_name('lab:loss:dashed').data.ys.length === 1"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The file that the server keeps its runs in."""
    return tmp_path_factory.mktemp("lab") / "runs.sqlite3"


@pytest.fixture(scope="module")
def lab(root, runs):
    """The address of the lab of a server that a user has started."""
    command = [sys.executable, "-m", "attnpanel", "serve", "--runs", str(runs)]
    log = runs.with_name("server.log")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with log.open("w") as file:
        server = subprocess.Popen(
            [*command, "--port", str(free_port())],
            cwd=root,
            stdout=file,
            stderr=file,
            env=environment,
        )
    try:
        yield wait_for_address(server, log) + "lab"
    finally:
        server.terminate()
        server.wait(timeout=300)


def open_lab(page, address):
    page.goto(address)
    page.wait_for_function("() => window.Bokeh?.documents?.[0]?.is_idle")


def fill(page, **numbers):
    for name, number in numbers.items():
        field = page.locator(f".lab-{name} input")
        field.fill(str(number))
        field.press("Enter")


def run(page, name):
    return page.locator(".lab-run").filter(has_text=name)


@pytest.mark.thorough
def test_the_ticks_of_the_loss_say_their_numbers(open_page):
    said = open_page().evaluate(
        "([code, ticks]) => ticks.map(new Function('tick', code))",
        [DECIMAL, [3.5, 3, 0.30000000000000004, 0.001, 1.125]],
    )

    assert said == ["3.5", "3", "0.3", "0.001", "1.125"]


@pytest.mark.thorough
def test_a_run_is_trained_another_stopped_both_compared_and_kept_in_a_report(
    lab, runs, open_page, tmp_path
):
    page = open_page()
    open_lab(page, lab)
    expect(page.get_by_role("link", name="Lab")).to_have_attribute("aria-current", "page")

    expect(page.locator(".lab-charts")).to_be_hidden()
    expect(page.locator(".lab-curves")).to_contain_text("start a run, or tick one")

    # What can't be trained is said, and nothing starts.
    fill(page, d_model=8, heads=3, steps=10**9, batch=4)
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".lab-problem")).to_contain_text("from 10 to 20000; got 1000000000")
    fill(page, steps=40)
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".lab-problem")).to_contain_text("heads must divide d_model; got 3")
    expect(page.locator(".lab-run")).to_have_count(0)

    # One is trained; its curves grow while the page is closed and opened again.
    fill(page, heads=2)
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".lab-state")).to_contain_text("#1")
    page.close()
    page = open_page(accept_downloads=True)
    open_lab(page, lab)
    expect(page.locator(".lab-state")).to_contain_text("done · step 40 of 40")
    page.wait_for_function(f"() => ({POINTS})('loss')[0] === 41 && ({POINTS})('answer')[0] === 41")

    # It is kept with the weights it ended with, and with the browser that started it.
    expect(page.get_by_role("button", name="The trained model")).to_be_visible()
    store = RunStore(runs)
    assert len(store.run(1).owner) == 32
    assert len(store.model_bytes(1)) > 1000

    # Its attention at any step.
    slider = page.get_by_role("slider", name="Step of training")
    expect(page.locator(".lab-step-words")).to_have_text("step 40 of 40")
    slider.focus()
    page.keyboard.press("Home")
    expect(page.locator(".lab-step-words")).to_have_text("step 0 of 40")
    page.get_by_role("button", name="Layer 1, head 1").click()
    expect(page.locator(".lab-pair")).to_contain_text("After 0 steps layer 1, head 1 puts")

    # Another, without attention, is stopped on its way.
    expect(page.get_by_role("button", name="This step as a trace")).to_be_visible()
    page.get_by_role("checkbox", name="Attention (untick").uncheck()
    fill(page, steps=20000)
    page.get_by_role("button", name="Start").click()
    baseline = run(page, "without attention")
    expect(baseline).to_contain_text("· training ·")
    expect(page.locator(".lab-replay")).to_contain_text("it has no attention to show")
    expect(page.get_by_role("button", name="This step as a trace")).to_be_hidden()
    # Its weights are kept, so a sequence can be typed at its steps.
    expect(page.locator(".lab-step-words")).to_contain_text("of 20000")
    baseline.get_by_role("button", name="Stop").click()
    expect(baseline).to_contain_text("stopped")

    # Both are drawn; a name is somebody's words.
    baseline.get_by_role("button", name="Rename").click()
    page.keyboard.type("<b>base</b>")
    page.keyboard.press("Enter")
    expect(run(page, "<b>base</b>")).to_be_visible()
    assert page.locator(".lab-run b").count() == 0
    page.wait_for_function(DASHED)

    # The report, opened with no network.
    run(page, "2 × 2 heads").get_by_role("button", name="induction").click()
    expect(page.locator(".lab-step-words")).to_have_text("step 40 of 40")
    page.get_by_label("Your notes for the report").fill("The curve without attention stays high.")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download report").click()
    path = tmp_path / "training.html"
    download.value.save_as(path)
    report = open_page(offline=True)
    report.goto(path.as_uri())
    expect(report.locator(".lab-notes")).to_contain_text("The curve without attention stays high.")
    expect(report.locator(".lab-step-words")).to_have_text("step 40 of 40")
    report.get_by_role("slider", name="Step of training").focus()
    report.keyboard.press("ArrowLeft")
    expect(report.locator(".lab-step-words")).to_have_text("step 39 of 40")
    assert report.evaluate(POINTS, "loss") == [41]

    # Deleted, for all who look; another press takes the question back.
    run(page, "<b>base</b>").get_by_role("button", name="Delete").click()
    run(page, "<b>base</b>").get_by_role("button", name="Rename").click()
    page.keyboard.press("Escape")
    expect(run(page, "<b>base</b>").get_by_role("button", name="Really")).to_have_count(0)
    for _ in range(2):
        run(page, "<b>base</b>").get_by_role("button", name="elete").click()
    expect(page.locator(".lab-run")).to_have_count(1)
    assert [one.id for one in RunStore(runs).runs()] == [1]
