"""The ready-made reports in a browser: offline, silent, and the lesson's experiments work."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import expect

from reports import indirect_object, live_decoder, training_run, translation
from reports.table import REPORTS
from reports.trained import TrainingReport
from tests.browser.conftest import Problems

SAYS = "([name, text]) => new URLSearchParams(location.hash.slice(1)).get(name) === text"
SIZE = {"width": 1440, "height": 900}
NEEDS_MODEL = {"live_decoder", "live_prompt", "real_prompt", "two_prompts"}
# What stands on a report when it has drawn itself, where it is not an explorer's.
TRAINED = {
    "training_run": training_run.REPORT,
    "indirect_object": indirect_object.REPORT,
    "translation": translation.REPORT,
}
DRAWN = {
    "two_prompts": "Heads by difference",
    "benchmark": "Where it was measured",
    "this_device": "What is covered, and what is not",
    "variants": "Online softmax, block by block",
} | dict.fromkeys(TRAINED, "step 10 of 10")


def shortened(report: TrainingReport) -> TrainingReport:
    """Train for so long only that there is something to draw."""
    runs = [
        (name, replace(settings, steps=10, d_model=8, heads=2)) for name, settings in report.runs
    ]
    return replace(report, runs=tuple(runs))


def barely_trained(path, title):
    """Write the report of a decoder that has only begun to learn."""
    return live_decoder.save(live_decoder.train(2), path, title)


SHORT = {"live_decoder": barely_trained}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build a ready-made report once."""
    folder, paths = tmp_path_factory.mktemp("reports"), {}

    def build(name):
        if name not in paths:
            report = next(one for one in REPORTS if one.name == name)
            of = (
                shortened(TRAINED[name]).build if name in TRAINED else SHORT.get(name, report.build)
            )
            paths[name] = of(folder / f"{name}.html", report.title)
        return paths[name].as_uri()

    return build


@pytest.fixture(scope="module")
def _pages(browser, built):
    """A page of each report, opened once without a network."""
    context, problems, pages = browser.new_context(viewport=SIZE, offline=True), Problems(), {}
    problems.watch(context)
    problems.allow("No available adapters")  # of WebGPU, which this Chromium is started without

    def show(name):
        if name not in pages:
            pages[name] = context.new_page()
            pages[name].goto(built(name))
        return pages[name]

    yield show, problems
    context.close()


@pytest.fixture
def show(_pages):
    """Return the page of a report; shared."""
    show, problems = _pages
    yield show
    seen, problems.seen = problems.unexpected(), []
    assert seen == []


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(report.name, marks=[pytest.mark.model] if report.name in NEEDS_MODEL else [])
        for report in REPORTS
    ],
)
def test_it_opens_offline_and_silent(show, name):
    page = show(name)

    title = next(report.title for report in REPORTS if report.name == name)
    expect(page).to_have_title(title)
    expect(page.get_by_text(DRAWN.get(name, "· entropy")).first).to_be_visible()
    if name not in ("benchmark", "this_device", "variants", *TRAINED):
        expect(page.locator(".attn-markdown h2").first).to_be_visible()


@pytest.mark.thorough
@pytest.mark.model
def test_the_heads_of_the_two_prompts_are_gone_to(show):
    page = show("two_prompts")
    expect(page.locator(".attn-ranking li button").first).to_be_visible()
    link = page.locator(".attn-markdown a", has_text="layer 3, head 1")

    link.click()

    page.wait_for_function(SAYS, arg=["layer", "3"])
    page.wait_for_function(SAYS, arg=["head", "1"])
    expect(page.get_by_role("heading", name="A layer 3, head 1")).to_be_visible()


@pytest.mark.thorough
@pytest.mark.model
def test_the_decoder_writes_on_where_a_link_says(show):
    page = show("live_decoder")
    said = page.locator(".attn-writing-said")
    for link in page.locator(".bk-panel-models-markup-HTML.attn-markdown a").all():
        count, *_ = parse_qs(link.get_attribute("href").strip())["write"][0].split(",")
        link.click()
        expect(page.locator(".attn-written-prompt")).to_have_text(
            parse_qs(link.get_attribute("href").strip().removeprefix("#"))["prompt"][0]
        )
        expect(said).to_contain_text("tokens written by alice-letters")
        # As many as the link says, or fewer where the model ends its text.
        written = page.locator(".attn-written-token").count()
        assert written == int(count) or "ended its text" in said.inner_text()


def test_every_experiment_of_the_lesson_goes_where_it_says(show):
    page = show("toy_lesson")
    expect(page.get_by_text("· entropy")).to_be_visible()

    links = page.locator(".attn-markdown a")
    for index in range(links.count()):
        asked = links.nth(index).get_attribute("href").strip().removeprefix("#")
        wanted = dict(part.split("=") for part in asked.split("&"))
        links.nth(index).click()
        if "lesson" in wanted:
            expect(page.get_by_text("Step 1 of 8")).to_be_visible()
            page.get_by_role("button", name="Leave").click()
        # The address keeps every choice that matters there.
        for name in ("head", "token", "temperature", "mask"):
            if name in wanted:
                page.wait_for_function(SAYS, arg=[name, wanted[name]])
    assert links.count() >= 7
