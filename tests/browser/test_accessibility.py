"""Pages, reports and answers for those who hear them or have no pointer: axe, names, keys."""

from __future__ import annotations

import os
import re

import pytest
from playwright.sync_api import expect

from attnpanel.bench.run.serialization import write
from attnpanel.models.toy import toy_trace
from tests.browser.acting import leave_focus, press
from tests.browser.conftest import Problems, started
from tests.browser.reading import open_explorer, sentence, settle
from tests.unit.bench.run.sample_runs import sample_run

pytest_plugins = ["tests.browser.axe_checks", "tests.browser.handed_in"]

IDLE = "() => window.Bokeh?.documents?.[0]?.is_idle"
# The part of each page that stands last.
PLACES = {
    "": ".attn-sentence .result",
    "compare": ".attn-ranking li button",
    "lab": ".lab-start",
    "exercises": ".attn-sentence .result",
    "variants": ".variants-player",
    "bench": ".bench-certificate li",
}


@pytest.fixture(scope="module")
def site(root, tmp_path_factory):
    """The address of a server with every page, the bench's included."""
    folder = tmp_path_factory.mktemp("results")
    write(sample_run(), folder / "run-made.json")
    before = os.environ.get("ATTNPANEL_BENCH_RESULTS")
    os.environ["ATTNPANEL_BENCH_RESULTS"] = str(folder)
    try:
        with started(root, folder / "server.log", "--page", "bench") as (
            _,
            address,
        ):
            yield address
    finally:
        if before is None:
            del os.environ["ATTNPANEL_BENCH_RESULTS"]
        else:
            os.environ["ATTNPANEL_BENCH_RESULTS"] = before


@pytest.fixture(scope="module")
def shared(browser):
    """One page that goes from place to place."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    problems = Problems()
    problems.watch(context)
    yield context.new_page(), problems
    context.close()


@pytest.fixture
def visited(shared):
    page, problems = shared
    yield page
    seen, problems.seen = problems.unexpected(), []
    assert seen == []


@pytest.mark.parametrize("name", PLACES)
def test_a_page_has_nothing_serious_and_names_its_fields(visited, site, axe, name):
    visited.goto(f"{site}{name}")
    visited.wait_for_function(IDLE)
    visited.locator(PLACES[name]).first.wait_for()
    more = visited.get_by_role("button", name="More", exact=True)
    if more.count():
        more.click()

    axe(visited)


@pytest.mark.parametrize("name", ["report", "answer", "comparison", "variants"])
def test_a_file_has_nothing_serious_and_names_its_fields(visited, files, axe, name):
    visited.goto(files[name].as_uri())
    visited.locator(PLACES.get(name, PLACES[""])).first.wait_for()

    axe(visited)


@pytest.mark.model
def test_the_page_of_a_prompt_has_nothing_serious_and_names_its_fields(visited, site, axe):
    visited.goto(f"{site}?source=prompt")
    shown = visited.locator(".attn-caption-provenance")
    expect(shown).to_contain_text("17 tokens")

    axe(visited)


def test_the_open_lesson_the_numbers_and_the_keys_have_nothing_serious(visited, site, axe):
    open_explorer(visited, site)
    visited.get_by_role("button", name="Lesson").click()
    visited.get_by_text("Why this token:").click()
    visited.get_by_role("heading", name="t2 → t3").wait_for()
    visited.get_by_text("All of it as tables").click()
    axe(visited)

    visited.get_by_role("button", name="List the keys").click()
    expect(visited.get_by_role("dialog", name="Keys")).to_be_visible()
    axe(visited)
    visited.keyboard.press("Escape")
    expect(visited.get_by_role("dialog")).to_have_count(0)


def test_a_group_says_which_of_its_buttons_is_on(visited, site):
    open_explorer(visited, site)
    group = visited.get_by_role("group", name="Where the attention comes from")

    expect(group.get_by_role("button", name="Toy")).to_have_attribute("aria-pressed", "true")
    group.get_by_role("button", name="File").click()
    expect(group.get_by_role("button", name="File")).to_have_attribute("aria-pressed", "true")
    expect(group.get_by_role("button", name="Toy")).to_have_attribute("aria-pressed", "false")


def test_a_plot_is_an_image_that_says_what_is_in_it(visited, site):
    open_explorer(visited, site)

    softmax = visited.get_by_role("img", name=re.compile("^Softmax"))
    expect(softmax).to_have_attribute(
        "aria-label",
        "Softmax, each row sums to 1; layer 0, head 0, 8 queries, 8 keys. "
        "Token “t2” looks at “t3” 52.1 %, “t2” 35.4 %, “t1” 5.9 %.",
    )


def test_a_cell_is_noted_without_a_pointer(visited, site):
    open_explorer(visited, site)
    leave_focus(visited)

    press(visited, "Shift+ArrowRight", "Shift+ArrowRight")

    assert sentence(visited).startswith("t2 → t5")
    marked = visited.get_by_role("button", name="Mark cell t2 → t5")
    expect(marked).to_have_attribute("aria-pressed", "true")


def test_the_row_is_there_as_a_table(visited, site):
    open_explorer(visited, site)

    visited.get_by_text("Why this token:").click()
    visited.get_by_text("All of it as tables").click()
    table = visited.get_by_role("region", name="The row as a table")

    call = toy_trace().calls[0]
    weights = call.weights(0)[2]
    first = table.get_by_role("row").nth(1)
    expect(first.get_by_role("rowheader")).to_have_text(f"t{weights.argmax()}")
    expect(first.get_by_role("cell").nth(1)).to_have_text(f"{weights.max():.4g}")
    expect(table.get_by_role("row").last).to_contain_text("“t2” becomes")
    output = weights @ call.value[0, 0]
    expect(table.get_by_role("row").last.get_by_role("cell").last).to_have_text(f"{output[-1]:.4g}")


def test_a_word_explains_itself_to_the_keyboard(visited, site):
    open_explorer(visited, site)
    word = visited.locator(".attn-sentence .attn-word").first

    word.focus()

    expect(visited.get_by_role("tooltip")).to_contain_text("Dot product of query and key")
    assert word.get_attribute("aria-describedby") == visited.get_by_role("tooltip").get_attribute(
        "id"
    )
    visited.keyboard.press("Escape")
    expect(visited.get_by_role("tooltip")).to_have_count(0)


def test_the_result_of_a_check_is_read_out(visited, site):
    open_explorer(visited, f"{site}exercises?exercise=half")

    visited.get_by_role("button", name="Check").click()

    told = visited.locator(".attn-announcements[role=status][data-said*='token 2 gives 85.0 %']")
    expect(told).to_have_count(1)


def test_a_number_beyond_its_bounds_is_refused_aloud_and_does_not_stay(visited, site):
    open_explorer(visited, site)
    field = visited.get_by_role("textbox", name="T", exact=True)

    field.fill("9999")
    field.press("Enter")
    settle(visited)

    expect(field).to_have_value("8")
    assert field.evaluate("(at) => at.validationMessage") == "T must be from 1 to 2048; got 9999."


def test_the_sliders_of_a_comparison_say_their_values_in_words(visited, files):
    visited.goto(files["comparison"].as_uri())

    expect(visited.get_by_role("slider", name="Token", exact=True)).to_have_attribute(
        "aria-valuetext", "0 · t0"
    )
    expect(visited.get_by_role("slider", name="Temperature, A")).to_have_attribute(
        "aria-valuetext", "1.00"
    )
