"""Each call has the labels of its own sequences, or positions where nothing tells which."""

from __future__ import annotations

import pytest

from tests.hand_made import call, trace_of

ROWS = [list("abcde"), list("fgh"), list("klmno")]


def labelled(*lengths, rows=ROWS, layer="loop", batch=1):
    calls = []
    for index, length in enumerate(lengths):
        one = call(index, query_len=length, batch=batch)
        object.__setattr__(one, "layer", layer)
        calls.append(one)
    trace = trace_of(*calls, query_tokens=rows)
    return ["".join(trace.tokens_of(one)[0]) for one in trace]


def test_a_loop_over_sequences_gives_each_call_its_own_row():
    assert labelled(5, 3, 5) == ["abcde", "fgh", "klmno"]


@pytest.mark.parametrize("lengths", [(5,), (5, 5), (5, 3, 5, 3)])
def test_calls_that_are_not_one_for_each_row_have_positions(lengths):
    assert labelled(*lengths) == ["".join(map(str, range(length))) for length in lengths]


def test_rows_that_are_all_the_same_label_any_call():
    assert labelled(5, rows=ROWS[:1] * 3) == ["abcde"]


def test_loops_over_two_sequences_at_a_time():
    rows = [list("abc"), list("def"), list("ghi"), list("klm")]
    trace = trace_of(*(call(0, query_len=3, batch=2) for _ in range(2)), query_tokens=rows)

    names = [["".join(trace.tokens_of(one, batch)[0]) for batch in (0, 1)] for one in trace]
    assert names == [["abc", "def"], ["ghi", "klm"]]
