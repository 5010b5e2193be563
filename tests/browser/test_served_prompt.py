"""A prompt through MiniLM, typed on the page."""

from __future__ import annotations

import re

import numpy as np
import pytest

from attnpanel import trace_prompt
from tests.browser.acting import choose, hover, position, source_button
from tests.browser.conftest import Problems
from tests.browser.made import HOSTILE
from tests.browser.reading import (
    differing,
    link,
    matrix,
    notice,
    open_explorer,
    sentence,
    settle,
    snapshot,
    source,
    tooltip,
)

pytestmark = pytest.mark.model

TROPHY = "The trophy does not fit in the brown suitcase because it is too large."
IDLE = """
() => ![...function* below(node) {
  for (const child of [...(node.shadowRoot?.children ?? []), ...node.children]) {
    yield child
    yield* below(child)
  }
}(document.body)].some((node) => node.matches("p.attn-caption.busy") && node.checkVisibility())
"""


@pytest.fixture(scope="module")
def _asked(browser, served):
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    problems = Problems()
    problems.watch(context)
    yield open_explorer(context.new_page(), served), problems
    context.close()


@pytest.fixture
def asked(_asked):
    """A page with the Prompt source open; shared, since a model takes seconds to load."""
    page, problems = _asked
    if link(page)["source"] != "prompt":
        source_button(page, "Prompt").click()
        wait_for_model(page)
    yield page
    seen, problems.seen = problems.unexpected(), []
    assert seen == []


def wait_for_model(page) -> None:
    settle(page)
    page.wait_for_function(IDLE)
    settle(page)


def ask(page, text: str) -> None:
    field = page.locator(".attn-prompt input")
    field.fill(text)
    field.press("Enter")
    wait_for_model(page)


# Whether any words were busy from here on: a warm model is gone through in less than a glance.
NOTE_BUSY = """
() => {
  window.attnBusy = false
  for (const words of Bokeh.documents[0]._all_models.values()) {
    if (words.data?.attributes?.tone === undefined) continue
    const look = () => {
      if (words.data.tone === "busy" && words.data.text && words.visible) window.attnBusy = true
    }
    words.properties.visible.change.connect(look)
    words.data.properties.text.change.connect(look)
  }
}
"""


def test_the_prompt_says_that_it_is_busy_and_opens_where_it_finds_the_trophy(served, page):
    open_explorer(page, served)
    page.evaluate(NOTE_BUSY)
    source_button(page, "Prompt").click()
    page.wait_for_function("window.attnBusy")
    wait_for_model(page)

    assert notice(page) == ""
    assert (position(page, "Layer"), position(page, "Head")) == (3, 1)
    assert sentence(page).startswith("it → trophy")
    row = source(page, "attn:row")
    weight = dict(zip(row["token"], row["weight"], strict=True))
    # What anybody finds in this model: not a number of ours.
    np.testing.assert_allclose([weight["trophy"], weight["suitcase"]], [0.52, 0.30], atol=0.005)
    assert matrix(page, "grid").shape[1] == 2 * matrix(page, "grid").shape[0]  # 6 by 12 heads


@pytest.mark.thorough
def test_a_typed_prompt_shows_its_tokens_and_its_weights(asked):
    text = "Cats chase mice."
    ask(asked, text)
    choose(asked, Layer=2, Head=5)

    call = trace_prompt(text).calls[2]
    np.testing.assert_allclose(matrix(asked, "weights"), call.weights(5), rtol=1e-4, atol=1e-5)
    assert source(asked, "attn:row")["token"] == ["[CLS]", "cats", "chase", "mice", ".", "[SEP]"]
    assert link(asked)["prompt"] == text


@pytest.mark.thorough
def test_a_link_to_a_prompt_restores_prompt_and_choices(asked, page):
    ask(asked, "Paris is the capital of France & more?")
    choose(asked, Layer=4, Head=7, Token=4, Mask="causal", Temperature=6)

    open_explorer(page, asked.url)
    wait_for_model(page)

    assert page.url == asked.url
    assert notice(page) == ""
    assert differing(snapshot(asked), snapshot(page), within=1e-5) == set()


@pytest.mark.thorough
def test_a_change_of_attention_is_shown_beside_what_was_before(asked):
    text = "The trophy does not fit."
    ask(asked, text)
    asked.get_by_role("button", name="More", exact=True).click()
    asked.locator(".attn-change-kind select").select_option("without one edge")
    asked.locator(".attn-change-layer select").select_option("layer 3")
    asked.locator(".attn-change-head select").select_option("head 1")
    settle(asked)
    asked.locator(".attn-change-token select").nth(0).select_option("4 · not")
    asked.locator(".attn-change-token select").nth(1).select_option("2 · trophy")
    asked.get_by_text("Not run yet: press Run.").wait_for()
    settle(asked)
    asked.get_by_role("button", name="Run").click()
    asked.locator(".attn-change-card h2:visible").first.wait_for()
    wait_for_model(asked)

    assert link(asked)["change"] == "edge,3,1,4,2"
    before = trace_prompt(text).calls[3].weights(1)
    change = source(asked, "change:difference")["image"][0]
    np.testing.assert_allclose(change[4, 2], -before[4, 2], atol=1e-5)
    np.testing.assert_allclose(np.delete(change, 4, axis=0), 0, atol=1e-5)
    choose(asked, Head=2)
    settle(asked)
    np.testing.assert_allclose(source(asked, "change:difference")["image"][0], 0, atol=1e-5)

    asked.locator(".attn-change-kind select").select_option("as the model does")
    settle(asked)
    asked.get_by_role("button", name="Run").click()
    asked.locator(".attn-change-card h2").first.wait_for(state="detached")
    wait_for_model(asked)
    assert "change" not in link(asked)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("text", "rule"),
    [("", "Type a sentence"), ("   ", "Type a sentence"), ("word " * 600, "512 tokens")],
)
def test_a_prompt_that_cannot_run_is_told_and_the_page_lives(asked, text, rule):
    ask(asked, "Something that can be run.")
    before = snapshot(asked)

    ask(asked, text)

    assert rule in notice(asked)
    assert differing(before, snapshot(asked)) == set()
    choose(asked, Head=(position(asked, "Head") + 1) % 12)
    assert "weights" in differing(before, snapshot(asked))


@pytest.mark.thorough
def test_a_hostile_prompt_is_text_wherever_it_appears(asked):
    ask(asked, " ".join(HOSTILE))
    assert notice(asked) == ""
    for index in (2, 5, 9):
        choose(asked, Token=index)
        hover(asked, "weights", 3, index)
        assert re.search(r"\d", tooltip(asked)["weight"])

    assert asked.evaluate("window.pwned") is None
    assert asked.locator("img[src=x], svg[onload]").count() == 0
    assert link(asked)["prompt"] == " ".join(HOSTILE)
    tokens = source(asked, "attn:row")["token"]
    assert asked.locator(".attn-chips:visible button").all_inner_texts() == tokens
