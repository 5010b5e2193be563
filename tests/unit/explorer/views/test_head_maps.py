"""Maps of all heads: the numbers of the table, as plain data."""

from __future__ import annotations

import json

import numpy as np

from attnpanel.analysis import NUMBERS
from attnpanel.explorer.views.head_maps import HEAD_MAPS, head_maps
from tests.hand_made import call, trace_of

WORDS = tuple("abcab")


def test_every_number_of_the_table_is_a_map():
    assert [one.name for one in HEAD_MAPS] == [name for name, _ in NUMBERS]


def test_a_map_holds_what_the_table_says_of_each_sequence():
    trace = trace_of(
        call(0, batch=2, causal="top_left"),
        call(1, heads=2, key_len=7),
        query_tokens=[WORDS, WORDS[::-1]],
    )
    made = json.loads(json.dumps(head_maps(trace)))

    # The second call has one sequence: none of it is known of another.
    assert made["values"]["1"][0][1] == []
    table = trace.select(layers=0).analyze(batch=1)
    for at, one in enumerate(HEAD_MAPS):
        np.testing.assert_allclose(made["values"]["1"][at][0], table[one.name], rtol=5e-5)
    assert [made["values"]["0"][at][1] for at in (2, 6)] == [[None, None]] * 2


def test_a_part_keeps_the_numbers_of_its_layers_and_heads():
    whole = trace_of(call(0), call(1), query_tokens=[WORDS])
    made = head_maps(whole.select(layers=[1], heads=[0, 2]))

    assert made["layers"] == [{"name": "layer.1", "number": 1, "heads": [0, 2]}]
    expected = np.array(head_maps(whole)["values"]["0"], dtype=float)[:, 1:, [0, 2]]
    np.testing.assert_array_equal(np.array(made["values"]["0"], dtype=float), expected)


def test_only_the_sequences_asked_for_are_read():
    assert list(head_maps(trace_of(call(0, batch=3)), [2])["values"]) == ["2"]


def test_importance_is_a_map_where_it_was_measured():
    trace = trace_of(call(0, batch=2), call(1, heads=2))
    trace.head_importance = [np.array([0.5, 0.25, 0.0]), np.array([0.125, 1.0])]
    made = head_maps(trace)

    assert [one["title"] for one in made["maps"]][-1] == "Importance"
    assert made["values"]["0"][-1] == [[0.5, 0.25, 0.0], [0.125, 1.0]]
    assert made["values"]["1"][-1] == [[0.5, 0.25, 0.0], []]
