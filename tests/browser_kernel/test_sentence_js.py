"""The sentence on a pair: its numbers are read back and computed anew."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnpanel.explorer.state import ExplorerState
from attnpanel.models.toy import toy_trace
from attnpanel.trace import AttentionCall
from tests.browser_kernel.explorers import opened_page
from tests.hand_made import call, from_scores, recorded, trace_of

NUMBER = r"(-?[\d.,]+(?:e[+-]?\d+)?)"
SUMMED = re.compile(
    rf"{NUMBER} % of .* = {NUMBER} ÷ τ {NUMBER} → e\^{NUMBER} / Σ = {NUMBER} / {NUMBER} = {NUMBER}"
)
LOGGED = re.compile(
    rf"{NUMBER} % of .* = {NUMBER} ÷ τ {NUMBER} → e\^\({NUMBER} − ln Σ\) "
    rf"= e\^\({NUMBER} − {NUMBER}\) = {NUMBER}"
)


@pytest.fixture(scope="module")
def told():
    """The page's sentence of a state, and of a pair under the pointer, as one line of text."""
    with opened_page() as page:

        def told(state, pair=None):
            state.pair = pair or state.pair
            return " ".join(text for _kind, text in page.ask("sentence", state) if text)

        yield told


def in_words(scores, tokens, **chosen):
    trace = trace_of(from_scores(scores), query_tokens=[tokens])
    return ExplorerState(trace, **chosen)


def test_the_sentence_is_the_one_worked_by_hand(told):
    # e^1 = 2.718..., Σ = e^1 + e^0 = 3.718..., share = 0.73106.
    state = in_words([[2, 0], [0, 0]], ["it", "cat"], temperature=2.0)

    assert told(state) == (
        "it → it 73.1 % of what “it” becomes is taken from “it”. "
        "1·q·k = 2.00 ÷ τ 2.00 → e^1.00 / Σ = 2.72 / 3.72 = 0.731"
    )


def test_large_scores_are_written_with_the_logarithm_of_the_sum(told):
    state = in_words([[20, 19], [0, 0]], ["it", "cat"])

    # ln(e^20 + e^19) = 20 + ln(1 + 1/e) = 20.313; e^(19 - 20.313) = 26.9 %.
    assert told(state, (0, 1)) == (
        "it → cat 26.9 % of what “it” becomes is taken from “cat”. "
        "1·q·k = 19.00 ÷ τ 1.00 → e^(19.000 − ln Σ) = e^(19.000 − 20.313) = 0.269"
    )


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.floats(-40, 40, width=32), min_size=5, max_size=5),
    st.integers(10, 500).map(lambda cents: cents / 100),
    st.integers(0, 4),
    st.integers(1, 5),
)
def test_the_numbers_add_up(told, row, temperature, key, seen):
    mask = np.arange(5)[None] < seen
    trace = trace_of(from_scores([row], mask=mask))
    state = ExplorerState(trace, temperature=temperature, pair=(0, min(key, seen - 1)))

    text = told(state)

    scores = np.array(row[:seen], dtype=np.float64)
    wanted = scores[min(key, seen - 1)]
    scaled = scores / temperature
    log_sum = scaled.max() + np.log(np.exp(scaled - scaled.max()).sum())
    summed, logged = SUMMED.search(text), LOGGED.search(text)
    assert (summed is None) != (logged is None), text
    percent, score, tau, exponent, *_, weight = numbers = [
        float(n.replace(",", "")) for n in (summed or logged).groups()
    ]
    np.testing.assert_allclose(score, wanted, atol=0.0051)
    assert tau == temperature
    np.testing.assert_allclose(exponent, wanted / temperature, atol=0.0051)
    if summed:
        np.testing.assert_allclose(numbers[4], np.exp(wanted / temperature), rtol=0.0051)
        np.testing.assert_allclose(numbers[5], np.exp(log_sum), rtol=0.0051)
    else:
        np.testing.assert_allclose(numbers[4], wanted / temperature, atol=0.0051)
        np.testing.assert_allclose(numbers[5], log_sum, atol=0.0051)
    # Three digits are told; float32 weights vanish below 1e-45.
    share = 100 * np.exp(wanted / temperature - log_sum)
    np.testing.assert_allclose([percent, 100 * weight], share, rtol=0.0051, atol=1e-42)


def test_the_formula_says_what_the_model_computes(told):
    usual = trace_of(call())
    other = trace_of(call(scale=0.25))
    biased = trace_of(call(bias=np.ones((1, 1, 5, 5), dtype=np.float32)))

    assert " q·k/√d = " in told(ExplorerState(usual))
    assert " 0.25·q·k = " in told(ExplorerState(other))
    assert " q·k/√d + bias = " in told(ExplorerState(biased))
    capped = trace_of(call(soft_cap=50, bias=np.ones((1, 1, 5, 5), dtype=np.float32)))
    assert " q·k/√d capped at ±50 + bias = " in told(ExplorerState(capped))


