"""A file with a decoder in it: attention of a typed text, without a network."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from attnpanel.models.loading import load_model
from attnpanel.models.prompts import trace_ids, trace_prompt
from attnpanel.models.tokens import names_of_ids
from attnpanel.pages.explorer.report import save_report
from tests.browser.reading import matrix, settle
from tests.browser.report_page import LIVE, Opened, fragment, go, open_report
from tests.browser.test_live_prompt import status, type_text
from tests.tiny_language_models import LIMIT, save_gpt2, save_llama

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="no transformers: `make install` brings it")
TOKENS = """() => {
  for (const model of Bokeh.documents[0]._all_models.values())
    if (model.css_classes?.includes("attn-token-strip")) return model.data.names.keys
}"""
AT_POSITION = "(token) => new URLSearchParams(location.hash.slice(1)).get('token') === token"
OWN, TYPED = "The page computes attention.", "It's a 東 page,\n isn't it: 12 heads?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    """A tiny model whose weights float16 holds, so that nothing but the arithmetic differs."""
    return str(save_gpt2(tmp_path_factory.mktemp("model") / "tiny", rounded=True))


@pytest.fixture(scope="module")
def opened(browser, folder, tmp_path_factory):
    path: Path = tmp_path_factory.mktemp("live") / "live.html"
    trace = trace_prompt(OWN, folder)
    opened = open_report(browser, save_report(trace, path, model=folder), trace)
    yield opened
    opened.page.context.close()


@pytest.fixture
def page(opened: Opened):
    """The report as it opens, ready for a text."""
    go(opened.page, "layer=1&head=2&mean=0&token=0&temperature=1&mask=model")
    expect(status(opened.page)).not_to_contain_text("Loading")
    yield opened.page
    assert opened.faults() == []


def assert_shown(page: Page, weights: np.ndarray) -> None:
    """The heatmap holds a head's weights; what a causal mask hides is not a number or 0."""
    np.testing.assert_allclose(np.nan_to_num(matrix(page, "weights")), weights, rtol=0, atol=2e-5)


def test_what_a_reader_types_is_shown_as_pytorch_computes_it(page, folder):
    type_text(page, TYPED)

    calls = trace_prompt(TYPED, folder).calls
    assert_shown(page, calls[1].weights(2))
    go(page, f"prompt={quote(TYPED)}&layer=0&head=1&token=9&mask=none")
    scores = calls[0].scores(1)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    assert_shown(page, weights)
    # A byte of a character, which a note on hovering says.
    chip = page.locator(".attn-tokens .attn-chips button", has_text="\\x").first
    chip.hover()
    expect(chip).to_have_attribute("title", re.compile("from “東”"))


@pytest.mark.thorough
def test_it_writes_on_and_shows_the_attention_of_each_token(page, folder):
    page.get_by_role("textbox", name="Your own text").fill(OWN)
    for name, value in (("Tokens", "6"), ("Temperature", "2"), ("Top-k", "400"), ("Seed", "4")):
        page.get_by_role("spinbutton", name=name, exact=True).fill(value)
    page.get_by_role("button", name="Write on").click()
    said = page.locator(".attn-writing-said")
    expect(said).to_have_text("6 tokens written by tiny, temperature 2, top-k 400, seed 4.")
    settle(page)
    written = page.locator(".attn-written-token")
    words = written.all_inner_texts()

    # What PyTorch gives for the same tokens: attention and candidates of the one before a token.
    ids = ids_shown(page, folder)
    loaded = load_model(folder, head=True)
    weights = trace_ids(loaded, ids).calls[1].weights(2)
    assert_shown(page, weights)
    written.nth(2).click()
    position = len(ids) - len(words) + 1
    page.wait_for_function(AT_POSITION, arg=str(position))
    with torch.no_grad():
        logits = loaded.model(torch.tensor([ids])).logits[0, position]
    likely = names_of_ids(loaded.tokenizer, logits.argsort(descending=True)[:8].tolist())
    shown = page.locator(".attn-candidates tbody th")
    names = [text.removesuffix(" was drawn") for text in shown.all_inner_texts()]
    assert names[:8] == list(likely)
    assert names[-1] == words[2] or words[2] in names[:8]

    # The address says how it was written, and a reload writes the same.
    assert fragment(page)["write"] == "6,2,400,4"
    page.reload()
    page.wait_for_function(LIVE)
    expect(said).to_contain_text("6 tokens written by tiny")
    settle(page)
    assert written.all_inner_texts() == words
    assert_shown(page, weights)
    assert fragment(page)["token"] == str(position)
    write_on = page.get_by_role("button", name="Write on")
    page.get_by_role("spinbutton", name="Top-k").fill("401")
    write_on.click()
    expect(said).to_have_text("Top-k must be an integer from 1 to 400; got 401.")
    page.get_by_role("spinbutton", name="Top-k").fill("400")
    page.get_by_role("spinbutton", name="Tokens").fill("500")
    write_on.click()
    expect(said).to_contain_text(f"At most {LIMIT} tokens can be read, so it ends here.")


@pytest.mark.thorough
@pytest.mark.parametrize("button", ["Show its attention", "Write on"])
def test_a_refused_text_leaves_what_was_written(page, button):
    field, said = (
        page.get_by_role("textbox", name="Your own text"),
        page.locator(".attn-writing-said"),
    )
    field.fill(OWN)
    page.get_by_role("spinbutton", name="Tokens", exact=True).fill("5")
    page.get_by_role("button", name="Write on").click()
    expect(said).to_contain_text("5 tokens written by tiny")
    settle(page)
    written, address = page.locator(".attn-written-token"), page.url
    words, told = written.all_inner_texts(), said.inner_text()

    field.fill("page " * LIMIT)
    page.get_by_role("button", name=button).click()

    expect(status(page)).to_contain_text("What was shown before is still here.")
    assert (written.all_inner_texts(), said.inner_text()) == (words, told)
    assert page.url == address
    written.nth(3).click()
    expect(page.locator(".attn-candidates caption")).to_contain_text(f"“{words[3]}” was drawn")


@pytest.mark.thorough
def test_a_llama_with_grouped_keys_and_rotated_ones_is_run(browser, tmp_path):
    folder = str(save_llama(tmp_path / "llama", rounded=True))
    trace = trace_prompt(OWN, folder)
    path = save_report(trace, tmp_path / "llama.html", model=folder, layer=1, head=5)
    opened = open_report(browser, path, trace)
    type_text(opened.page, TYPED)
    assert_shown(opened.page, trace_prompt(TYPED, folder).calls[1].weights(5))
    assert opened.faults() == []
    opened.page.context.close()


def ids_shown(page: Page, folder: str) -> list[int]:
    """The ids of the tokens on the page; names of this tokenizer's tokens are unique."""
    tokenizer = load_model(folder).tokenizer
    numbers = {
        name: number for number, name in enumerate(names_of_ids(tokenizer, range(len(tokenizer))))
    }
    assert len(numbers) == len(tokenizer)
    return [numbers[name] for name in page.evaluate(TOKENS)]
