"""Readable token strings."""

from __future__ import annotations

import pytest

from attnpanel.models.tokens import bytes_of_characters, readable


def test_byte_level_pieces_joined_are_the_text_again():
    # Each byte of the UTF-8 text as GPT-2 writes it: é is C3 A9, the space is U+0120.
    assert "".join(readable(["the", "Ġcaf", "Ã©"], byte_level=True)) == "the café"


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        ("Ġ", "␣"),
        ("ĠĠ", "␣␣"),
        ("Ċ", "\\n"),
        ("æ", "\\xe6"),  # the first of the three bytes of 日
        ("<|endoftext|>", "<|endoftext|>"),
        ("<日>", "<日>"),  # an added token, not made of bytes
        ("", ""),
    ],
)
def test_byte_level_pieces_without_letters_stay_visible(piece, shown):
    assert readable([piece], byte_level=True) == (shown,)


def test_every_byte_has_one_character():
    assert sorted(bytes_of_characters().values()) == list(range(256))


@pytest.mark.parametrize(
    ("piece", "shown"),
    [("##case", "##case"), ("▁the", " the"), ("▁", "␣"), ("[CLS]", "[CLS]"), ("Ġ", "Ġ")],
)
def test_other_pieces_keep_their_marks_but_for_the_space(piece, shown):
    assert readable([piece], byte_level=False) == (shown,)


def test_characters_that_steer_a_page_are_spelled_out():
    # U+202E turns the reading direction of everything after it.
    assert readable(["a\u202eb", "\x1b[0m"], byte_level=False) == ("a\\u202eb", "\\x1b[0m")
