"""A trace and its calls read as Python objects do."""

from __future__ import annotations

import re

import numpy as np
import pytest

from attnpanel.analysis.html_summary import SIDE, thumbnail
from attnpanel.trace import AttentionCall, Trace

B, H, T, S, D = 2, 3, 5, 7, 11


def make_call(layer="layer.0", index=0, **changes):
    generator = np.random.default_rng(index)
    arrays = {
        "query": generator.standard_normal((B, H, T, D)).astype(np.float32),
        "key": generator.standard_normal((B, H, S, D)).astype(np.float32),
    }
    return AttentionCall(layer, index, **(arrays | changes))


@pytest.fixture
def trace():
    names = ("encoder.layer.0.self", "encoder.layer.1.self", "shared", "shared", "shared")
    made = Trace([make_call(name, i) for i, name in enumerate(names)])
    made.head_importance = [np.full(H, float(i)) for i in range(len(names))]
    return made


def test_length_iteration_and_positions(trace):
    assert len(trace) == 5
    assert list(trace) == list(trace.calls)
    assert trace[0] is trace.calls[0]
    assert trace[-1] is trace.calls[4]
    assert trace[np.int64(1)] is trace.calls[1]
    assert bool(Trace())


@pytest.mark.parametrize(
    ("which", "position"),
    [
        ("encoder.layer.1.self", 1),
        ("encoder.layer.1", 1),
        ("*.0.*", 0),
        (("shared", 0), 2),
        (("shared", -1), 4),
    ],
)
def test_calls_are_found_by_name_part_pattern_and_pass(trace, which, position):
    assert trace[which] is trace.calls[position]


@pytest.mark.parametrize(
    ("which", "error", "message"),
    [
        (5, IndexError, "the trace has 5 calls; got 5"),
        ("decoder", KeyError, "no layer 'decoder'; the trace has 'encoder.layer.0.self', "),
        ("encoder", KeyError, "'encoder' is that of 2 layers: 'encoder.layer.0.self', "),
        ("shared", KeyError, "layer 'shared' ran 3 times; choose a pass: trace['shared', 0] to "),
        (("shared", 3), KeyError, "layer 'shared' ran 3 times; got pass 3"),
        (("encoder", 0, 1), TypeError, "a call of several passes is found by (name, pass)"),
        ((0, 0), TypeError, "a call of several passes is found by (name, pass)"),
        (("encoder", "0"), TypeError, "a pass must be an integer; got '0'"),
        (1.0, TypeError, "a call is found by position, layer name, (name, pass) or slice"),
        (slice(None, None, -1), ValueError, "a slice of a trace must keep its order; got step -1"),
    ],
)
def test_what_is_not_there_is_named(trace, which, error, message):
    with pytest.raises(error) as raised:
        trace[which]

    assert message in raised.value.args[0]


def test_slices_are_parts_that_keep_their_numbers(trace):
    part = trace[1:4][1:]

    assert part.layer_numbers == (2, 3)
    assert list(part) == [trace[2], trace[3]]
    assert [array[0] for array in part.head_importance] == [2.0, 3.0]
    assert len(trace[3:3]) == 0
    assert part.subset.layer_count == 5


def test_weights_of_one_of_several_and_of_all_heads():
    call = make_call()
    every = call.weights()

    assert every.shape == (B, H, T, S)
    np.testing.assert_array_equal(every[0, 2], call.weights(2))
    np.testing.assert_array_equal(every[1, 2], call.weights(2, 1))
    np.testing.assert_array_equal(every[1, 2], call.weights(-1, -1))
    np.testing.assert_array_equal(every[0, [2, 0]], call.weights([2, 0]))
    np.testing.assert_array_equal(every[0, [2, 0]], call.weights(np.array([2, 0])))
    np.testing.assert_array_equal(every[0, 1:], call.weights(slice(1, None)))
    np.testing.assert_array_equal(every[1], call.weights(batch=1))
    np.testing.assert_array_equal(every[:, 1], call.weights(1, slice(None)))
    np.testing.assert_array_equal(every[0, 1], call.weights(np.int64(1)))
    np.testing.assert_array_equal(call.weights(-1), call.attention(H - 1).weights)
    np.testing.assert_array_equal(call.scores(-1), call.scores(H - 1))
    np.testing.assert_array_equal(call.visible(-1, -1), call.visible(H - 1, B - 1))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (3, "head must be in 0..2; got 3"),
        (-4, "head must be in 0..2; got -4"),
        ([0, 3], "head must be in 0..2; got 3"),
        (True, "head must be in 0..2; got True"),
        ("1", "head must be in 0..2; got '1'"),
        (1.0, "head must be in 0..2; got 1.0"),
        (np.array([True, False, True]), "head must be in 0..2; got np.True_"),
        (slice("a", 2), r"head must be a slice of integers with a step other than 0; got slice"),
        (slice(0, 2, 0), r"head must be a slice of integers with a step other than 0; got slice"),
        (slice(3, None), "head must choose at least one of 3; got slice(3, None, None)"),
        ([], "head must choose at least one of 3; got []"),
    ],
)
def test_heads_that_do_not_exist_are_refused(head, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        make_call().weights(head)


def test_a_torch_mask_is_a_mask():
    torch = pytest.importorskip("torch")
    call, mask = make_call(), np.tri(T, S, dtype=bool)

    np.testing.assert_array_equal(
        call.weights(0, mask=torch.tensor(mask)), call.weights(0, mask=mask)
    )
    with pytest.raises(ValueError, match="mask must be a NumPy array of bool; got float32"):
        call.weights(0, mask=torch.ones(T, S))


def test_the_html_has_a_line_a_call_and_runs_nothing(trace):
    trace = Trace(
        [*trace, make_call("<script>alert(1)</script>", 5)], query_tokens=[["<img src=x>"] * 5] * B
    )

    html = trace._repr_html_()

    assert html.count("<tr>") == 1 + len(trace)
    assert html.count("data:image/png;base64,") == len(trace)
    assert "<script" not in html
    assert "<img src=x>" not in html
    assert "2 × 3 × 5 × 7" in html


def test_a_thumbnail_is_the_mean_over_heads_and_small():
    call = make_call()
    np.testing.assert_allclose(thumbnail(call), call.weights(batch=0).mean(axis=0), rtol=1e-6)

    query, key = np.zeros((1, 2, 300, D), np.float32), np.zeros((1, 2, 100, D), np.float32)
    key[0, :, 77], query[0, :, 150:] = 100, 1
    pooled = thumbnail(AttentionCall("a", 0, query=query, key=key))

    assert pooled.shape == (SIDE, SIDE)
    np.testing.assert_allclose(pooled[0], 0.01, rtol=1e-5)
    # The last half looks at key 77 of 100 alone, where column 31 begins: 31 * 100 // 40 = 77.
    assert pooled[-1].argmax() == 31
    np.testing.assert_allclose(pooled[-1].max(), 1, rtol=1e-5)


def test_recorded_nan_has_a_thumbnail():
    weights = np.full((1, 1, 2, 2), np.nan, np.float32)

    assert "png" in Trace([AttentionCall("a", 0, recorded_weights=weights)])._repr_html_()
