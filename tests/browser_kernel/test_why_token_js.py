"""The card "Why this token": numbers are those of `trace.explain`; what is missing is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from attnpanel.attention.masks import make_mask
from attnpanel.trace import Trace
from attnpanel.trace.head_outputs import HeadOutputs
from attnpanel.trace.rotary import Rotary
from tests.browser_kernel.conftest import node_running
from tests.browser_kernel.explorers import call, data_of, hiding_bias, recorded
from tests.hand_made import with_outputs

HERE = Path(__file__).parent
STATE = {
    "layer": 0,
    "head": 1,
    "batch": 0,
    "aggregate": False,
    "query_index": 2,
    "pair": [2, 4],
    "viewport": None,
    "temperature": 0.5,
    "mask": "model",
    "empty_rows": "zero",
    "align": "top_left",
    "dark": False,
}
GAPS = np.random.default_rng(3).random((1, 3, 7, 11)) < 0.6
SINKS = np.array([-1, 0.5, 2], np.float32)
CALLS = {
    "plain": call(0),
    "grouped keys": call(1, heads=6, kv_heads=2, scale=0.25),
    "soft cap, sinks and bias": call(
        2, soft_cap=0.5, sinks=SINKS, bias=hiding_bias(1, 3, 5, 5, empty=4)
    ),
    "cross, padded": call(3, query_len=7, key_len=11, mask=GAPS),
    "half split": call(4, rotary=Rotary("half_split", 10)),
    "interleaved": call(5, rotary=Rotary("interleaved", 4)),
    "no values": call(6, values=False),
    "recorded": recorded(7),
    "two tokens": call(8, query_len=2),
    "outputs": with_outputs(call(9)),
    "outputs not known": dataclasses.replace(call(10), outputs=HeadOutputs(missing="no reason")),
}
NAMES = list(CALLS)
# Texts have so many digits; the page's arrays are float32.
FOUR_DIGITS = {"rtol": 6e-4, "atol": 1e-9}
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module")
def trace():
    return Trace(CALLS.values(), source="capture", query_tokens=[list("abcde")])


@pytest.fixture(scope="module")
def page(trace):
    with node_running(HERE / "drawings.mjs") as kernel:
        kernel("show", data_of(trace), {})
        yield kernel


@pytest.fixture(scope="module")
def why(page):
    def ask(name="plain", **changes):
        return page("whyTokenOf", STATE | {"layer": NAMES.index(name)} | changes, None)

    return ask


def explained(trace, name="plain", pair=(2, 4), **options):
    options = {"temperature": 0.5, **options}
    return trace.explain(NAMES.index(name), 1, *pair, **options)


def steps(shown):
    return {step["words"]: step["number"] for step in shown["steps"]}


@pytest.mark.parametrize("name", ["plain", *NAMES[1:6]])
def test_the_bars_are_the_contributions_and_add_up(why, trace, name):
    shown, found = why(name), explained(trace, name)

    assert [bar["channels"] for bar in shown["channels"]] == list(map(list, found.score.channels))
    np.testing.assert_allclose(
        [bar["product"] for bar in shown["channels"]], found.score.contributions, rtol=1e-12
    )
    assert shown["product"] == pytest.approx(found.score.product, rel=1e-12)
    assert shown["paired"] == (found.score.rotary is not None)
    largest = max(abs(number) for bar in shown["channels"] for number in bar["query"] + bar["key"])
    assert shown["high"] >= largest


@pytest.mark.parametrize("name", NAMES[:6])
@pytest.mark.parametrize("temperature", [1, 0.5])
def test_the_steps_lead_to_the_weight(why, trace, name, temperature):
    for pair in ((2, 3), (2, 4), (0, 1)):
        shown = why(name, pair=list(pair), query_index=pair[0], temperature=temperature)
        found = explained(trace, name, pair, temperature=temperature)
        got = steps(shown)

        assert float(got["q·k"]) == pytest.approx(found.score.product, abs=0.0051)
        (capped,) = [float(got[w]) for w in got if w.startswith("capped")] or [None]
        if capped is not None:
            assert capped == pytest.approx(found.score.capped, abs=0.0051)
        (after_bias,) = (float(got[w]) for w in got if "bias" in w and not w.startswith("by"))
        np.testing.assert_allclose(after_bias, found.score.score, atol=0.0051)
        if found.visible:
            power = float(next(got[w] for w in got if w.startswith("e to the")))
            np.testing.assert_allclose(power, np.exp(found.score.score / temperature), rtol=1e-3)
            whole = next(float(w.split()[-1]) for w in got if w.startswith("÷ Σ"))
            np.testing.assert_allclose(whole, np.exp(found.score.logsumexp), rtol=1e-3)
        else:
            assert "hidden" in got.values()
        assert float(shown["steps"][-1]["number"]) == pytest.approx(found.weight, rel=0.006)


def test_a_step_that_changes_nothing_is_grey(why):
    def grey(**changes):
        return [step["words"] for step in why(**changes)["steps"] if step["same"]]

    assert grey(temperature=1) == ["no bias", "mask: may see", "÷ τ 1.00"]
    assert grey() == ["no bias", "mask: may see"]
    assert grey(name="soft cap, sinks and bias", pair=[2, 0]) == ["mask: may see"]


@pytest.mark.parametrize("name", NAMES[:6])
def test_what_is_written_is_numpys(why, trace, name):
    shown, found = why(name), explained(trace, name)

    order = sorted(range(len(found.weights)), key=lambda j: (-found.written.norms[j], j))
    listed = [row["key"] for row in shown["written"]]
    assert [row["norm"] for row in shown["written"]] == sorted(
        (row["norm"] for row in shown["written"]), reverse=True
    )
    writing = [key for key in order[:3] if found.weights[key] > 0]
    assert listed[: len(writing)] == writing
    for field, expected in (
        ("weight", found.weights),
        ("norm", found.written.norms),
        ("valueNorm", found.written.value_norms),
        ("share", found.written.shares),
    ):
        got = [row[field] for row in shown["written"]]
        np.testing.assert_allclose(got, expected[listed], err_msg=field, **FLOAT32)
    seen = trace.calls[NAMES.index(name)].visible(1)[2]
    assert shown["meanNorm"] == pytest.approx(found.written.value_norms[seen].mean())
    assert 4 in listed  # the chosen key, whatever it writes


def test_what_is_written_after_the_projection_is_numpys(why, trace):
    shown, found = why("outputs"), explained(trace, "outputs")

    assert shown["projected"]
    after = found.written.projected_norms
    np.testing.assert_allclose(
        [row["norm"] for row in shown["written"]],
        after[[row["key"] for row in shown["written"]]],
        **FLOAT32,
    )
    row = shown["tables"][1]
    column = row["heading"].index("writes after W_O") - 1
    order = np.argsort(-found.weights, kind="stable")
    got = [float(line["cells"][column]) for line in row["rows"][:-1]]
    np.testing.assert_allclose(got, after[order], **FOUR_DIGITS)
    assert len(row["rows"][-1]["cells"]) == len(row["heading"]) - 1


@pytest.mark.parametrize(("temperature", "mask"), [(1, "model"), (0.5, "model"), (1, "causal")])
def test_promoted_tokens_are_numpys(why, trace, temperature, mask):
    shown = why("outputs", temperature=temperature, mask=mask, pair=[2, 1])["promoted"]
    chosen = mask if mask == "model" else make_mask("causal", 5)
    found = explained(trace, "outputs", (2, 1), temperature=temperature, mask=chosen).promoted

    for got, expected in ((shown["pair"], found.pair), (shown["row"], found.row)):
        assert (got is None) == (expected is None)
        if expected is not None:
            np.testing.assert_allclose([x for _, x in got], [x for _, x in expected], **FLOAT32)
            names = [token.replace("\u202e", "·") for token, _ in expected]
            assert [shown[:17] for shown, _ in got] == [name[:17] for name in names]
    assert (shown["row"] is None) == (temperature != 1 or mask != "model")


def test_a_mean_of_heads_promotes_nothing_and_reasons_are_given(why):
    assert why("outputs", aggregate=True)["promoted"] is None
    assert why("plain")["promoted"] is None
    shown = why("outputs not known")
    assert shown["missing"] == [
        "What it writes after the output projection is not known: no reason."
    ]
    assert not shown["projected"]


def test_the_row_of_weights_is_whole(why, trace):
    shown = why("soft cap, sinks and bias", pair=[2, 0])
    found = explained(trace, "soft cap, sinks and bias", (2, 0))

    parts = {part["name"]: part["part"] for part in shown["parts"]}
    assert sum(parts.values()) == pytest.approx(1)
    assert parts["sink"] == pytest.approx(1 - found.weights.sum(), rel=1e-5)
    assert shown["whole"].startswith("e to the score of every key, end to end: Σ = ")


def test_the_tables_have_every_channel_and_key(why, trace):
    channels, row = why()["tables"]
    found = explained(trace)
    one = CALLS["plain"]
    cells = np.array([[float(text) for text in line["cells"]] for line in channels["rows"][:-1]])
    query, key = one.query[0, 1, 2], one.key[0, 1, 4]
    np.testing.assert_allclose(cells, np.stack([query, key, query * key], axis=1), **FOUR_DIGITS)
    assert float(channels["rows"][-1]["cells"][-1]) == pytest.approx(found.score.product, rel=1e-4)

    weights = one.weights(1, temperature=0.5)[2]
    order = np.argsort(-weights, kind="stable")
    assert [line["name"] for line in row["rows"][:-1]] == [list("abcde")[key] for key in order]
    numbers = np.array([[float(text) for text in line["cells"]] for line in row["rows"][:-1]])
    expected = [one.scores(1)[2], weights, found.written.value_norms, found.written.norms]
    for column, array in enumerate([*expected, found.written.shares]):
        np.testing.assert_allclose(numbers[:, column], array[order], **FOUR_DIGITS)
    np.testing.assert_allclose(numbers[:, 5:], one.value[0, 1][order], **FOUR_DIGITS)
    output = [float(text) for text in row["rows"][-1]["cells"][5:]]
    np.testing.assert_allclose(output, found.written.output, **FOUR_DIGITS)


def test_pairs_are_named_in_the_table(why):
    channels = why("half split")["tables"][0]

    assert channels["heading"] == ["channel", "pair", "query", "key", "product"]
    assert [line["name"] for line in channels["rows"][:4]] == ["0", "5", "1", "6"]
    assert [line["cells"][0] for line in channels["rows"]] == [
        *[str(pair) for pair in range(5) for _ in (0, 1)],
        "–",
        "",
    ]


def test_a_hidden_key_has_a_product_and_no_weight(why):
    shown = why(mask="causal")

    assert make_mask("causal", 5)[2, 4] == 0
    assert len(shown["channels"]) == 11
    assert [(step["words"], step["number"]) for step in shown["steps"][-2:]] == [
        ("by the mask", "hidden"),
        ("weight", "0"),
    ]
    hidden = next(line for line in shown["tables"][1]["rows"] if line["name"] == "e")
    assert hidden["cells"][:2] == ["masked", "0"]
    chosen = next(row for row in shown["written"] if row["key"] == 4)
    assert chosen["norm"] == 0
    by_bias = why("soft cap, sinks and bias", query_index=4, pair=[4, 3])
    assert ("by the bias", "hidden") in [(s["words"], s["number"]) for s in by_bias["steps"]]


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("plain", {"aggregate": True}, "A mean over heads has no query and key of its own"),
        ("recorded", {}, "Only the weights were recorded"),
        ("no values", {}, "No values were kept in this trace"),
        ("plain", {"mask": "padding", "pad_len": 2}, "“c” may see no key here"),
    ],
)
def test_what_is_missing_is_said(why, name, changes, sentence):
    shown = why(name, **changes)

    assert any(text.startswith(sentence) for text in shown["missing"])
    assert shown["tables"][-1]["caption"] == "The row as a table"
    if name == "recorded" or changes.get("aggregate"):
        assert shown["channels"] == shown["steps"] == shown["written"] == []
        assert shown["asked"] == "Why this weight can't be taken apart"


@pytest.mark.parametrize("policy", ["zero", "uniform", "nan"])
def test_an_empty_row_shows_what_its_policy_gives(why, policy):
    shown = why(mask="padding", pad_len=2, empty_rows=policy)

    number = shown["steps"][-1]["number"]
    assert number == {"zero": "0", "uniform": "0.2", "nan": "nan"}[policy]
    assert shown["parts"] == []
    norms = [row["norm"] for row in shown["written"]]
    assert len(norms) == {"zero": 3, "uniform": 5, "nan": 0}[policy]
    lengths = np.linalg.norm(CALLS["plain"].value[0, 1].astype(float), axis=1)
    mean = lengths.mean() if policy == "uniform" else 0
    assert shown["meanNorm"] == pytest.approx(mean)


def test_numbers_that_are_not_finite_are_named():
    one = call(0)
    query = one.query.copy()
    query[0, 1, 2, 3], query[0, 1, 2, 5] = np.nan, np.inf
    broken = dataclasses.replace(one, query=query)
    trace = Trace([broken], source="capture", query_tokens=[list("abcde")])
    with node_running(HERE / "drawings.mjs") as kernel:
        kernel("show", data_of(trace), {})
        shown = kernel("whyTokenOf", STATE, None)

    assert shown["channels"] == []
    assert shown["missing"] == [
        "Of this query and key, channels 3, 5 are not finite (nan or inf): "
        "their product can't be drawn."
    ]
    assert shown["steps"][-1]["number"] == "nan"


def test_bars_without_room_are_one_whose_sum_is_honest(page, trace):
    found = explained(trace).score
    bars = page("barsOf", STATE, "product", 6)

    assert len(bars) == 6
    (rest,) = (bar for bar in bars if bar["count"] > 1)
    assert (rest["label"], rest["count"]) == ("+6", 6)
    largest = np.argsort(-np.abs(found.products))[:5]
    assert {int(bar["label"]) for bar in bars if bar["count"] == 1} == set(largest.tolist())
    smallest = np.delete(found.products, largest).sum()
    assert rest["product"] == pytest.approx(smallest, rel=1e-12)
    assert sum(bar["product"] for bar in bars) == pytest.approx(found.product, rel=1e-12)
    products = [bar["product"] for bar in bars if bar["count"] == 1]
    assert products == sorted(products, reverse=True)

    whole = page("barsOf", STATE, "product", 11)
    np.testing.assert_allclose([bar["product"] for bar in whole], np.sort(found.products)[::-1])
    by_channel = page("barsOf", STATE, "channel", 6)
    np.testing.assert_allclose([bar["product"] for bar in by_channel], found.products)


def test_a_remark_names_the_key_that_writes_less_than_it_is_weighed():
    # Equal scores, and a value that is a tenth as long as the others.
    value = np.ones((1, 1, 4, 3), np.float32)
    value[:, :, 1] = 0.1
    zeros = np.zeros((1, 1, 4, 2), np.float32)
    one = dataclasses.replace(call(0, heads=1, query_len=4), query=zeros, key=zeros, value=value)
    trace = Trace([one], source="capture", query_tokens=[list("abcd")])
    with node_running(HERE / "drawings.mjs") as kernel:
        kernel("show", data_of(trace), {})
        shown = kernel("whyTokenOf", STATE | {"head": 0, "pair": [0, 1]}, None)

    assert shown["remark"] == (
        "“b” gets 25 % of the weight and writes 3.2 % of what is written: its value is 0.17 long, "
        "those of the other keys 1.7 to 1.7."
    )
