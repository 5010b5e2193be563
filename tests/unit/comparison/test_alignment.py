"""Alignment of tokens: examples, and laws that hold for every pairing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnpanel.comparison import align

TOKENS = st.lists(st.sampled_from("abc"), max_size=7)


@pytest.mark.parametrize(
    ("first", "second", "pairs"),
    [
        ("", "", ()),
        ("ab", "ab", ((0, 0), (1, 1))),
        ("axc", "ayc", ((0, 0), (1, 1), (2, 2))),
        ("ac", "abc", ((0, 0), (None, 1), (1, 2))),
        ("abc", "ac", ((0, 0), (1, None), (2, 1))),
        # Runs of two and of one: it is ambiguous which of the two was replaced.
        ("axyc", "azc", ((0, 0), (1, None), (2, None), (None, 1), (3, 2))),
        ("ab", "", ((0, None), (1, None))),
    ],
)
def test_tokens_are_paired_as_expected(first, second, pairs):
    assert align(first, second) == pairs


@given(TOKENS, TOKENS)
def test_every_index_appears_once_and_in_order(first, second):
    pairs = align(first, second)

    assert [i for i, _ in pairs if i is not None] == list(range(len(first)))
    assert [j for _, j in pairs if j is not None] == list(range(len(second)))
    assert (None, None) not in pairs


@given(TOKENS, TOKENS)
def test_the_other_way_round_as_many_equal_tokens_are_paired(first, second):
    def equal(first, second):
        both = [(i, j) for i, j in align(first, second) if None not in (i, j)]
        return sum(first[i] == second[j] for i, j in both)

    assert equal(first, second) == equal(second, first)
