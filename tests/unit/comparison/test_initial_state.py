"""The initial state of a comparison, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.comparison import heads_by_change, opening
from attnpanel.models.toy import toy_trace
from attnpanel.trace import AttentionCall, Trace

TOY = toy_trace(T=5, d_model=6, heads=2)


def test_it_opens_at_the_head_that_changes_most():
    other = toy_trace(T=5, d_model=6, heads=2, seed=1)
    best = heads_by_change(TOY, other, query_index=3)[0]

    state = opening(TOY, other, query_index=3)

    assert state["head"] == [best.head, best.head]
    assert state["apart"] == []


def test_what_is_given_as_a_pair_is_apart_where_it_differs():
    state = opening(TOY, TOY, choices={"head": (0, 1), "temperature": (2.0, 2.0)})

    assert state["apart"] == ["head"]
    assert state["temperature"] == [2.0, 2.0]
    assert state["mask"] == ["none", "none"]


def test_masks_open_with_numbers_that_hide_something():
    state = opening(TOY, toy_trace(T=4, d_model=6, heads=2), choices={"mask": "padding"})

    assert state["mask"] == ["padding", "padding"]
    assert (state["pad_len"], state["window"]) == ([3, 3], [3, 3])


def test_the_mean_of_a_side_needs_no_search_for_a_head():
    state = opening(TOY, TOY, choices={"aggregate": (False, True)})

    assert state["apart"] == ["aggregate"]
    assert state["head"] == [0, 0]


def test_the_row_is_the_query_s_place_among_the_aligned():
    calls = [
        AttentionCall("a", 0, recorded_weights=np.full((1, 1, n, n), 1 / n, np.float32))
        for n in (2, 3)
    ]
    short, long = (
        Trace([call], query_tokens=[list(tokens)])
        for call, tokens in zip(calls, ("ac", "abc"), strict=True)
    )

    assert opening(short, long, query_index=1)["row"] == 2


def test_without_a_query_it_opens_at_the_paired_one_that_moves_most():
    # “x” is in the first alone; the special token's row moves most, then that of “b”.
    rows = np.full((5, 5), 0.2, np.float32)
    moved = np.full((4, 4), 0.25, np.float32)
    moved[0] = 0, 0, 0, 1
    moved[2] = 0, 1, 0, 0
    first, second = (
        Trace([AttentionCall("a", 0, recorded_weights=weights[None, None])], query_tokens=[tokens])
        for weights, tokens in (
            (rows, ["[CLS]", "x", "a", "b", "c"]),
            (moved, ["[CLS]", "a", "b", "c"]),
        )
    )

    state = opening(first, second, query_index=None)

    assert state["row"] == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"head": 2}, "head must be below 2; got 2"),
        ({"head": (0, -1)}, "head must be below 2; got -1"),
        ({"layer": 1, "head": 0}, "layer must be below 1; got 1"),
        ({"head": 0, "temperature": (1.0, 0.0)}, "temperature must be from 0.01 to 100; got 0.0"),
        ({"head": 0, "mask": "sink"}, "mask must be one of model, none, padding, causal"),
        ({"head": 0, "window": 0}, "window must be an integer at least 1; got 0"),
        ({"head": 0, "pad_len": (5, 6)}, "pad_len must be an integer from 0 to 5; got 6"),
        ({"head": 0, "aggregate": 1}, "aggregate must be True or False; got 1"),
        ({"colour": 1}, "no choice 'colour'"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        opening(TOY, TOY, choices=given)


def test_a_trace_without_calls_is_refused():
    with pytest.raises(ValueError, match="the second one has none"):
        opening(TOY, Trace())


def test_a_query_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="query_index must be a query of the first trace; got 9"):
        opening(TOY, TOY, query_index=9, choices={"head": 0})
