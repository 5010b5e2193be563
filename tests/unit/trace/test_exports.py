"""A trace in pandas and xarray: the same numbers, named; nothing is silently left out."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from attnpanel.trace import AttentionCall, Trace

HALF = np.zeros((1, 2, 3, 4), np.float32)  # equal scores share the weight equally


def trace_of_two(**options):
    calls = [AttentionCall(name, i, query=HALF, key=HALF) for i, name in enumerate("ab")]
    return Trace(calls, query_tokens=[["x", "y", "x"]], **options)


def test_a_row_of_the_table_is_a_pair_that_may_attend():
    call = AttentionCall("a", 0, query=HALF, key=HALF, causal="top_left")
    table = Trace([call], query_tokens=[["x", "y", "x"]]).to_dataframe(heads=[1])

    # A causal triangle of 3; row i shares its weight among i + 1 keys.
    assert list(zip(table["query"], table["key"], strict=True)) == [
        *((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)),
    ]
    np.testing.assert_allclose(table["weight"], [1, 1 / 2, 1 / 2, *[1 / 3] * 3], rtol=1e-6)
    assert list(table["key_token"]) == ["x", "x", "y", "x", "y", "x"]
    assert set(table["score"]) == {0.0}
    assert set(table["head"]) == {1}


def test_the_table_has_what_was_chosen():
    table = trace_of_two().to_dataframe(layers=[-1], heads=[0])

    assert set(table["call"]) == {1}
    assert set(table["layer"]) == {"b"}
    assert len(table) == 9


def test_recorded_weights_have_no_score():
    weights = np.full((1, 1, 2, 2), 0.5, np.float32)
    table = Trace.from_weights([weights], [["x", "y"]]).to_dataframe()

    assert table["score"].isna().all()
    assert set(table["weight"]) == {0.5}


def test_a_table_beyond_the_limit_is_refused_before_it_is_made():
    with pytest.raises(ValueError, match=r"at most max_bytes=100 bytes; it would have 2,304"):
        trace_of_two().to_dataframe(max_bytes=100)


def test_a_dataset_has_a_variable_a_call_and_tokens():
    pytest.importorskip("xarray")
    trace = trace_of_two()
    trace.append(AttentionCall("a", 2, query=HALF, key=HALF))
    data = trace.to_xarray()

    assert list(data.data_vars) == ["a", "b", "a (pass 2)"]
    assert dict(data.sizes) == {"batch": 1, "head": 2, "query": 3, "key": 3}
    np.testing.assert_allclose(data["b"], np.full((1, 2, 3, 3), 1 / 3), rtol=1e-6)
    assert data["query_token"].values.tolist() == [["x", "y", "x"]]


def test_scores_that_no_query_sees_are_nan():
    pytest.importorskip("xarray")
    call = AttentionCall("a", 0, query=HALF, key=HALF, causal="top_left")
    scores = Trace([call]).to_xarray("scores")["a"].to_numpy()

    np.testing.assert_array_equal(np.isnan(scores[0, 1]), ~np.tri(3, dtype=bool))


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (AttentionCall("c", 2, query=HALF[:, :1], key=HALF[:, :1]), r"\(1, 2, 3, 3\), \(1, 1, 3,"),
        (AttentionCall("c", 2, query=HALF, key=HALF, kind="cross"), "agree in tokens"),
    ],
)
def test_calls_that_cannot_share_axes_are_refused(call, rule):
    pytest.importorskip("xarray")
    trace = trace_of_two(key_tokens=[["u", "v", "w"]])
    trace.append(call)

    with pytest.raises(ValueError, match=rule):
        trace.to_xarray()


def test_without_xarray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)

    with pytest.raises(ImportError, match=r"to_xarray\(\) needs xarray: pip install xarray"):
        trace_of_two().to_xarray()


def test_a_quantity_that_is_none_is_refused():
    pytest.importorskip("xarray")
    with pytest.raises(ValueError, match=r"one of \('weights', 'scores'\); got 'values'"):
        trace_of_two().to_xarray("values")
