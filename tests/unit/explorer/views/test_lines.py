"""Lines from token to token have the weights of NumPy's reference, and say what they leave out."""

import numpy as np
import pytest

from attnpanel.attention.masks import make_mask
from attnpanel.attention.reference import attend
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views.lines import (
    LEAST_WEIGHT,
    MAX_HEADS,
    MAX_LINES,
    MAX_TOKENS,
    lines_drawing,
    shown_heads,
)
from attnpanel.trace import AttentionCall, Trace
from attnpanel.ui.theme import HEAD_COLOURS
from tests.hand_made import call, recorded


def state_of(one: AttentionCall, **chosen) -> ExplorerState:
    return ExplorerState(Trace([one], source="capture"), **chosen)


def drawn(state: ExplorerState) -> dict[tuple[int, int, int], float]:
    """The weight of each line by head, query and key."""
    lines = lines_drawing(state).sources["attn:lines"]
    queries, keys = ([int(text.split(" ")[0]) for text in lines[side]] for side in ("query", "key"))
    places = zip(lines["head"], queries, keys, strict=True)
    return dict(zip(places, map(float, lines["weight"]), strict=True))


def labels(state: ExplorerState, side: str) -> list[str]:
    return list(lines_drawing(state).sources[f"attn:lines:{side}"]["text"])


def reference(one: AttentionCall, **options) -> np.ndarray:
    return attend(one.query, one.key, one.value, **options).weights[0]


@pytest.mark.parametrize("temperature", [1.0, 0.3])
@pytest.mark.parametrize("mask", ["none", "causal"])
def test_each_line_has_the_weight_of_attend(mask, temperature):
    one = call(query_len=5)
    matrix = make_mask(mask, 5, 5) if mask != "none" else None
    expected = reference(one, mask=matrix, temperature=temperature)

    lines = drawn(state_of(one, mask=mask, temperature=temperature))

    places = {tuple(map(int, at)) for at in np.argwhere(expected >= LEAST_WEIGHT)}
    assert lines.keys() == places
    np.testing.assert_allclose(
        [lines[at] for at in sorted(lines)], [expected[at] for at in sorted(lines)], atol=2e-6
    )


def test_recorded_weights_are_drawn_as_they_are():
    one = recorded(query_len=5)
    lines = drawn(state_of(one))

    assert lines[2, 3, 4] == pytest.approx(float(one.recorded_weights[0, 2, 3, 4]), abs=0)


def test_a_line_goes_from_its_query_to_its_key_in_the_colour_of_its_head():
    one = call(query_len=5, key_len=7)
    lines = lines_drawing(state_of(one)).sources["attn:lines"]

    assert set(lines["left"]) == {0.0}
    assert set(lines["right"]) == {1.0}
    for end, side in (("bottom", "query"), ("top", "key")):
        places = [int(text[0]) for text in lines[side]]
        # Three heads side by side on six tenths of the token's height.
        beside = 0.2 * (np.array(lines["head"]) - 1)
        np.testing.assert_allclose(lines[end], places + beside, atol=1e-12)
    assert list(lines["color"]) == [HEAD_COLOURS[head] for head in lines["head"]]
    np.testing.assert_allclose(lines["width"], 0.5 + 3.5 * lines["weight"])


def test_each_shown_head_is_named_in_its_colour():
    heads = lines_drawing(state_of(call(query_len=5), line_heads=(0, 2))).sources[
        "attn:lines:heads"
    ]

    assert list(heads["text"]) == ["■0", "■2"]
    assert list(heads["color"]) == [HEAD_COLOURS[0], HEAD_COLOURS[2]]


def test_chosen_heads_alone_are_drawn():
    state = state_of(call(query_len=5), line_heads=(0, 2, 11))

    assert shown_heads(state) == (0, 2)
    assert {head for head, _, _ in drawn(state)} == {0, 2}


def test_of_more_heads_than_colours_the_first_are_drawn_unless_others_are_chosen():
    state = state_of(call(heads=17, query_len=3))
    assert shown_heads(state) == tuple(range(MAX_HEADS))

    state.line_heads = (3, 15)
    lines = lines_drawing(state).sources["attn:lines"]
    assert dict(zip(lines["head"], lines["color"], strict=True)) == {
        3: HEAD_COLOURS[0],
        15: HEAD_COLOURS[1],
    }


