"""An explanation's numbers: computed by hand, and held to what attention itself gives."""

from __future__ import annotations

import re

import numpy as np
import pytest

from attnpanel.analysis import explain, written
from attnpanel.trace import AttentionCall, Trace
from attnpanel.trace.rotary import Rotary
from tests.hand_made import call, recorded, trace_of

QUERY, KEY = 2, 4
# Weights are float32, steps float64.
FLOAT32 = 1e-5


def by_hand(one, head, query, key, *, temperature=1.0):
    """Score and log-sum-exp of a pair, from the definition, in float64."""
    group = head // (one.heads // one.kv_heads)
    scores = one.query[0, head, query].astype(float) @ one.key[0, group].astype(float).T
    scores *= one.scale
    if one.soft_cap is not None:
        scores = one.soft_cap * np.tanh(scores / one.soft_cap)
    if one.bias is not None:
        scores = (
            scores
            + np.broadcast_to(one.bias, (1, one.heads, *one.visible(head).shape))[0, head, query]
        )
    terms = np.exp(scores / temperature)[one.visible(head)[query]].sum()
    if one.sinks is not None:
        terms += np.exp(one.sinks[head] / temperature)
    return scores[key], np.log(terms)


KINDS = {
    "plain": {},
    "grouped": {"heads": 6, "kv_heads": 2},
    "scale": {"scale": 0.25},
    "soft cap": {"soft_cap": 0.5},
    "bias": {"bias": np.linspace(-1, 1, 25, dtype=np.float32).reshape(5, 5)},
    "sinks": {"sinks": np.array([-1.5, 0, 2], np.float32)},
    "cross": {"query_len": 3, "key_len": 7},
    "padding": {"mask": np.array([True, True, False, True, True])},
    "all": {
        "soft_cap": 2.0,
        "sinks": np.array([0, 1, 3], np.float32),
        "bias": np.linspace(-1, 1, 5, dtype=np.float32),
    },
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_products_add_up_to_the_score_and_the_steps_lead_to_the_weight(kind, temperature):
    one = call(0, **KINDS[kind])
    head = one.heads - 2  # of grouped heads, one of the second group
    found = trace_of(one).explain(0, head, QUERY, KEY, temperature=temperature)

    group = head // (one.heads // one.kv_heads)
    products = one.query[0, head, QUERY].astype(float) * one.key[0, group, KEY]
    np.testing.assert_allclose(found.score.products, products)
    assert found.score.product == pytest.approx(products.sum())
    score, total = by_hand(one, head, QUERY, KEY, temperature=temperature)
    assert found.score.score == pytest.approx(score)
    assert found.score.logsumexp == pytest.approx(total, rel=FLOAT32)
    assert found.weight == pytest.approx(np.exp(score / temperature - total), rel=FLOAT32)
    row = one.weights(head, temperature=temperature)[QUERY]
    np.testing.assert_allclose(found.weights, row, rtol=FLOAT32)
    np.testing.assert_allclose(
        found.written.output, found.weights @ one.value[0, group].astype(float)
    )


def test_what_is_written_by_hand():
    found = written([0.5, 0.25, 0.25], [[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]])

    np.testing.assert_allclose(found.value_norms, [5, 0, 2])
    np.testing.assert_allclose(found.norms, [2.5, 0, 0.5])
    # The output is (1, 2): what is written projects on it 2.5·√5, 0 and −0.5/√5 …
    np.testing.assert_allclose(found.output, [1, 2])
    np.testing.assert_allclose(found.shares, [1.1, 0, -0.1])


def test_an_output_of_zero_has_no_shares():
    assert np.isnan(written([0.5, 0.5], [[1.0], [-1.0]]).shares).all()


def test_rotated_channels_belong_together():
    one = call(0, rotary=Rotary("half_split", 6))
    score = trace_of(one).explain(0, 0, QUERY, KEY).score

    assert score.channels == ((0, 3), (1, 4), (2, 5), (6,), (7,), (8,), (9,), (10,))
    assert score.contributions[1] == pytest.approx(score.products[1] + score.products[4])
    assert score.contributions.sum() == pytest.approx(score.product)
    interleaved = trace_of(call(0, rotary=Rotary("interleaved", 4))).explain(0, 0, 0, 0).score
    assert interleaved.channels[:3] == ((0, 1), (2, 3), (4,))


def test_a_rotation_changes_pairs_by_the_distance_alone():
    # A rotary embedding computed here: turning both tokens by the same angle changes no pair's sum.
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))  # half-split: (2, pairs)

    def at(position):
        angles = position / 10 ** np.arange(3)
        turn = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
        return [np.einsum("ijp,jp->ip", turn, x).reshape(1, 1, 1, 6) for x in (query, key)]

    pairs = []
    for position in (0, 5):
        q, k = (array.astype(np.float32) for array in at(position))
        one = AttentionCall("l", 0, query=q, key=k, rotary=Rotary("half_split", 6))
        pairs.append(explain(Trace([one]), 0, 0, 0, 0).score.contributions)
    np.testing.assert_allclose(pairs[0], pairs[1], rtol=FLOAT32)


