"""The table of metrics, which finds the heads that are built into a trace."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from attnpanel.analysis import (
    NUMBERS,
    diagonal,
    effective_keys,
    entropy,
    first_key,
    induction,
    mean_distance,
    previous_token,
    query_blocks,
)
from attnpanel.trace import Trace
from attnpanel.trace.call import AttentionCall

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


def random_call(**given):
    """B2 H4 Hkv2 T7 S11 D3, with a mask of each head's own."""
    rng = np.random.default_rng(3)
    arrays = {
        "query": rng.standard_normal((2, 4, 7, 3)).astype(np.float32),
        "key": rng.standard_normal((2, 2, 11, 3)).astype(np.float32),
        "mask": rng.random((2, 4, 7, 11)) < 0.7,
    }
    return AttentionCall("made", 0, "self", **(arrays | given))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"causal": "top_left", "q_offset": 4, "mask": None},
        {"causal": "bottom_right", "bias": np.linspace(-3, 2, 77, dtype="f4").reshape(7, 11)},
        {"mask": np.arange(11) > 3, "bias": np.ones((2, 1, 1, 11), np.float32)},
        {"query": None, "key": None, "recorded_weights": np.full((2, 4, 7, 11), 1 / 11, "f4")},
    ],
    ids=["mask", "top_left", "bottom_right", "broadcast", "recorded"],
)
def test_a_few_queries_at_a_time_give_the_numbers_of_all(monkeypatch, given):
    monkeypatch.setattr(query_blocks, "BLOCK_CELLS", 22)  # two queries, and one at the end
    call, names = random_call(**given), tuple("abcabdabcab")
    table = Trace([call], query_tokens=[(), names]).analyze(batch=1)

    for head in range(4):
        weights = call.weights(head, 1)
        at = call.q_offset
        expected = [
            entropy(weights),
            effective_keys(weights),
            mean_distance(weights, at),
            previous_token(weights, at),
            diagonal(weights, at),
            first_key(weights),
            induction(weights, names, at),
        ]
        found = table.drop(columns="name").loc[(0, head)]
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-7)  # sums in float32


def test_a_long_sequence_is_never_held_whole():
    made = np.random.default_rng(0).standard_normal((2, 1, 1, 2048, 2)).astype(np.float32)
    trace = Trace([AttentionCall("long", 0, query=made[0], key=made[1])])
    trace.analyze()  # what is imported now is not counted

    tracemalloc.start()
    trace.analyze()
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 2048 * 2048 * 4  # one head's weights


def test_an_empty_trace_has_a_table_without_rows():
    table = Trace().analyze()

    assert len(table) == 0
    assert list(table.columns) == ["name", *(name for name, _ in NUMBERS)]


def test_threads_over_heads_give_the_same_numbers(monkeypatch):
    trace = made()
    one = trace.analyze()
    monkeypatch.setattr("attnpanel.analysis.table.ONE_THREAD_CELLS", 0)
    monkeypatch.setattr("os.cpu_count", lambda: 3)

    np.testing.assert_array_equal(trace.analyze().drop(columns="name"), one.drop(columns="name"))
