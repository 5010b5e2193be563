"""A comparison with a model in its file compares what its reader types, without a network."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from attnpanel.comparison import align, attention_difference
from attnpanel.models.prompts import trace_prompt
from attnpanel.pages.compare.report import save_comparison
from tests.browser.conftest import Problems
from tests.browser.test_comparison import difference, open_comparison
from tests.tiny_encoders import save_encoder

OWN = ("The cat sat.", "The dog sat on a mat.")
TYPED = ("A dog does not fit.", "A cat is on it, is it not?")
LAYER, HEAD = 1, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    """A tiny model whose weights float16 holds, so that nothing but the arithmetic differs."""
    return str(save_encoder(tmp_path_factory.mktemp("model") / "tiny", rounded=True))


@pytest.fixture(scope="module")
def file(folder, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("live") / "two.html"
    traces = [trace_prompt(text, folder) for text in OWN]
    return save_comparison(*traces, path, model=folder, layer=LAYER, head=HEAD).as_uri()


@pytest.fixture(scope="module")
def _opened(browser, file):
    context = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True)
    problems = Problems()
    problems.watch(context)
    page = context.new_page()
    open_comparison(page, file)
    yield page, problems
    context.close()


@pytest.fixture
def page(_opened):
    page, problems = _opened
    expect(status(page)).not_to_contain_text("Loading")
    yield page
    seen, problems.seen = problems.unexpected(), []
    assert seen == []


def status(page: Page):
    return page.locator(".attn-prompt-status")


def write(page: Page, *texts: str) -> None:
    for name, text in zip("AB", texts, strict=True):
        page.get_by_role("textbox", name=f"Text {name}").fill(text)
    page.get_by_role("button", name="Compare", exact=True).click()


def assert_shown(page: Page, texts: tuple[str, str], folder: str, within: float = 1e-5) -> None:
    """The difference is that of the weights which PyTorch gives for two texts."""
    traces = [trace_prompt(text, folder) for text in texts]
    pairs = align(*(trace.query_tokens[0] for trace in traces))
    weights = [trace.calls[LAYER].weights(HEAD) for trace in traces]
    expected = attention_difference(*weights, pairs, pairs)
    shown, _low, _high = difference(page)
    np.testing.assert_allclose(shown, expected, rtol=0, atol=within)


def says(page: Page, name: str, text: str | None) -> None:
    page.wait_for_function(
        "([name, text]) => new URLSearchParams(location.hash.slice(1)).get(name) === text",
        arg=[name, text],
    )


def test_two_typed_texts_are_compared_as_pytorch_computes_them(page, folder):
    assert_shown(page, OWN, folder, within=5e-3)  # the file stores float16

    write(page, *TYPED)

    expect(status(page)).to_contain_text("tokens, computed in")
    says(page, "a", TYPED[0])
    says(page, "b", TYPED[1])
    assert_shown(page, TYPED, folder)
    write(page, TYPED[0], "cat " * 40)
    expect(status(page)).to_contain_text("Text B: the model reads at most 23 tokens")
    assert_shown(page, TYPED, folder)
    write(page, " ", TYPED[1])
    expect(status(page)).to_contain_text("Text A must hold a character other than white space.")
    page.get_by_role("button", name="Back to the file").click()
    says(page, "a", None)
    assert_shown(page, OWN, folder, within=5e-3)
    assert page.get_by_role("textbox", name="Text A").input_value().lower() == OWN[0].lower()


@pytest.mark.thorough
def test_a_link_has_its_texts_run_and_then_its_other_choices(page, folder, file):
    other = f"a={quote(TYPED[1])}&b={quote(TYPED[0])}&layer={LAYER}&head={HEAD}&row=3"
    page.evaluate("(hash) => { location.hash = hash }", other)
    expect(status(page)).to_contain_text("tokens, computed in")
    says(page, "row", "3")
    assert_shown(page, TYPED[::-1], folder)

    page.reload()

    expect(status(page)).to_contain_text("tokens, computed in")
    says(page, "row", "3")
    assert_shown(page, TYPED[::-1], folder)
    assert urlsplit(page.url).path == urlsplit(file).path


def test_a_link_whose_texts_are_refused_leaves_the_address_of_what_is_shown(page, folder):
    page.evaluate("(hash) => { location.hash = hash }", f"a=cat&b={quote('cat ' * 40)}")
    expect(status(page)).to_contain_text("Text B: the model reads at most 23 tokens")
    says(page, "layer", str(LAYER))


def test_back_leads_to_the_texts_before_and_forward_to_the_later_ones(page, folder):
    write(page, *TYPED)
    says(page, "a", TYPED[0])
    write(page, *TYPED[::-1])
    says(page, "a", TYPED[1])

    page.go_back()
    says(page, "a", TYPED[0])
    assert_shown(page, TYPED, folder)
    page.go_forward()
    says(page, "a", TYPED[1])
    assert_shown(page, TYPED[::-1], folder)


def test_a_link_with_one_text_says_which_it_lacks(page, folder):
    write(page, *TYPED)
    says(page, "a", TYPED[0])
    page.evaluate("location.hash = 'a=cat'")
    expect(status(page)).to_contain_text("The link has no text B, so that")
    says(page, "a", None)
    assert_shown(page, OWN, folder, within=5e-3)


@pytest.mark.thorough
def test_going_back_ends_the_texts_that_still_run(page, folder):
    write(page, *TYPED)
    says(page, "a", TYPED[0])
    page.evaluate(
        """() => {
          const post = Worker.prototype.postMessage;
          Worker.prototype.postMessage = function (...message) {
            Worker.prototype.postMessage = post;
            this.addEventListener("message", () => { window.answered = true; });
            this.postMessage(...message);
            location.hash = "layer=1&head=2";
          };
          location.hash = "a=cat&b=dog";
        }"""
    )
    page.wait_for_function("window.answered")
    says(page, "a", None)
    assert_shown(page, OWN, folder, within=5e-3)
    write(page, *TYPED)
    says(page, "a", TYPED[0])
    page.get_by_role("button", name="Back to the file").press("Enter")
    expect(page.get_by_role("textbox", name="Text A")).to_be_focused()


def test_a_trace_of_another_model_is_refused(folder, tmp_path):
    first, second = (trace_prompt(text, folder) for text in OWN)
    other = save_encoder(tmp_path / "other", seed=8)
    with pytest.raises(ValueError, match="attention weights differ by"):
        save_comparison(first, trace_prompt(OWN[1], str(other)), tmp_path / "a.html", model=folder)
    with pytest.raises(ValueError, match="attention weights differ by"):
        save_comparison(first, second, tmp_path / "a.html", model=str(other))
