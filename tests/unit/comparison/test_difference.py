"""Differences of two heads' weights, calculated by hand."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.comparison import align, attention_difference, heads_by_change, moved_shares
from attnpanel.trace import AttentionCall, Trace

# "a b c" against "a x b c": x is in the second only.
QUERIES = KEYS = align("abc", "axbc")
FIRST = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]])
SECOND = np.array(
    [
        [0.5, 0.25, 0.0, 0.25],
        [0.25, 0.25, 0.25, 0.25],
        [0.0, 0.0, 1.0, 0.0],
        [0.5, 0.5, 0.0, 0.0],
    ]
)
NAN = np.nan


def test_the_difference_is_taken_where_both_have_the_tokens():
    np.testing.assert_array_equal(
        attention_difference(FIRST, SECOND, QUERIES, KEYS),
        [
            [0.0, NAN, -0.25, 0.0],
            [NAN, NAN, NAN, NAN],
            [0.0, NAN, 0.0, 0.0],
            [0.5, NAN, -0.5, -0.5],
        ],
    )


def test_weight_on_a_token_that_the_other_lacks_has_moved():
    # Row a: 0.25 went to x. Row b: nothing. Row c: all.
    np.testing.assert_array_equal(moved_shares(FIRST, SECOND, QUERIES, KEYS), [0.25, NAN, 0.0, 1.0])


def test_rows_of_zeros_have_not_moved():
    np.testing.assert_array_equal(
        moved_shares(np.zeros((1, 2)), np.zeros((1, 2)), ((0, 0),), ((0, 0), (1, 1))), [0.0]
    )


def trace_of(tokens, *layers):
    calls = [
        AttentionCall(f"layer.{at}", at, recorded_weights=np.array(heads, np.float32)[None])
        for at, heads in enumerate(layers)
    ]
    return Trace(calls, query_tokens=[list(tokens)])


def test_the_head_that_changes_most_comes_first():
    same = np.eye(2)
    half = np.full((2, 2), 0.5)
    first = trace_of("ab", [same, same], [same, half])
    second = trace_of("ab", [same, half], [same, [[0.25, 0.75], [0.5, 0.5]]])

    found = heads_by_change(first, second)

    # Means over two rows: (0, 1) moves half of each; (1, 1) a quarter of one.
    assert [(change.layer, change.head, change.moved) for change in found] == [
        (0, 1, 0.5),
        (1, 1, 0.125),
        (0, 0, 0.0),
        (1, 0, 0.0),
    ]
    assert heads_by_change(first, second, query_index=0)[1].moved == 0.25


@pytest.mark.parametrize(
    ("others", "query_index", "message"),
    [
        ("xyz", None, "no query of the first trace has a counterpart in layer 0"),
        ("xyz", 1, "query 1 of the first trace has no counterpart in layer 0"),
    ],
)
def test_a_search_needs_a_query_that_both_have(others, query_index, message):
    first = trace_of("ab", [np.eye(2)])
    second = trace_of(others, [np.eye(3)])

    with pytest.raises(ValueError, match=message):
        heads_by_change(first, second, query_index=query_index)
