"""A file with a decoder in it: attention of a typed text, without a network."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from attnpanel.models.prompts import trace_prompt
from attnpanel.pages.explorer.report import save_report
from tests.browser.reading import matrix
from tests.browser.report_page import Opened, go, open_report
from tests.browser.test_live_prompt import status, type_text
from tests.tiny_language_models import save_gpt2

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
