"""Byte pairs in JavaScript are those of the library `tokenizers`, for every text."""

from __future__ import annotations

import copy
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnpanel.bench.product.live.tokenizing import every_character, random_texts
from attnpanel.models.live_model.tokenizer_settings import tokenizer_settings
from attnpanel.models.tokens import origins_of
from tests.browser_kernel.conftest import node_running
from tests.tiny_encoders import tokenizer as wordpiece_tokenizer
from tests.tiny_language_models import TOKENIZERS

pytest.importorskip("transformers", reason="no transformers: `make install` brings it")
# What splits a text: contractions, classes of characters, white space, added tokens.
LETTERS = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from(["'s", "'S", "'\u017f", "'ll", "'", " ", "  ", "\n", "\r\n", "\t", "\xa0"]),
    st.sampled_from(["12345", "\u0663", "\xbd", "attention", "the", "\u6771", "\u2581", "e\u0301"]),
    st.sampled_from(["<|endoftext|>", "<mask>", "<s>", "<0x0A>", "<|endo"]),
)


@pytest.fixture(scope="module")
def live():
    with node_running(Path(__file__).with_name("live_model.mjs")) as node:
        yield node


@pytest.fixture(scope="module", params=TOKENIZERS)
def opened(request, live):
    """A tokenizer, as transformers has it, which JavaScript has opened, too."""
    tokenizer = TOKENIZERS[request.param]()
    live("openTokenizer", json.loads(json.dumps(tokenizer_settings(tokenizer))))
    return tokenizer


@pytest.mark.thorough(but=3)
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.lists(LETTERS, max_size=30).map("".join), min_size=1, max_size=20))
def test_texts_become_the_tokens_that_the_library_gives(live, opened, texts):
    assert live("encode", texts) == opened(texts)["input_ids"]


def telling_characters():
    """Each code point in a word; one in 31 of ideographs, syllables and what is not assigned.

    A million of them are of classes whose members no tokenizer tells apart;
    `attnpanel.bench.product.live.tokenizing.differing` reads them all.
    """
    uniform = {"Lo", "Co", "Cn"}
    return [
        text
        for text in every_character()
        if (code := ord(text[-1])) < 0x3000
        or code % 31 == 0
        or unicodedata.category(text[-1]) not in uniform
    ]


@pytest.mark.thorough(but=1)
@pytest.mark.slow
def test_no_character_and_no_random_text_is_read_otherwise(live, opened):
    characters = telling_characters()
    together = ["\n".join(characters[at : at + 64]) for at in range(0, len(characters), 64)]
    for texts in (random_texts(5_000), together):
        made, expected = live("encode", texts), opened(texts)["input_ids"]
        differing = [made != known for made, known in zip(made, expected, strict=True)]
        assert [text for text, differs in zip(texts, differing, strict=True) if differs] == []


@pytest.mark.parametrize("make", [wordpiece_tokenizer, TOKENIZERS["llama3"]])
def test_no_word_is_made_of_a_token_that_was_only_added(live, make):
    tokenizer = copy.deepcopy(make())
    # As the tokenizers write a word, the end of one, and one behind a space.
    tokenizer.add_special_tokens({"extra_special_tokens": ["foo", "##ing", "\u0120bar"]})
    live("openTokenizer", json.loads(json.dumps(tokenizer_settings(tokenizer))))
    texts = ["foo", "FOO", "going", "a foo", " foo ##ing", "a bar"]
    assert live("encode", texts) == tokenizer(texts)["input_ids"]


def test_of_equal_pairs_the_leftmost_is_joined_first(live, opened):
    # Pairs of one sign: of three the first two become a token.
    texts = [chr(code) * count for code in range(33, 127) for count in (3, 5, 7)]
    assert live("encode", texts) == opened(texts)["input_ids"]


def test_a_long_text_without_a_space_is_read(live, opened):
    text = "attention\u6771" * 1_000
    assert live("encode", [text]) == [opened(text)["input_ids"]]


def test_tokens_say_which_part_of_the_text_they_came_from(live, opened):
    text = " the caf\xe9\u6771\n is  it <|endoftext|> 😀?"
    (expected,) = origins_of(opened, [text]).texts
    # Spaces around a part are not said: whether they belong to it depends on the tokenizer.
    assert live("origins", text) == [part.strip(" ") for part in expected]
