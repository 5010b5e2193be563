"""The tokens as shaded text."""

import numpy as np
import pytest

from attnpanel.explorer.state import ExplorerState
from attnpanel.models.toy import toy_trace
from attnpanel.ui.theme import DARK, LIGHT, ramp
from tests.browser_kernel.explorers import opened_page
from tests.hand_made import call, from_scores, trace_of


@pytest.fixture(scope="module")
def shaded_tokens():
    """The page's shaded text of a state."""
    with opened_page() as page:
        yield lambda state: page.ask("shadedTokens", state)


def test_a_token_without_weight_has_the_cards_colour_and_a_full_one_the_last(shaded_tokens):
    trace = trace_of(from_scores([[60.0, 0.0, 0.0]]))
    for dark, theme in ((False, LIGHT), (True, DARK)):
        shown = shaded_tokens(ExplorerState(trace, dark=dark))["content"]

        assert shown["shades"] == [theme.sequential[-1], theme.card, theme.card]
        assert shown["weights"] == ["1.0000", "0.0000", "0.0000"]


def test_a_shade_grows_with_the_square_root_of_the_weight(shaded_tokens):
    # Weights 1/4 and 3/4; the root of a quarter is the middle of the ramp.
    state = ExplorerState(trace_of(from_scores([[0.0, np.log(3)]])))

    quarter = shaded_tokens(state)["content"]["shades"][0]

    middle = ramp(LIGHT.sequential, 3)[1]
    assert max(abs(a - b) for a, b in zip(rgb(quarter), rgb(middle), strict=True)) <= 2


def test_where_the_first_token_is_left_out_the_others_are_shaded_relative_to_their_largest(
    shaded_tokens,
):
    # Weights 0.9, 0.08, 0.02: the second is the last colour, the third a quarter of it.
    trace = trace_of(from_scores(np.log([[0.9, 0.08, 0.02]])))
    shown = shaded_tokens(ExplorerState(trace, skip_first=True))["content"]

    middle = ramp(LIGHT.sequential, 3)[1]
    assert shown["shades"][:2] == [LIGHT.sequential[-1]] * 2
    close = zip(rgb(shown["shades"][2]), rgb(middle), strict=True)
    assert max(abs(a - b) for a, b in close) <= 2
    assert shown["weights"] == ["0.9000", "0.0800", "0.0200"]


def rgb(colour):
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def test_there_is_one_shade_ink_and_weight_a_key(shaded_tokens):
    state = ExplorerState(trace_of(call(query_len=3, key_len=7)), query_index=2)

    made = shaded_tokens(state)
    names, shown = made["names"], made["content"]

    assert (
        {len(shown[part]) for part in ("shades", "inks", "weights")} == {len(names["keys"])} == {7}
    )
    assert names["queries"] == ["0", "1", "2"]
    assert shown["selected"] == 2
    told = [float(text) for text in shown["weights"]]
    np.testing.assert_allclose(told, state.selection.weights[2], atol=5e-5)


def test_the_same_tokens_are_shown_once(shaded_tokens):
    shown = shaded_tokens(ExplorerState(toy_trace(T=3)))["names"]

    assert shown["keys"] == ["t0", "t1", "t2"]
    assert shown["queries"] == []


@pytest.mark.parametrize(("policy", "text"), [("nan", "0.0000"), ("uniform", "0.2000")])
def test_an_empty_row_is_shaded_as_its_policy_filled_it(shaded_tokens, policy, text):
    chosen = {"mask": "padding", "pad_len": 2, "empty_rows": policy, "query_index": 4}

    assert (
        shaded_tokens(ExplorerState(toy_trace(T=5), **chosen))["content"]["weights"] == [text] * 5
    )


def test_tokens_are_passed_on_as_they_are(shaded_tokens):
    trace = toy_trace(T=2)
    trace.set_tokens([["</script><img src=x onerror=alert(1)>", " \n"]])

    assert shaded_tokens(ExplorerState(trace))["names"]["keys"] == [
        "</script><img src=x onerror=alert(1)>",
        " \n",
    ]
