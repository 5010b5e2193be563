"""A file with a model in it shows the attention of what its reader types, without a network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from attnpanel.bench.browser import FIREFOX_HINT, find_firefox
from attnpanel.explorer.views.head_maps import head_maps
from attnpanel.models.intervene.output_change import describe_output
from attnpanel.models.prompts import change_prompt, trace_prompt
from attnpanel.pages.explorer.report import save_report
from tests.browser.firefox import start_firefox
from tests.browser.reading import matrix, settle
from tests.browser.report_page import LIVE, Opened, fragment, go, open_file, open_report
from tests.tiny_encoders import save_encoder

OWN, TYPED = "The cat sat.", "A dog does not fit: it is unable, is it?"
LIMIT = 23
HEAD_NUMBERS = """() => {
  for (const model of Bokeh.documents[0]._all_models.values())
    if (model.css_classes?.includes("attn-head-maps")) return JSON.stringify(model.data.numbers)
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    """A tiny model whose weights float16 holds, so that nothing but the arithmetic differs."""
    return str(save_encoder(tmp_path_factory.mktemp("model") / "tiny", rounded=True))


@pytest.fixture(scope="module")
def file(folder, tmp_path_factory) -> Path:
    """A report on one text, with the model in it."""
    path = tmp_path_factory.mktemp("live") / "live.html"
    return save_report(trace_prompt(OWN, folder), path, model=folder, layer=1, head=2)


@pytest.fixture(scope="module")
def opened(browser, file, folder):
    opened = open_report(browser, file, trace_prompt(OWN, folder))
    yield opened
    opened.page.context.close()


@pytest.fixture
def page(opened: Opened):
    """The report as it opens, ready for a text."""
    go(opened.page, "layer=1&head=2&mean=0&token=0&temperature=1&mask=model")
    expect(status(opened.page)).not_to_contain_text("Loading")
    yield opened.page
    assert opened.faults() == []


def status(page: Page) -> Locator:
    return page.locator(".attn-prompt-status")


def type_text(page: Page, text: str) -> None:
    field = page.get_by_role("textbox", name="Your own text")
    field.fill(text)
    field.press("Enter")
    expect(status(page)).to_contain_text("computed in")
    settle(page)


def assert_shown(page: Page, text: str, folder: str, layer: int = 1, head: int = 2) -> None:
    """The heatmap holds the weights that PyTorch gives for a text."""
    weights = trace_prompt(text, folder).calls[layer].weights(head)
    np.testing.assert_allclose(matrix(page, "weights"), weights, rtol=0, atol=1e-5)


def test_what_a_reader_types_is_shown_as_pytorch_computes_it(page, folder):
    type_text(page, TYPED)

    assert_shown(page, TYPED, folder)
    expect(status(page)).to_contain_text("tokens, computed in")
    # Its own controls: another head, a mask, a temperature.
    go(page, f"prompt={quote(TYPED)}&layer=0&head=1&token=9&mask=causal&temperature=0.5")
    call = trace_prompt(TYPED, folder).calls[0]
    scores = np.where(np.tri(call.query_len) > 0, call.scores(1), -np.inf) / 0.5
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    shown = matrix(page, "weights")
    np.testing.assert_allclose(np.nan_to_num(shown), weights, rtol=0, atol=2e-5)


@pytest.mark.thorough
@pytest.mark.slow
def test_the_address_holds_the_text_and_a_reload_restores_it(page, folder):
    type_text(page, TYPED)
    assert fragment(page)["prompt"] == TYPED
    # A token that the report's own text, of six tokens, does not have.
    go(page, f"prompt={quote(TYPED)}&layer=1&head=2&token=9")

    page.reload()
    page.wait_for_function(LIVE)
    expect(status(page)).to_contain_text("computed in")
    settle(page)

    assert_shown(page, TYPED, folder)
    assert (fragment(page)["prompt"], fragment(page)["token"]) == (TYPED, "9")
    expect(page.locator(".attn-notice")).to_be_hidden()


@pytest.mark.thorough
def test_the_way_back_leads_to_the_reports_own_text(page, folder):
    type_text(page, TYPED)
    page.get_by_role("button", name="Back to the report").click()
    settle(page)

    weights = trace_prompt(OWN, folder).calls[1].weights(2)
    # Queries and keys of the file are stored as float16.
    np.testing.assert_allclose(matrix(page, "weights"), weights, rtol=0, atol=5e-3)
    assert "prompt" not in fragment(page)


def test_a_text_that_cannot_be_run_is_refused_and_nothing_changes(page, folder):
    type_text(page, TYPED)
    field = page.get_by_role("textbox", name="Your own text")
    for text, words in (
        (" \n", "A text must hold a character other than white space."),
        ("cat " * LIMIT, f"The model reads at most {LIMIT} tokens; this text has {LIMIT + 2}."),
    ):
        field.fill(text)
        page.get_by_role("button", name="Show its attention").click()
        expect(status(page)).to_contain_text(words)
        settle(page)
        assert_shown(page, TYPED, folder)
        assert fragment(page)["prompt"] == TYPED
    # Nor by a link, after which the URL says again what is shown.
    go(page, f"prompt={quote('cat ' * LIMIT)}&token=3")
    expect(status(page)).to_contain_text(f"The model reads at most {LIMIT} tokens")
    page.wait_for_function(
        "(text) => decodeURIComponent(location.hash.replaceAll('+', ' ')).includes(text)", arg=TYPED
    )
    assert_shown(page, TYPED, folder)


def test_an_unknown_token_is_explained(page, folder):
    type_text(page, "the 😀 cat")
    expect(status(page)).to_contain_text("One of them is [UNK]: the model")
    expect(page.locator(".attn-tokens-note")).to_contain_text("2 ← “😀”")
    assert_shown(page, "the 😀 cat", folder)


def test_markup_in_a_text_stays_text(page):
    hostile = "</script><img src=x onerror=window.pwned=1>"
    type_text(page, hostile[:17])
    go(page, f"prompt={quote('<b>cat')}&token=2")
    expect(status(page)).to_contain_text("computed in")


@pytest.mark.thorough
def test_the_numbers_of_all_heads_follow_the_text(page, folder):
    type_text(page, TYPED)
    page.wait_for_function(f"Object.keys(JSON.parse(({HEAD_NUMBERS})()).values).length > 0")

    made = json.loads(page.evaluate(HEAD_NUMBERS))
    expected = head_maps(trace_prompt(TYPED, folder))
    assert [row["title"] for row in made["maps"]] == [row["title"] for row in expected["maps"]]
    for shown, numbers in zip(made["values"]["0"], expected["values"]["0"], strict=True):
        np.testing.assert_allclose(shown, numbers, rtol=1e-3, atol=1e-4)


@pytest.mark.thorough
def test_notes_belong_to_the_text_on_which_they_were_written(page):
    notes = page.locator(".attn-note-list > li")
    type_text(page, TYPED)
    page.get_by_role("textbox", name="Note").fill("looks back")
    page.get_by_role("button", name="Add note").click()
    expect(notes).to_have_count(1)
    page.get_by_role("button", name="Back to the report").click()
    expect(notes).to_have_count(0)
    type_text(page, TYPED)
    expect(notes).to_have_count(1)


def test_a_head_is_knocked_out_and_put_back(page, folder):
    type_text(page, TYPED)
    go(page, f"prompt={quote(TYPED)}&layer=0&head=1&mean=0")
    change = change_prompt(TYPED, folder, layer=0, head=1, scale=0)
    before, after = (trace.calls[1].weights(2) for trace in (change.before, change.after))
    assert abs(after - before).max() > 1e-3

    page.get_by_role("button", name="Knock out layer 0, head 1").click()
    said = page.locator(".attn-knock-out [role=status]")
    expect(said).to_contain_text("Attention that has moved")
    words = describe_output(change.output, page_tokens(change))
    expect(said).to_contain_text(words.partition("'s ")[2])
    assert fragment(page)["without"] == "0.1"
    expect(page.locator(".attn-knock-out")).to_contain_text("what it mixes is replaced by 0")
    go(page, f"prompt={quote(TYPED)}&without=0.1&layer=1&head=2&token=4")
    np.testing.assert_allclose(matrix(page, "weights"), after, rtol=0, atol=1e-5)

    page.get_by_role("button", name="All heads", exact=True).click()
    settle(page)
    np.testing.assert_allclose(matrix(page, "weights"), before, rtol=0, atol=1e-5)
    assert "without" not in fragment(page)
    assert (fragment(page)["layer"], fragment(page)["token"]) == ("1", "4")
    page.get_by_role("button", name="Without it", exact=True).click()
    settle(page)
    assert fragment(page)["without"] == "0.1"

    page.get_by_role("button", name="Put back layer 0, head 1").click()
    expect(said).to_be_empty()
    expect(page.get_by_role("button", name="Put back")).to_have_count(0)
    settle(page)
    np.testing.assert_allclose(matrix(page, "weights"), before, rtol=0, atol=1e-5)


def page_tokens(change) -> tuple[str, ...]:
    return change.after.tokens_of(change.after.calls[0])[0]


@pytest.mark.thorough
def test_a_link_knocks_heads_out_and_one_that_is_missing_is_refused(page, folder):
    go(page, f"prompt={quote(TYPED)}&without=0.1,0.2&layer=1&head=2&mean=0")
    expect(page.get_by_role("button", name="Put all back")).to_be_visible()
    expect(page.locator(".attn-knock-out [role=status]")).to_contain_text("cosine distance")
    settle(page)
    after = change_prompt(TYPED, folder, layer=0, head=[1, 2], scale=0).after.calls[1].weights(2)
    np.testing.assert_allclose(matrix(page, "weights"), after, rtol=0, atol=1e-5)

    go(page, f"prompt={quote(TYPED)}&without=7.0")
    expect(status(page)).to_contain_text("Heads must be LAYER.HEAD from 0.0 to 1.2")
    go(page, f"prompt={quote(TYPED)}&without={','.join(f'{n}.0' for n in range(3_000))}")
    expect(status(page)).to_contain_text("got “3000 names”")


@pytest.mark.thorough
def test_heads_of_a_refused_link_are_put_back_with_the_shown_runs(page, folder):
    link = f"prompt={quote(TYPED)}&without=0.1&layer=1&head=2&mean=0"
    go(page, link)
    said = page.locator(".attn-knock-out [role=status]")
    expect(said).to_contain_text("cosine distance")
    for address in (link.replace("0.1", "7.0"), link.replace("0.1", "00.1"), "prompt=%20"):
        go(page, address)
        expect(status(page)).to_have_class(re.compile("error"))
        expect(page.get_by_role("button", name="Put back")).to_have_text("layer 0, head 1 ×")
        expect(said).to_contain_text("cosine distance")

    field = page.get_by_role("textbox", name="Your own text")
    field.fill("cat " * 40)
    field.press("Enter")
    expect(status(page)).to_contain_text("What was shown before is still here.")
    page.get_by_role("button", name="All heads", exact=True).click()
    page.wait_for_function(
        f"""() => {{
          const {{trace, values}} = JSON.parse(({HEAD_NUMBERS})());
          return trace.endsWith("all heads") && Object.keys(values).length > 0;
        }}"""
    )
    made = json.loads(page.evaluate(HEAD_NUMBERS))["values"]["0"]
    for shown, numbers in zip(
        made, head_maps(trace_prompt(TYPED, folder))["values"]["0"], strict=True
    ):
        np.testing.assert_allclose(shown, numbers, rtol=1e-3, atol=1e-4)

    go(page, "without=0.1&layer=1&head=2")  # without a text: the report's own run has all heads
    expect(page.get_by_role("button", name="Put back")).to_have_count(0)


@pytest.mark.thorough
def test_the_keyboard_stays_on_the_buttons_of_a_knock_out(page):
    type_text(page, TYPED)
    go(page, f"prompt={quote(TYPED)}&layer=0&head=1&mean=0")
    page.get_by_role("button", name="Knock out layer 0, head 1").press("Enter")
    expect(page.locator(".attn-knock-out [role=status]")).to_contain_text("cosine distance")
    expect(page.locator(".attn-knock-out-line > button").first).to_be_focused()
    for name in ("All heads", "Without it"):
        button = page.get_by_role("button", name=name, exact=True)
        button.press("Enter")
        settle(page)
        expect(button).to_be_focused()


@pytest.mark.thorough
def test_a_text_that_runs_is_not_lost_to_the_other_run(page):
    go(page, f"prompt={quote(TYPED)}&without=0.1&layer=1&head=2")
    expect(page.locator(".attn-knock-out [role=status]")).to_contain_text("cosine distance")
    page.evaluate(
        """() => {
          const inside = (root) => [...root.querySelectorAll("*")]
            .flatMap((node) => [node, ...(node.shadowRoot ? inside(node.shadowRoot) : [])]);
          const all = inside(document);
          all.find((node) => node.matches(".attn-prompt-field")).value = "A cat is on it.";
          all.find((node) => node.matches(".attn-prompt-form")).requestSubmit();
          all.find((node) => node.matches(".attn-knock-out-runs:not([hidden]) > button"))?.click();
        }"""
    )
    expect(status(page)).to_contain_text("computed in")
    expect(page.locator(".attn-knock-out table")).to_be_hidden()
    expect(page.locator(".attn-knock-out [role=status]")).to_contain_text("cosine distance")


@pytest.mark.thorough
def test_a_text_that_runs_does_not_come_after_the_way_back(page):
    type_text(page, TYPED)
    page.evaluate(
        """() => {
          const inside = (root) => [...root.querySelectorAll("*")]
            .flatMap((node) => [node, ...(node.shadowRoot ? inside(node.shadowRoot) : [])]);
          const all = inside(document);
          const post = Worker.prototype.postMessage;
          Worker.prototype.postMessage = function (...message) {
            Worker.prototype.postMessage = post;
            this.addEventListener("message", () => { window.answered = true; });
            this.postMessage(...message);
          };
          all.find((node) => node.matches(".attn-prompt-field")).value = "A cat is on it.";
          all.find((node) => node.matches(".attn-prompt-form")).requestSubmit();
          all.find((node) => node.matches(".attn-prompt-status > button")).click();
        }"""
    )
    page.wait_for_function("window.answered")
    settle(page)
    assert "prompt" not in fragment(page)
    expect(status(page)).not_to_contain_text("computed in")


@pytest.mark.thorough
def test_weights_cut_short_are_said_to_be(browser, file, folder, tmp_path):
    text = file.read_text(encoding="utf-8")
    cut = tmp_path / "cut.html"
    cut.write_text(text[: text.rindex("attnpanel-model-end")], encoding="utf-8")

    opened = open_file(browser, cut, trace_prompt(OWN, folder))

    expect(status(opened.page)).to_contain_text("the file was cut short: get it again")
    expect(opened.page.get_by_role("button", name="Show its attention")).to_be_disabled()
    assert opened.faults() == []
    opened.page.context.close()


@pytest.mark.thorough
@pytest.mark.slow
def test_a_text_is_run_in_firefox(file, folder, tmp_path):
    command = find_firefox()
    if command is None:
        pytest.skip(FIREFOX_HINT)
    trace = trace_prompt(TYPED, folder)
    shape = trace.calls[1].weights(2).shape
    with start_firefox(command, tmp_path) as firefox:
        # The prompt of a link is typed text, too.
        firefox.open(f"{file.as_uri()}#prompt={quote(TYPED)}&layer=1&head=2")
        image = "Bokeh.documents?.[0]?.get_model_by_name('attn:weights')?.data.image?.[0]"
        firefox.wait_for(f"globalThis.Bokeh && {image}?.length === {shape[0] * shape[1]}")
        made = np.array(firefox.evaluate(f"Array.from({image})")).reshape(shape)
        assert firefox.problems() == []
        inside = ("file:", "blob:", "data:")
        assert [url for url in firefox.requests() if not url.startswith(inside)] == []
    np.testing.assert_allclose(made, trace.calls[1].weights(2), rtol=0, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.model
def test_minilm_runs_in_its_file(browser, tmp_path):
    trace = trace_prompt("It fits.")
    path = save_report(trace, tmp_path / "minilm.html", model=True, layer=3, head=1)
    opened = open_report(browser, path, trace)
    type_text(opened.page, TYPED)
    weights = trace_prompt(TYPED).calls[3].weights(1)
    # The mark of the offline file.
    np.testing.assert_allclose(matrix(opened.page, "weights"), weights, rtol=0, atol=1.5e-3)
    assert opened.faults() == []
    opened.page.context.close()
