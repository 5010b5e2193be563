"""words_of.js says what Python says, to the character, and keeps choices where Python does."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attnpanel.controls import CONTROLS
from attnpanel.explorer import Explorer
from attnpanel.masks import MASKS
from attnpanel.state import ADDRESS, UNSAID, ExplorerState
from attnpanel.trace import Trace
from attnpanel.views.drawing import shorten
from attnpanel.views.sentence import sentence
from tests.browser_kernel.explorers import call, choices, opened_page, selection_of, states, traces

TRACES = traces()
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
def page(kernel, root, tmp_path_factory):
    """`kernel` skips where there is no Node."""
    with opened_page(root / "attnpanel" / "browser", tmp_path_factory.mktemp("page")) as page:
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


def test_the_sentence_is_pythons(page, name):
    def check(state):
        expected = [[piece.kind, piece.text] for piece in sentence(state)]

        assert page.ask("sentence", state) == expected
        assert page.ask("shownPair", state) == list(state.shown_pair)

    for_states(name, check)


@pytest.mark.parametrize(
    "scores",
    [[-30.0, -40.0], [10.5, 3.0], [6.905, 6.9], [12.0, 3.0], [0.0, -12.5], [1000.0, 999.0]],
)
@pytest.mark.parametrize("key", [0, 1])
def test_sentences_of_large_scores_use_the_logarithm(page, scores, key):
    query = np.array(scores, np.float32).reshape(1, 1, 1, 2)
    one = call(query=query, key=np.eye(2, dtype=np.float32)[None, None], value=None, scale=1.0,
               kind="cross")  # fmt: skip
    state = ExplorerState(Trace([one], source="capture"), pair=(0, key))

    assert page.ask("sentence", state) == [[piece.kind, piece.text] for piece in sentence(state)]


@pytest.mark.parametrize(
    "name",
    [
        "toy",
        "one token",
        "cross, masked, batch of two",
        "bias",
        "recorded and live",
        "no values",
        "soft-capped, with sinks",
    ],
)
def test_titles_and_lines_are_the_explorers(page, name):
    explorer = Explorer(TRACES[name])
    state, words = explorer.state, explorer._words
    for layer, weight_scale, aggregate in ((0, "linear", False), (-1, "per row", True)):
        state.choose(layer=layer % len(state.trace.calls), weight_scale=weight_scale)
        state.choose(aggregate=aggregate, query_index=state.call.query_len - 1, color_seed=7)
        titles = page.ask("titles", state)

        assert titles.pop("provenance") == words["provenance"].text
        assert titles == {
            title: {"text": words[title].text, "aside": words[title].aside}
            for title in ("scores", "weights", "output", "row", "grid", "swatches")
        }
        assert page.ask("numbersLine", state) == words["numbers"].text


def test_numbers_of_rows_that_are_no_numbers_are_the_explorers(page):
    explorer = Explorer(TRACES["bias"], mask="none", empty_rows="nan")

    assert page.ask("numbersLine", explorer.state) == explorer._words["numbers"].text


def test_slider_words_are_those_of_the_controls(page, name):
    for layer in range(len(TRACES[name].calls)):
        state = ExplorerState(TRACES[name], layer=layer)

        assert page.ask("sliderWords", state) == {
            control.name: control.words(state) for control in CONTROLS if control.words
        }


def test_idle_controls_and_their_reasons_are_pythons(page, name):
    def check(state):
        assert page.ask("unavailable", state) == state.unavailable()

    for_states(name, check)


# -- which choices exist ---------------------------------------------------------------------


def test_the_tables_are_pythons(page, name):
    page.show(TRACES[name])
    tables = page("marks")

    state = ExplorerState(TRACES[name])
    assert tables["masks"] == [
        {"kind": row.kind, "label": row.label, "needs": list(row.needs)} for row in MASKS
    ]
    assert tables["address"] == [
        [short, name, state.param[name].label] for short, name in ADDRESS.items()
    ]
    assert set(tables["unsaid"]) == set(UNSAID)
    assert tables["start"] == choices(state)


def test_bounds_and_masks_are_those_of_the_parameters(page, name):
    for layer in range(len(TRACES[name].calls)):
        state = ExplorerState(TRACES[name], layer=layer)

        bounds = page.ask("bounds", state)

        assert bounds == {one: list(state.param[one].bounds) for one in bounds}
        assert page.ask("masksOf", state) == state.param["mask"].objects


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


def test_another_trace_starts_as_in_python(page, name):
    @laws
    @given(states(TRACES["cross, masked, batch of two"]))
    def held(state):
        state.viewport = None
        page.show(TRACES[name])
        fitted = page("ask", "fitTrace", choices(state))

        state.trace = TRACES[name]

        assert fitted == choices(state)

    held()


# -- the address -----------------------------------------------------------------------------


def test_the_address_is_pythons(page, name):
    def check(state):
        assert list(page.ask("toAddress", state).items()) == list(state.to_address().items())

    for_states(name, check)


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


def test_what_a_link_restores_and_what_not_is_as_in_python(page, name):
    @settings(max_examples=60, deadline=None)
    @given(states(TRACES[name]), texts)
    def held(state, texts):
        page._open(state)
        made = page("ask", "fromAddress", choices(state), texts)

        problems = state.from_address(texts)

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
