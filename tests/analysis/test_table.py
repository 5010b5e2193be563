"""Every number of every head as a table, and that it finds the heads it names."""

from __future__ import annotations

import numpy as np

from attnpanel.analysis import NUMBERS
from attnpanel.attention_call import AttentionCall
from attnpanel.trace import Trace

TOKENS = tuple("abcdeabcde")
T = len(TOKENS)


def made():
    """A previous-token, a sink, a diagonal and an induction head, in this order."""
    before, sink, own, induced = np.zeros((4, T, T), dtype=np.float32)
    for query in range(T):
        before[query, max(query - 1, 0)] = 1
        sink[query, 0] = 1
        own[query, query] = 1
        induced[query, query - 4 if query > 4 else 0] = 1
    weights = np.stack([before, sink, own, induced])[None]
    cross = np.full((1, 4, T, 3), 1 / 3, dtype=np.float32)
    return Trace(
        [
            AttentionCall("first", 0, "self", recorded_weights=weights),
            AttentionCall("second", 1, "cross", recorded_weights=cross),
        ],
        query_tokens=[TOKENS],
        key_tokens=[("x", "y", "z")],
    )


def test_every_head_has_its_row_and_every_number_its_column():
    table = made().analyze()

    assert list(table.index) == [(layer, head) for layer in range(2) for head in range(4)]
    assert list(table.columns) == ["name", *(name for name, _ in NUMBERS)]
    assert list(table["name"]) == ["first"] * 4 + ["second"] * 4


def test_each_kind_of_head_leads_in_its_own_number():
    table = made().analyze().loc[0]

    assert table["previous_token"].idxmax() == 0
    assert table["first_key"].idxmax() == 1
    assert table["diagonal"].idxmax() == 2
    assert table["induction"].idxmax() == 3
    np.testing.assert_allclose(table["induction"][3], 1.0)


def test_positions_have_no_meaning_between_two_sequences():
    cross = made().analyze().loc[1]

    for name in ("mean_distance", "previous_token", "diagonal", "induction"):
        assert cross[name].isna().all()
    np.testing.assert_allclose(cross["effective_keys"], 3, rtol=1e-6)


def test_a_part_keeps_the_numbers_of_the_whole():
    table = made().select(layers=[1], heads=[2, 3]).analyze()

    assert list(table.index) == [(1, 2), (1, 3)]


def test_an_empty_trace_has_a_table_without_rows():
    table = Trace().analyze()

    assert len(table) == 0
    assert list(table.columns) == ["name", *(name for name, _ in NUMBERS)]
