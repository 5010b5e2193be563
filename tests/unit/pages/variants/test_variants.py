"""Variants: what it opens with, saves and refuses."""

from __future__ import annotations

import pytest

import attnpanel as ap


def test_it_is_saved_as_it_was_left(tmp_path):
    variants = ap.Variants("model=gpt-2")
    variants._cards.link = "model=gpt-2&head=2"

    text = variants.save(tmp_path / "variants.html").read_text(encoding="utf-8")

    assert variants.link == "model=gpt-2&head=2"
    assert "model=gpt-2&head=2" in text.replace("&amp;", "&").replace("\\u0026", "&")


def test_a_link_of_any_length_is_refused():
    with pytest.raises(ValueError, match="at most 2,000 characters"):
        ap.Variants("x" * 2001)
