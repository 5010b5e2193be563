"""comparing.js finds the pairs, the differences and the heads that attnpanel.comparison finds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnpanel.attention.mask_table import mask_parameters
from attnpanel.attention.masks import make_mask
from attnpanel.comparison import (
    align,
    attention_difference,
    heads_by_change,
    moved_shares,
    score_contrast,
)
from attnpanel.explorer.weight_scales import round_up
from attnpanel.trace import Trace
from attnpanel.ui.theme import LIGHT, ramp
from tests.browser_kernel.conftest import node_running
from tests.browser_kernel.explorers import call, data_of

HERE = Path(__file__).parent
TOKENS = st.lists(st.sampled_from("abc"), max_size=7)
# Five tokens against seven: one word exchanged, two added.
FIRST, SECOND = list("abcde"), list("abxdyze")
START = {
    "layer": [0, 0],
    "head": [0, 0],
    "aggregate": [False, False],
    "temperature": [1.0, 1.0],
    "mask": ["model", "model"],
    **{name: [row.example_at(5, 5)] * 2 for name, row in mask_parameters().items()},
    "pad_len": [3, 3],
    "window": [2, 2],
    "apart": [],
    "row": 0,
    "key": None,
    "every": False,
    "dark": False,
}


def trace(tokens, seed):
    calls = [call(seed + at, heads=2, query_len=len(tokens), values=False) for at in range(2)]
    return Trace(calls, source="capture", query_tokens=[tokens])


TRACES = trace(FIRST, 0), trace(SECOND, 5)
PAIRS = align(FIRST, SECOND)


@pytest.fixture(scope="module")
def page():
    with node_running(HERE / "comparing.mjs") as page:
        page("showTwo", *(data_of(one) for one in TRACES))
        yield page


def test_tokens_are_paired_as_python_pairs_them(page):
    @settings(max_examples=60, deadline=None)
    @given(TOKENS, TOKENS)
    def held(first, second):
        expected = [[-1 if one is None else one for one in pair] for pair in align(first, second)]
        assert page("aligned", first, second) == expected

    held()


@pytest.mark.parametrize(
    "place",
    [{}, {"layer": [1, 1], "head": [1, 1]}, {"head": [0, 1], "apart": ["head"]}],
    ids=["first head", "last head", "two heads"],
)
def test_the_difference_is_that_of_python(page, place):
    state = START | place
    one, other = (
        of.calls[layer].weights(head)
        for of, layer, head in zip(TRACES, state["layer"], state["head"], strict=True)
    )

    made = page("comparedTwo", state)

    difference = attention_difference(one, other, PAIRS, PAIRS)
    shape = difference.shape
    # float32 on both sides, summed in another order.
    np.testing.assert_allclose(made["difference"].reshape(shape), difference, rtol=0, atol=2e-6)
    np.testing.assert_allclose(
        made["moved"], moved_shares(one, other, PAIRS, PAIRS), rtol=0, atol=5e-6
    )


@pytest.mark.parametrize("mask", ["none", "padding", "causal", "key_padding", "window"])
def test_either_side_has_its_mask_with_its_number_and_its_temperature(page, mask):
    numbers = {"pad_len": [3, 4], "window": [2, 5]}
    state = START | numbers | {"mask": [mask, "model"], "temperature": [0.5, 2.0]}
    one = TRACES[0].calls[0]
    hidden = make_mask(mask, one.query_len, pad_len=3, window=2)
    sides = (
        one.weights(0, temperature=0.5, mask=hidden),
        TRACES[1].calls[0].weights(0, temperature=2.0),
    )

    made = page("comparedTwo", state | {"apart": ["mask", "temperature", *numbers]})

    difference = attention_difference(*sides, PAIRS, PAIRS)
    np.testing.assert_allclose(made["difference"].reshape(difference.shape), difference, atol=2e-6)


def test_either_side_may_show_the_mean_of_its_heads(page):
    state = START | {"aggregate": [True, False], "head": [0, 1], "apart": ["head", "aggregate"]}
    mean = np.mean([TRACES[0].calls[0].weights(head) for head in range(2)], axis=0)

    made = page("comparedTwo", state)
    ranked = page("changesOfTwo", state)

    difference = attention_difference(mean, TRACES[1].calls[0].weights(1), PAIRS, PAIRS)
    np.testing.assert_allclose(made["difference"].reshape(difference.shape), difference, atol=2e-6)
    # Each head of B is held against A's mean.
    for one in ranked:
        other = TRACES[1].calls[one["layer"]].weights(one["head"])
        expected = moved_shares(mean, other, PAIRS, PAIRS)[0]
        assert one["moved"] == pytest.approx(expected, abs=5e-6)


def test_a_row_in_which_nothing_can_be_seen_is_said_to_be_empty(page):
    pieces = page(
        "sentenceOfTwo",
        START | {"row": len(PAIRS) - 1, "mask": ["padding", "model"], "apart": ["mask"]},
    )

    assert pieces[1][1].startswith("may look at nothing in A: its mask hides every key")


@pytest.mark.parametrize("every", [False, True])
def test_the_heads_are_ranked_as_python_ranks_them(page, every):
    query = None if every else 3
    row = [one for one, _ in PAIRS].index(3)

    made = page("mostOf", page("changesOfTwo", START | {"row": row, "every": every}))

    expected = heads_by_change(*TRACES, query_index=query)
    assert [(one["layer"], one["head"]) for one in made] == [
        (one.layer, one.head) for one in expected
    ]
    np.testing.assert_allclose(
        [one["moved"] for one in made], [one.moved for one in expected], rtol=0, atol=5e-6
    )


def test_with_heads_apart_all_of_the_second_side_are_held_against_one(page):
    made = page("changesOfTwo", START | {"head": [1, 0], "apart": ["head"]})

    mine = TRACES[0].calls[0].weights(1)
    for one in made:
        other = TRACES[1].calls[one["layer"]].weights(one["head"])
        assert one["moved"] == pytest.approx(moved_shares(mine, other, PAIRS, PAIRS)[0], abs=5e-6)


def test_what_is_not_apart_follows_the_first_side(page):
    fitted = page("fittedTwo", START | {"head": [1, 0], "temperature": [2.0, 0.5], "row": 99})

    assert fitted["head"] == [1, 1]
    assert fitted["temperature"] == [2, 2]
    assert fitted["row"] == len(PAIRS) - 1


def test_the_difference_is_drawn_centred_at_zero_and_both_sides_from_0_to_1(page):
    made = page("picturesOfTwo", START)
    change = made["difference"]["sources"]["compare:difference"]["image"][0]
    reach = round_up(float(np.nanmax(np.abs(change))))

    colours = made["difference"]["colours"]
    assert (colours["low"], colours["high"]) == (-reach, reach)
    assert colours["palette"] == list(ramp(LIGHT.diverging))
    assert made["first"]["colours"] == made["second"]["colours"]
    assert [made["first"]["colours"][end] for end in ("low", "high")] == [0, 1]
    assert made["bars"]["y"][0] == 0 < 1 < made["bars"]["y"][1]
    assert made["bars"]["yTicks"] == [[0, "0"], [0.5, "0.5"], [1, "1"]]
    # c stands where x stands, y and z have no counterpart.
    assert made["difference"]["xLabels"] == ["a", "b", "c/x", "d", "y", "z", "e"]
    assert made["first"]["xLabels"] == ["a", "b", "c", "d", "–", "–", "e"]


def test_a_token_without_a_counterpart_is_said_to_have_none(page):
    row = [other for _, other in PAIRS].index(SECOND.index("y"))

    pieces = page("sentenceOfTwo", START | {"row": row})

    assert pieces[1][1].startswith("is in B only")
    assert page("picturesOfTwo", START)["bars"]["sources"]["compare:bars:labels"]["text"]
    bars = page("picturesOfTwo", START | {"row": row})["bars"]
    assert bars["sources"]["compare:bars:labels"]["text"] == []


def test_the_sentence_gives_both_weights_and_their_change(page):
    key = [one for one, _ in PAIRS].index(2)
    one, other = (of.calls[0].weights(0) for of in TRACES)

    pieces = dict.fromkeys(text for _, text in page("sentenceOfTwo", START | {"key": key}))

    assert "a → c/x" in pieces
    assert f"{100 * one[0, 2]:.1f} %" in pieces
    assert f"{100 * other[0, 2]:.1f} %" in pieces


# Far apart, alike but for rounding, and the same; hot and cold; with tokens on one side alone.
PAIRS_OF_TRACES = {
    "others": TRACES,
    "one word": (trace(FIRST, 0), trace([*FIRST[:4], "z"], 0)),
    "the same": (trace(FIRST, 0), trace(FIRST, 0)),
}


@pytest.mark.parametrize("pair", PAIRS_OF_TRACES)
def test_what_is_said_of_a_difference_is_what_it_is(page, pair):
    page("showTwo", *(data_of(one) for one in PAIRS_OF_TRACES[pair]))

    @settings(max_examples=60, deadline=None)
    @given(
        st.tuples(*[st.integers(-20, 20)] * 2),
        st.tuples(*[st.sampled_from(["model", "causal", "window"])] * 2),
        st.tuples(*[st.integers(0, 1)] * 2),
        st.sampled_from([None, 0, 1e-7, -1e-7, 1e-5, 1e-3]),
    )
    def held(temperatures, masks, heads, nearly):
        first, second = (10 ** (step / 10) for step in temperatures)
        if nearly is not None:  # both sides alike but for a rounding
            second, masks, heads = first * (1 + nearly), [masks[0]] * 2, [heads[0]] * 2
        state = START | {
            "temperature": [first, second],
            "mask": list(masks),
            "head": list(heads),
            "apart": ["temperature", "mask", "head"],
        }

        said = page("wordsOfTwo", state)

        words = said["words"]
        assert "−0.0" not in words
        assert "+0.0" not in words
        moved = np.nanmax(said["moved"])
        least, most = np.nanmin(said["difference"]), np.nanmax(said["difference"])
        rounding = 0.00051  # half of the last decimal, in points of a hundredth
        if words == "no difference":
            assert max(moved, most, -least) < rounding
        elif words.startswith("none in tokens that both have"):
            assert max(most, -least) < rounding < moved + 2 * (rounding - 0.0005)
        else:
            low, high = re.fullmatch(r"from (\S+) to (\S+) points", words).groups()
            for text, number in ((low, min(least, 0)), (high, max(most, 0))):
                decimals = 1 if abs(number) < 0.0995 else 0
                shown = float(text.replace("−", "-"))
                assert shown == pytest.approx(100 * number, abs=0.51 * 10**-decimals)
            assert low != high

    try:
        held()
    finally:
        page("showTwo", *(data_of(one) for one in TRACES))


def loadings(components, side):
    """What JavaScript found: an array (components, tokens) of A and of B."""
    return [np.array([[one[of] for one in found[side]] for found in components]) for of in "ab"]


@pytest.mark.parametrize(
    "changes",
    [{}, {"temperature": [0.5, 2.0]}, {"mask": ["causal", "window"], "apart": ["mask"]}],
    ids=["plain", "temperatures", "masks"],
)
def test_the_components_of_the_difference_are_those_of_numpy(page, changes):
    state = START | changes | {"apart": list(changes), "row": 2, "key": 1}
    masks = {"model": None, "causal": make_mask("causal", 5, 5)}
    masks["window"] = make_mask("window", 7, 7, window=2)
    scores = [
        np.where(True if mask is None else mask, of.calls[0].scores(0), -np.inf) / temperature
        for of, mask, temperature in zip(
            TRACES, (masks[name] for name in state["mask"]), state["temperature"], strict=True
        )
    ]
    wanted = score_contrast(*scores, PAIRS, PAIRS)
    found = page("contrastOfTwo", state)
    shown = len(found["components"])
    assert shown > 1
    # Scores are float32 there, of queries and keys that both have as float32.
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(found["sizes"], wanted.sizes[: len(found["sizes"])], **close)
    shares = [one["share"] for one in found["components"]]
    np.testing.assert_allclose(shares, wanted.shares[:shown], **close)
    for side, loaded in (("queries", wanted.query_loadings), ("keys", wanted.key_loadings)):
        np.testing.assert_allclose(loadings(found["components"], side), loaded[:, :shown], **close)
    # Row 2 is c against x, key 1 is b.
    part = wanted.sizes * wanted.query_vectors[:, 2] * wanted.key_vectors[:, 1]
    np.testing.assert_allclose(found["pair"]["parts"], part[:shown], **close)
    np.testing.assert_allclose(found["pair"]["difference"], wanted.difference[2, 1], **close)


def test_a_pair_that_one_side_hides_has_no_part(page):
    state = START | {"mask": ["causal", "model"], "apart": ["mask"], "row": 0, "key": 1}
    assert page("contrastOfTwo", state)["pair"] is None


def test_singular_values_and_vectors_are_those_of_numpy(page):
    @settings(max_examples=30, deadline=None)
    @given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 7), st.integers(0, 2**32 - 1))
    def held(rows, columns, rank, seed):
        rng = np.random.default_rng(seed)
        # A factor of the columns lets singular values span six orders of magnitude.
        spread = 10.0 ** -rng.integers(0, 7, columns)
        matrix = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns)) * spread
        found = page("triplesOf", matrix.ravel().tolist(), rows, columns)
        sizes = np.linalg.svd(matrix, compute_uv=False)
        kept = sizes[sizes > sizes[0] * 1e-12]
        np.testing.assert_allclose([one["size"] for one in found], kept, rtol=1e-9, atol=1e-12)
        made = sum(
            (one["size"] * np.outer(one["left"], one["right"]) for one in found),
            np.zeros_like(matrix),
        )
        np.testing.assert_allclose(made, matrix, atol=1e-11)
        for one in found:
            np.testing.assert_allclose([np.linalg.norm(one[of]) for of in ("left", "right")], 1)
            assert max(one["left"], key=abs) > 0

    held()
