"""Pages for those who hear them or have no pointer: axe, names, keys."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from attnpanel.models.toy import toy_trace
from tests.browser.acting import choose, leave_focus, open_more, press
from tests.browser.reading import sentence, settle

pytest_plugins = ["tests.browser.axe_checks", "tests.browser.visited"]

LAST = ".attn-sentence .result"  # the part of the page that stands last


@pytest.fixture
def explorer(visit, served):
    """The toy's page at token 2 of head 0; shared."""
    page = visit(served, settles=True)
    page.locator(LAST).first.wait_for()
    settle(page)
    choose(page, Head=0, Token=2)
    return page


def test_the_explorer_has_nothing_serious_and_names_its_fields(explorer, axe):
    """As the other pages, which test_words looks at."""
    open_more(explorer, "Pad length")

    axe(explorer)


@pytest.mark.thorough
@pytest.mark.model
def test_a_prompts_page_has_nothing_serious_and_names_its_fields(visit, served, axe):
    page = visit(f"{served}?source=prompt")
    shown = page.locator(".attn-caption-provenance")
    expect(shown).to_contain_text("17 tokens")

    axe(page)


def test_the_open_lesson_the_numbers_and_the_keys_have_nothing_serious(explorer, axe):
    explorer.get_by_role("button", name="Lesson").click()
    why = explorer.get_by_text("Why this token:")
    why.click()
    explorer.get_by_role("heading", name="t2 → t3").wait_for()
    tables = explorer.get_by_text("All of it as tables")
    tables.click()
    axe(explorer)

    explorer.get_by_role("button", name="List the keys").click()
    expect(explorer.get_by_role("dialog", name="Keys")).to_be_visible()
    axe(explorer)
    explorer.keyboard.press("Escape")
    expect(explorer.get_by_role("dialog")).to_have_count(0)
    tables.click()
    why.click()
    explorer.get_by_role("button", name="Leave").click()


@pytest.mark.thorough
def test_a_group_says_which_of_its_buttons_is_on_and_an_empty_source_what_to_do(explorer):
    group = explorer.get_by_role("group", name="Where the attention comes from")

    expect(group.get_by_role("button", name="Toy")).to_have_attribute("aria-pressed", "true")
    group.get_by_role("button", name="File").click()
    expect(group.get_by_role("button", name="File")).to_have_attribute("aria-pressed", "true")
    expect(group.get_by_role("button", name="Toy")).to_have_attribute("aria-pressed", "false")
    expect(explorer.get_by_text("Choose a trace file").first).to_be_visible()
    group.get_by_role("button", name="Toy").click()
    settle(explorer)


def test_a_plot_is_an_image_that_says_what_is_in_it(explorer):
    softmax = explorer.get_by_role("img", name=re.compile("^Softmax"))
    expect(softmax).to_have_attribute(
        "aria-label",
        "Softmax, each row sums to 1; layer 0, head 0, 8 queries, 8 keys. "
        "Token “t2” looks at “t3” 52.1 %, “t2” 35.4 %, “t1” 5.9 %.",
    )


def test_a_cell_is_noted_without_a_pointer(explorer):
    leave_focus(explorer)

    press(explorer, "Shift+ArrowRight", "Shift+ArrowRight")

    assert sentence(explorer).startswith("t2 → t5")
    marked = explorer.get_by_role("button", name="Mark cell t2 → t5")
    expect(marked).to_have_attribute("aria-pressed", "true")


def test_the_row_is_there_as_a_table(explorer):
    why = explorer.get_by_text("Why this token:")
    why.click()
    explorer.get_by_text("All of it as tables").click()
    table = explorer.get_by_role("region", name="The row as a table")

    call = toy_trace().calls[0]
    weights = call.weights(0)[2]
    first = table.get_by_role("row").nth(1)
    expect(first.get_by_role("rowheader")).to_have_text(f"t{weights.argmax()}")
    expect(first.get_by_role("cell").nth(1)).to_have_text(f"{weights.max():.4g}")
    expect(table.get_by_role("row").last).to_contain_text("“t2” becomes")
    output = weights @ call.value[0, 0]
    expect(table.get_by_role("row").last.get_by_role("cell").last).to_have_text(f"{output[-1]:.4g}")
    why.click()


def test_a_word_explains_itself_to_the_keyboard(explorer):
    page = explorer
    word = page.locator(".attn-sentence .attn-word").first
    leave_focus(page)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")

    word.focus()  # which scrolls

    tooltip = page.get_by_role("tooltip")
    expect(tooltip).to_contain_text("Dot product of query and key")
    assert word.get_attribute("aria-describedby") == tooltip.get_attribute("id")
    page.keyboard.press("Escape")
    expect(tooltip).to_have_count(0)


def test_the_result_of_a_check_is_read_out(visit, served):
    page = visit(f"{served}exercises")  # at the first one, “Half for itself”

    page.get_by_role("button", name="Check").click()

    told = page.locator(".attn-announcements[role=status][data-said*='token 2 gives 85.0 %']")
    expect(told).to_have_count(1)


def test_a_number_beyond_its_bounds_is_refused_aloud_and_does_not_stay(explorer):
    field = explorer.get_by_role("textbox", name="T", exact=True)

    field.fill("9999")
    field.press("Enter")
    settle(explorer)

    expect(field).to_have_value("8")
    assert field.evaluate("(at) => at.validationMessage") == "T must be from 1 to 2048; got 9999."
