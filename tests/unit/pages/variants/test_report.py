"""save_variants(): a file of its own, and what it refuses."""

from __future__ import annotations

import pytest

from attnpanel.pages.variants.component import VariantCards
from attnpanel.pages.variants.page import variants_page
from attnpanel.pages.variants.report import save_variants
from attnpanel.ui.refusals import PageInputError


def test_a_report_opens_with_its_choices(tmp_path):
    path = save_variants(tmp_path / "variants.html", link="model=gpt-2", title="A & B")

    text = path.read_text(encoding="utf-8")
    assert "<title>A &amp; B</title>" in text
    assert "model=gpt-2" in text


def test_a_report_needs_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="needs a folder that exists"):
        save_variants(tmp_path / "missing" / "variants.html")


def test_a_page_sets_its_link_and_nothing_else():
    cards = VariantCards(served=True)
    cards.check_property("link", "model=gpt-2")
    with pytest.raises(PageInputError, match="at most 2,000 characters; got 2,001"):
        cards.check_property("link", "x" * 2001)
    for name, value in (("content", {}), ("served", False)):
        with pytest.raises(PageInputError, match="must not set"):
            cards.check_property(name, value)


def test_the_page_needs_no_settings():
    assert variants_page() is not None