@pytest.mark.parametrize(
    ("chosen", "side", "index"),
    [
        ({"lines_of_token": True, "query_index": 3}, 1, 3),
        ({"line_token": (0, 2)}, 1, 2),
        ({"line_token": (1, 4)}, 2, 4),
        # Under the pointer goes before the chosen one.
        ({"lines_of_token": True, "line_token": (1, 4)}, 2, 4),
    ],
)
def test_the_lines_of_one_token_are_its_own_of_all(chosen, side, index):
    one = call(query_len=5)

    alone, every = drawn(state_of(one, **chosen)), drawn(state_of(one))

    assert alone == pytest.approx({at: w for at, w in every.items() if at[side] == index})


def test_the_tokens_across_show_the_largest_weight_of_the_shown_heads():
    one = call(query_len=5)
    largest = reference(one).max(axis=0)[3]

    shown = labels(state_of(one, lines_of_token=True, query_index=3), "keys")

    assert shown == [f"{weight:.2f} {key}" for key, weight in enumerate(largest)]


@pytest.mark.parametrize("token", [(2, 0), (-1, 0), (0, 5), (1, 99), (1, -1)])
def test_a_token_that_does_not_exist_is_none(token):
    one = call(query_len=5)

    assert drawn(state_of(one, line_token=token)) == drawn(state_of(one))


def test_masked_keys_are_marked():
    # Query 1 sees the keys 0 and 1 under the causal mask.
    shown = labels(
        state_of(call(query_len=5), mask="causal", lines_of_token=True, query_index=1), "keys"
    )

    assert [text.startswith("✕ ") for text in shown] == [False, False, True, True, True]


def test_a_query_without_a_key_is_marked():
    # Of five queries and three keys aligned at the end, the first two see none.
    one = call(query_len=5, key_len=3)

    shown = labels(state_of(one, mask="causal", align="bottom_right"), "queries")

    assert [text.startswith("✕ ") for text in shown] == [True, True, False, False, False]


def test_queries_that_continue_a_sequence_stand_at_their_own_keys():
    one = call(query_len=2, key_len=5, kind="self", q_offset=3)
    drawing = lines_drawing(state_of(one, query_index=1))

    assert set(np.round(drawing.sources["attn:lines"]["bottom"])) == {3.0, 4.0}
    assert drawing.outline[2:] == (3.5, 4.5)


def test_of_more_lines_than_can_be_told_apart_the_heaviest_are_drawn_and_all_of_the_token():
    one = call(heads=12, query_len=31)
    expected = reference(one)

    lines = drawn(state_of(one, query_index=7))

    least = np.sort(expected, axis=None)[-MAX_LINES]
    heavy = {tuple(map(int, at)) for at in np.argwhere(expected >= least)}
    own = {tuple(map(int, at)) for at in np.argwhere(expected >= LEAST_WEIGHT) if at[1] == 7}
    assert len(heavy) == MAX_LINES < (expected >= LEAST_WEIGHT).sum()
    assert not own <= heavy
    assert lines.keys() == heavy | own


def test_lines_of_the_selected_token_are_above_the_others_which_are_pale():
    lines = lines_drawing(state_of(call(query_len=5), query_index=3)).sources["attn:lines"]

    own = np.array([text.startswith("3 ") for text in lines["query"]])
    assert list(own) == sorted(own)
    np.testing.assert_allclose(lines["alpha"], np.where(own, 1, 0.25) * lines["weight"], rtol=1e-6)


def test_lines_of_one_token_alone_are_none_of_them_pale():
    state = state_of(call(query_len=5), query_index=3, line_token=(1, 2))
    lines = lines_drawing(state).sources["attn:lines"]

    np.testing.assert_array_equal(lines["alpha"], lines["weight"])


def test_of_a_long_text_the_lines_of_one_token_are_drawn_and_labels_do_not_overlap():
    one = call(query_len=MAX_TOKENS + 3)
    state = state_of(one, query_index=7, line_token=(1, 3))

    assert {query for _, query, _ in drawn(state)} == {7}
    drawing = lines_drawing(state)
    apart = (
        np.diff(drawing.sources["attn:lines:keys"]["y"])
        * drawing.height
        / (drawing.y[0] - drawing.y[1])
    )
    assert len(apart) > 9
    assert apart.min() >= 13


def test_rows_without_a_number_have_no_line():
    state = state_of(call(query_len=5), mask="padding", pad_len=0, empty_rows="nan")

    assert drawn(state) == {}


@pytest.mark.parametrize("length", [3, 20, 40, 65, 500])
def test_the_heads_stand_above_the_tokens_however_many_there_are(length):
    drawing = lines_drawing(state_of(call(query_len=length)))

    bottom, top = drawing.y
    pixels = drawing.height / (bottom - top)
    (heads_at,) = set(drawing.sources["attn:lines:heads"]["y"])
    assert (0 - heads_at) * pixels > 12  # a label's height
    assert (heads_at - top) * pixels > 6