def test_a_hidden_key_has_a_product_and_no_weight():
    for one in (
        call(0, causal="top_left"),
        call(0, bias=np.where(np.tri(5), 0, -np.inf).astype("f4")),
    ):
        found = trace_of(one).explain(0, 1, QUERY, KEY)

        assert not found.visible
        assert found.weight == found.written.norms[KEY] == 0
        assert np.isfinite(found.score.product)
        assert "masked" in str(found)


def test_an_own_mask_replaces_the_models_one_but_no_bias():
    hiding = np.zeros((5, 5), np.float32)
    hiding[QUERY, 1] = -np.inf
    one = call(0, causal="top_left", bias=hiding)
    mask = np.ones((5, 5), bool)

    found = trace_of(one).explain(0, 1, QUERY, KEY, mask=mask)
    assert found.visible
    assert found.weights[1] == 0
    np.testing.assert_allclose(found.weights, one.weights(1, mask=mask)[QUERY], rtol=FLOAT32)
    assert not trace_of(one).explain(0, 1, QUERY, 1, mask=None).visible


@pytest.mark.parametrize("policy", ["zero", "uniform", "nan"])
def test_an_empty_row_follows_its_policy(policy):
    mask = np.ones((5, 5), bool)
    mask[QUERY] = False
    one = call(0, mask=mask)
    found = trace_of(one).explain(0, 1, QUERY, KEY, empty_rows=policy)

    expected = {"zero": 0, "uniform": 1 / 5, "nan": np.nan}[policy]
    np.testing.assert_allclose(found.weight, expected, rtol=FLOAT32)
    assert found.score.logsumexp == -np.inf
    lengths = np.linalg.norm(one.value[0, 1].astype(float), axis=1)
    np.testing.assert_allclose(found.written.norms, expected * lengths, rtol=FLOAT32)


def test_recorded_weights_have_no_score_and_no_other_temperature():
    trace = trace_of(recorded(0))
    found = trace.explain(0, 1, QUERY, KEY)

    assert found.score is None
    assert found.written is None
    assert found.weight == trace[0].recorded_weights[0, 1, QUERY, KEY]
    with pytest.raises(ValueError, match="recorded weights have temperature 1"):
        trace.explain(0, 1, QUERY, KEY, temperature=2.0)


def test_tokens_that_occur_once_can_be_named():
    trace = trace_of(call(0), query_tokens=[["a", "b", "c", "b", "d"]])

    found = trace.explain("layer.0", 0, "c", "d")
    assert (found.query, found.key, found.key_token) == (2, 4, "d")
    assert trace.explain(0, -1, -3, -1).query == 2
    for given, message in (("b", "got 'b': it is at 1, 3"), ("x", "got 'x': there is none")):
        with pytest.raises(ValueError, match=re.escape(message)):
            trace.explain(0, 0, given, 0)
    with pytest.raises(ValueError, match=re.escape("key must be in 0..4; got 5")):
        trace.explain(0, 0, 0, 5)
    with pytest.raises(ValueError, match=re.escape("mask must have shape (T, S) = (5, 5)")):
        trace.explain(0, 0, 0, 0, mask=np.ones((5, 3), bool))


def test_a_layout_must_fit_its_call():
    for rotary, message in (
        (Rotary("half_split", 12), "rotary.channels must be at most D = 11; got 12"),
        ("half_split", "rotary must be a Rotary or None; got str"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            call(0, rotary=rotary)
    weights = np.ones((1, 1, 1, 1), np.float32)
    with pytest.raises(ValueError, match=re.escape("at most D = None; got 2")):
        AttentionCall("l", 0, recorded_weights=weights, rotary=Rotary("half_split", 2))
