"""labels, rules, address and sentence in js/explorer give the same texts and choices as Python."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attnpanel.explorer.address import apply_address
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views.drawing import shorten
from attnpanel.models.toy import toy_trace
from attnpanel.trace import Trace
from tests.browser_kernel.explorers import choices, opened_page, selection_of, states, traces
from tests.hand_made import call, from_scores, trace_of, varied_traces

TRACES = traces()
VARIED = varied_traces()
# What a reader sees of long sequences is no other text, and they have megabytes to send.
SHORT = [name for name in TRACES if name != "long"]
laws = settings(max_examples=40, deadline=None)
numbers = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-1e4, 1e4)
# Midway between two texts: whole odd numbers of halves, quarters, …
ties = st.builds(
    lambda odd, power: (2 * odd + 1) / 2.0**power,
    st.integers(-(2**20), 2**20),
    st.integers(-40, 12),
)


@pytest.fixture(scope="module")
def page():
    with opened_page() as page:
        yield page


@pytest.fixture(params=SHORT)
def name(request):
    return request.param


def for_states(name: str, check) -> None:
    @settings(max_examples=15, deadline=None)
    @given(states(TRACES[name]))
    def held(state):
        check(state)

    held()


# -- numbers and tokens ----------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(numbers | ties, st.integers(0, 5))
@example(0.125, 2)
@example(-0.0, 1)
@example(1e21, 2)
@example(2.5, 0)
@example(1.7976931348623157e308, 3)
def test_decimals_are_pythons(page, number, decimals):
    assert page("fixed", number, decimals) == f"{number:.{decimals}f}"


@settings(max_examples=400, deadline=None)
@given(numbers | ties, st.integers(1, 7))
@example(0.0001, 3)
@example(0.00009999, 3)
@example(999.5, 3)
@example(1125.0, 3)
@example(100.0, 3)
@example(2.5e20, 1)
@example(5e-324, 6)
def test_significant_digits_are_pythons(page, number, digits):
    assert page("general", number, digits) == f"{number:.{digits}g}"


def test_every_assigned_character_is_shown_or_replaced_as_in_python(page):
    # Of unassigned ones Python's Unicode and the browser's may know different ones.
    letters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    assigned = [letter for letter in letters if unicodedata.category(letter) != "Cn"]
    text = "".join(assigned)

    made = page("shorten", text, len(text))

    differing = [
        f"U+{ord(letter):04X}"
        for letter, shown, expected in zip(assigned, made, shorten(text, len(text)), strict=True)
        if shown != expected
    ]
    assert differing == []


@laws
@given(st.text(max_size=40), st.integers(2, 20))
@example("😀" * 14, 14)
@example("😀" * 15, 14)
def test_labels_are_cut_by_characters(page, text, most):
    known = "".join(letter for letter in text if unicodedata.category(letter) not in ("Cn", "Cs"))

    assert page("shorten", known, most) == shorten(known, most)


# -- what the page says ----------------------------------------------------------------------


def test_titles_say_what_is_drawn_of_what(page):
    trace = trace_of(call(0), call(1, heads=2, query_len=3, key_len=7), source="capture")
    state = ExplorerState(trace, layer=1, head=1, query_index=2, color_seed=7)
    titles = page.ask("titles", state)

    source = page.ask("provenance", state)
    assert source == "capture · layer.1 · 3 queries, 7 keys · float32 Q, K, V"
    assert titles["row"]["text"] == "Where “2” looks"
    assert titles["row"]["subtitle"] == "layer 1, head 1"
    assert titles["row"]["hint"] == "tap a token to make it the query"
    assert titles["grid"]["subtitle"].startswith("2 layers × 3 heads")
    assert titles["swatches"]["subtitle"] == "value colours · seed 7"
    assert titles["output"]["subtitle"] == "output, 13 ch."
    state.aggregate = True
    assert page.ask("titles", state)["row"]["subtitle"] == "layer 1, mean of 2 heads"


def test_a_part_is_named_by_the_numbers_of_the_whole(page):
    trace = Trace([call(index, heads=5) for index in range(6)], source="capture")
    page.show(trace)

    assert page.ask("sliderLabels", ExplorerState(trace))["layer"][4] == "4 of 0–5"
    assert page.ask("sliderLabels", ExplorerState(trace))["head"] == [
        f"{i} of 0–4" for i in range(5)
    ]


def test_a_token_is_named_with_its_position(page):
    trace = trace_of(call(query_len=3), query_tokens=[["it", "a" * 30, "\n"]])

    assert page.ask("sliderLabels", ExplorerState(trace))["query_index"] == [
        "0 · it",
        "1 · " + "a" * 17 + "…",
        "2 · ·",
    ]


def test_numbers_of_a_head_are_those_of_its_rows(page):
    # Each token sees itself alone: no choice, no distance; then all keys alike.
    state = ExplorerState(trace_of(call(query_len=7)), mask="window", window=1)
    assert page.ask("numbersLine", state).endswith("entropy 0.00 nats · distance 0.0")

    state.param.update(mask="none", temperature=100.0)
    entropy = float(page.ask("numbersLine", state).split("entropy ")[1].split()[0])
    np.testing.assert_allclose(entropy, np.log(7), atol=0.01)


def test_the_distance_is_told_from_where_the_queries_stand(page):
    # Two queries at places 3 and 4 of five keys, each looking at itself; then at another text.
    step = from_scores(np.where(np.eye(2, 5, k=3, dtype=bool), 60, 0), kind="self", q_offset=3)

    assert [
        page.ask("numbersLine", ExplorerState(trace_of(one)))
        for one in (step, replace(step, kind="cross"))
    ] == [
        "layer 0, head 0 · entropy 0.00 nats · distance 0.0",
        "layer 0, head 0 · entropy 0.00 nats",
    ]


def test_without_a_pointer_the_pair_is_the_selected_query_and_its_heaviest_key(page):
    state = ExplorerState(trace_of(from_scores([[0, 2, 1], [3, 0, 1]])), query_index=1)

    assert page.ask("shownPair", state) == [1, 0]
    state.query_index = 0
    assert page.ask("shownPair", state) == [0, 1]
    state.pair = (1, 2)
    assert page.ask("shownPair", state) == [1, 2]


@pytest.mark.parametrize(
    ("trace", "chosen", "name", "reason"),
    [
        ("toy", {}, "layer", "This trace has one layer."),
        ("layers differ", {}, "layer", None),
        ("toy", {"aggregate": True}, "head", "The mean over all heads is shown."),
        ("toy", {}, "head", None),
        ("one token, one head", {}, "head", "This layer has one head."),
        ("one token, one head", {}, "aggregate", "This layer has one head."),
        ("one token, one head", {}, "query_index", "There is one query token."),
        ("toy", {}, "batch", "There is one sequence."),
        ("layers differ", {}, "batch", None),
        ("recorded", {}, "temperature", "Only the weights were recorded"),
        ("recorded", {}, "mask", "Only the weights were recorded"),
        ("toy", {}, "temperature", None),
        ("toy", {}, "pad_len", "It matters under the padding and key padding masks only."),
        ("toy", {"mask": "padding"}, "pad_len", None),
        ("toy", {"mask": "key_padding"}, "pad_len", None),
        ("toy", {}, "window", "It matters under the window mask only."),
        ("toy", {"mask": "window"}, "window", None),
        ("layers differ", {"layer": 1}, "align", "It matters under the causal"),
        ("layers differ", {"layer": 1, "mask": "causal"}, "align", None),
        ("layers differ", {"layer": 1, "mask": "window"}, "align", None),
        ("toy", {"mask": "causal"}, "align", "There are as many queries as keys."),
        ("toy", {}, "skip_first", None),
        ("one token, one head", {}, "skip_first", "There is one key token."),
        ("toy", {"mask": "causal"}, "empty_rows", "Every query sees a key."),
        ("toy", {"mask": "padding", "pad_len": 2}, "empty_rows", None),
        ("soft-capped, with sinks", {"layer": 1}, "empty_rows", "The attention sink takes"),
        ("soft-capped, with sinks", {}, "empty_rows", "Every query sees a key."),
        ("no values", {}, "color_seed", "No values were kept in this trace."),
        ("no values", {"layer": 1}, "color_seed", None),
    ],
)
def test_a_control_that_does_nothing_says_why(page, trace, chosen, name, reason):
    state = ExplorerState(VARIED[trace], **chosen)

    got = page.ask("unavailable", state).get(name)
    assert got is None if reason is None else got.startswith(reason)


# -- which choices exist ---------------------------------------------------------------------


def test_a_trace_opens_with_the_choices_of_python(page, name):
    page.show(TRACES[name])

    assert page("startOf") == choices(ExplorerState(TRACES[name]))


def test_bounds_and_masks_are_those_of_the_parameters(page, name):
    for layer in range(len(TRACES[name].calls)):
        state = ExplorerState(TRACES[name], layer=layer)

        bounds = page.ask("bounds", state)

        assert bounds == {one: list(state.param[one].bounds) for one in bounds}
        assert page.ask("masksOf", state) == state.param["mask"].objects


@pytest.mark.thorough(but=3)
def test_another_layer_keeps_what_it_can(page, name):
    last = len(TRACES[name].calls) - 1

    @laws
    @given(states(TRACES[name]), st.integers(0, last))
    def held(state, layer):
        page._open(state)
        chosen = page("ask", "chooseLayer", choices(state), layer)
        fitted = page("ask", "fitLayer", choices(state) | {"layer": layer}, state.layer)
        before = state.layer

        state.layer = layer

        assert chosen == choices(state)
        # Python leaves a state alone whose layer was chosen again.
        assert layer == before or fitted == choices(state)

    held()


def test_the_part_on_screen_stays_in_a_layer_of_the_same_shape_only(page):
    wide, tall = {"query_len": 5, "key_len": 7}, {"query_len": 5, "key_len": 5}
    trace = Trace([call(0, **wide), call(1, **wide), call(2, **tall)], source="capture")
    page.show(trace)
    for layer, kept in ((1, True), (2, False)):
        state = ExplorerState(trace, viewport=(0.0, 2.0, 0.0, 3.0))

        chosen = page("ask", "chooseLayer", choices(state), layer)
        state.layer = layer

        assert chosen == choices(state)
        assert (chosen["viewport"] is not None) == kept


@pytest.mark.thorough(but=3)
def test_another_trace_starts_as_in_python(page, name):
    page.show(TRACES[name])

    @laws
    @given(states(TRACES["cross, masked, batch of two"]))
    def held(state):
        state.viewport = None
        fitted = page("ask", "fitTrace", choices(state))

        state.trace = TRACES[name]

        assert fitted == choices(state)

    held()


# -- the address -----------------------------------------------------------------------------


def test_a_link_says_only_what_matters(page):
    state = ExplorerState(toy_trace(T=5), head=2, query_index=3)

    assert page.ask("toAddress", state) == {
        "head": "2",
        "token": "3",
        "temperature": "1",
        "mask": "none",
    }
    state.param.update(aggregate=True, mask="padding", pad_len=2, weight_scale="linear")
    assert page.ask("toAddress", state) == {
        "mean": "1",
        "token": "3",
        "temperature": "1",
        "mask": "padding",
        "pad": "2",
        "empty": "uniform",
        "scale": "linear",
    }


integers = st.integers(-3, 40).map(str) | st.sampled_from(
    ["+1", "-0", " 1 ", "1_0", "1__0", "_1", "1.0", "1e0", "0x1", "", "one", "9" * 30]
)
floats = st.floats(-1, 200).map(str) | st.sampled_from(
    ["1", "+.5", "1.", ".", "1e1", "1E-2", "1e", "nan", "inf", "-inf", "1_0.2_5", "1._0", "0,5", ""]
)
words = st.sampled_from(
    ["model", "none", "padding", "causal", "window", "key_padding", "uniform", "nan", "zero",
     "linear", "per row", "square root", "bottom_right", "top_left", "Causal", "__proto__",
     "constructor", "", "😀" * 50, "<b>" * 20]
)  # fmt: skip
texts = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("layer", "head", "token", "pad", "window", "batch", "paint"), integers),
        **dict.fromkeys(("mask", "align", "empty", "scale"), words),
        "temperature": floats,
        "mean": st.sampled_from(["0", "1", "true", "", "01"]),
        "theme": st.just("dark"),
        "__proto__": st.just("0"),
    },
)


@pytest.mark.thorough(but=3)
def test_what_a_link_restores_and_what_not_is_as_in_python(page, name):
    # Of each of eleven traces.
    @settings(max_examples=20, deadline=None)
    @given(states(TRACES[name]), texts)
    def held(state, texts):
        page._open(state)
        made = page("ask", "fromAddress", choices(state), texts)

        problems = apply_address(state, texts)

        assert made == {"state": choices(state), "problems": problems}

    held()


def test_a_link_restores_the_choices_that_matter(page, name):
    start = ExplorerState(TRACES[name])

    def check(state):
        texts = page.ask("toAddress", state)
        made = page("ask", "fromAddress", choices(start), texts)
        kept = {**choices(state), **made["state"]}

        assert made["problems"] == []
        again = page("ask", "toAddress", kept, selection_of(state))
        assert again == texts

    for_states(name, check)