def test_a_sink_is_in_the_sum_and_says_what_it_takes(told):
    # Scores 0 and ln 3 and a sink of ln 4: 1, 3 and 4 of 8.
    sinks = np.log(np.array([4], dtype=np.float32))
    one = from_scores([[0, np.log(3)]], values=[[1, 0, 0]] * 2, sinks=sinks)
    state = ExplorerState(trace_of(one))

    assert told(state, (0, 1)) == (
        "0 → 1 37.5 % of what “0” becomes is taken from “1”. The head's sink (score 1.39) takes "
        "50.0 % of the row. 1·q·k = 1.10 ÷ τ 1.00 → e^1.10 / Σ = 3 / 8 = 0.375"
    )


def test_of_the_mean_it_is_told_what_all_heads_sinks_take(told):
    sinks = np.full(3, 30, dtype=np.float32)
    state = ExplorerState(trace_of(call(sinks=sinks)), aggregate=True)

    assert told(state).endswith(" The heads' sinks take 100.0 % of the row. The mean over 3 heads.")


def test_an_empty_row_with_a_sink_is_the_sinks(told):
    sinks = np.zeros(3, dtype=np.float32)
    chosen = {"mask": "padding", "pad_len": 2, "empty_rows": "uniform", "query_index": 4}
    state = ExplorerState(trace_of(call(sinks=sinks)), **chosen)

    assert told(state).endswith(
        "it may see no key, so its weights are all 0: the attention sink takes the whole row."
    )


def test_a_bias_is_in_the_score_that_is_told(told):
    bias = np.array([[[[0.5, -1.25]]]], dtype=np.float32)
    state = ExplorerState(trace_of(from_scores([[1, 2]], bias=bias)))

    assert " = 0.75 ÷" in told(state, (0, 1))


@pytest.mark.parametrize(
    ("chosen", "because"),
    [
        ({"mask": "causal"}, "under the causal mask"),
        ({"mask": "key_padding", "pad_len": 1}, "under the key padding mask (pad length 1)"),
        ({"mask": "window", "window": 1}, "under the window mask (window 1)"),
    ],
)
def test_a_masked_pair_says_why_its_weight_is_zero(told, chosen, because):
    state = in_words(np.zeros((2, 2)), ["it", "cat"], **chosen)

    assert told(state, (0, 1)) == (
        f"it → cat is masked: {because} “it” may not see “cat”, so its weight is 0"
    )


def test_a_pair_masked_by_the_model_says_so(told):
    state = ExplorerState(trace_of(call(causal="top_left")))

    assert "under the model's own mask “0” may not see “1”" in told(state, (0, 1))


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("zero", "so its weights are all 0 and it becomes nothing (policy “zero”)."),
        ("uniform", "so every key gets 1/5 = 0.2 (policy “uniform”, what filling with −1e9 does)."),
        ("nan", "so its weights are not numbers (policy “nan”, what filling with −∞ does)."),
    ],
)
@pytest.mark.parametrize("aggregate", [False, True])
def test_an_empty_row_says_why_and_which_policy_filled_it(told, policy, words, aggregate):
    chosen = {"mask": "padding", "pad_len": 2, "empty_rows": policy, "aggregate": aggregate}
    state = ExplorerState(toy_trace(T=5), **chosen, query_index=4)

    assert told(state) == (
        f"t4 is an empty row: under the padding mask (pad length 2) it may see no key, {words}"
    )


def test_a_row_emptied_by_the_bias_is_an_empty_row(told):
    bias = np.zeros((1, 1, 3, 3), dtype=np.float32)
    bias[..., 1, :] = -np.inf
    state = ExplorerState(trace_of(call(query_len=3, bias=bias)), mask="none", query_index=1)

    assert told(state).startswith("1 is an empty row:")


def test_a_pair_hidden_by_the_bias_is_a_masked_pair(told):
    bias = np.zeros((1, 1, 3, 3), dtype=np.float32)
    bias[..., 0, 2] = -np.inf
    state = ExplorerState(trace_of(call(query_len=3, bias=bias)), mask="none")

    assert "may not see" in told(state, (0, 2))


def test_the_mean_has_no_score_and_says_of_how_many_heads_it_is(told):
    state = ExplorerState(trace_of(call(heads=3)), aggregate=True)

    weight = np.mean([state.call.weights(head)[1, 2] for head in range(3)])
    assert told(state, (1, 2)) == (
        f"1 → 2 {100 * weight:.3g} % of what “1” becomes is taken from “2”. The mean over 3 heads."
    )


def test_a_recorded_weight_is_told_as_recorded(told):
    made = recorded()

    weight = made.recorded_weights[0, 0, 1, 2]
    assert told(ExplorerState(trace_of(made)), (1, 2)) == (
        f"1 → 2 {100 * weight:.3g} % of what “1” becomes is taken from “2”. "
        "As the model recorded it."
    )


def test_where_the_model_recorded_no_number_none_is_told(told):
    weights = np.full((1, 1, 2, 2), np.nan, dtype=np.float32)
    weights[..., 0, :] = 0.5
    state = ExplorerState(trace_of(AttentionCall("by hand", 0, recorded_weights=weights)))

    assert "nan" not in told(state, (1, 0))
    assert " 50 % of" in told(state, (0, 0))


def test_a_token_is_plain_text_of_readable_length(told):
    hostile = "</script><img src=x onerror=alert(1)>"
    state = in_words([[0, 0], [0, 0]], [hostile, "b"])

    assert told(state).startswith(f"{hostile[:31]}… → {hostile[:31]}… ")
