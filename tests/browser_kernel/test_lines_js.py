"""lines.js draws the lines that Python draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views.lines import LEAST_WEIGHT, lines_drawing
from tests.browser_kernel.explorers import choices, opened_page, states, traces

TRACES = traces()
SIDES = ("attn:lines:queries", "attn:lines:keys")


@pytest.fixture(scope="module")
def page():
    with opened_page() as page:
        yield page


@st.composite
def lined(draw, trace):
    """A state of which every choice is drawn, those of the line view too."""
    state = draw(states(trace))
    state.line_heads = draw(st.sampled_from([(), (0,), (1, 2)]))
    state.lines_of_token = draw(st.booleans())
    token = st.tuples(st.integers(-1, 2), st.integers(-1, 40))
    state.line_token = draw(st.none() | token)
    return state


def lines_of(columns) -> dict:
    """Colour and weight of each line, by place."""
    names = ("head", "query", "key", "bottom", "top", "color")
    places = zip(*(list(columns[name]) for name in names), strict=True)
    return dict(zip(places, columns["weight"], strict=True))


@pytest.mark.thorough(but=4)
@pytest.mark.parametrize("name", TRACES)
def test_lines_are_pythons(page, name):
    page.show(TRACES[name])

    @settings(max_examples=3 if name == "long" else 15, deadline=None)
    @given(lined(TRACES[name]))
    def check(state):
        made, expected = page("drawn", "lines", choices(state)), lines_drawing(state)
        # float32 scores of a few units are 2e-6 apart at most; a temperature below 1 magnifies it.
        limit = 2e-6 * max(1, 1 / state.temperature)
        ours, theirs = (
            lines_of(drawn["attn:lines"]) for drawn in (made["sources"], expected.sources)
        )

        others = [w for at, w in theirs.items() if not at[1].startswith(f"{state.query_index} ")]
        faintest = LEAST_WEIGHT, min(others, default=0)
        for place in ours.keys() ^ theirs.keys():  # of the faintest drawn
            weight = ours.get(place, theirs.get(place))
            assert min(abs(weight - least) for least in faintest) <= limit
        for place in ours.keys() & theirs.keys():
            assert abs(ours[place] - theirs[place]) <= limit
        for column in ("x", "text", "color"):
            heads = (drawn["attn:lines:heads"] for drawn in (made["sources"], expected.sources))
            np.testing.assert_array_equal(*(one[column] for one in heads))
        for part in ("x", "y", "outline", "height"):
            np.testing.assert_array_equal(made[part], getattr(expected, part))
        if len(made["sources"][SIDES[1]]["y"]) < state.call.key_len:
            return  # which labels have room depends on equal weights' last digits
        for side in SIDES:
            labels, others = made["sources"][side], expected.sources[side]
            np.testing.assert_array_equal(labels["x"], others["x"])
            np.testing.assert_array_equal(labels["y"], others["y"])
            assert _marks(labels) == _marks(others)

    check()


def _marks(labels) -> list:
    """Whether each label is marked as masked."""
    return [text.startswith("✕ ") for text in labels["text"]]


def test_labels_and_colours_are_pythons_of_a_row_by_hand(page):
    trace = TRACES["toy"]
    page.show(trace)

    for chosen in ({}, {"lines_of_token": True}, {"line_token": (1, 3)}, {"dark": True}):
        state = ExplorerState(trace, query_index=2, mask="causal", **chosen)
        made, expected = page("drawn", "lines", choices(state)), lines_drawing(state)
        for side in SIDES:
            assert made["sources"][side]["text"] == list(expected.sources[side]["text"])
            assert made["sources"][side]["color"] == list(expected.sources[side]["color"])
