"""Tapping selects, hovering tells, keys move."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from attnpanel import toy_trace
from attnpanel.attention.mask_table import mask_kinds
from tests.browser.acting import (
    choose,
    control,
    hover,
    leave_focus,
    open_more,
    open_trace,
    position,
    press,
    tap,
    title,
)
from tests.browser.reading import link, outlined, sentence, settle, source, tooltip
from tests.browser.reckoned import mask_of, reckon

pytestmark = pytest.mark.thorough

pytest_plugins = ["tests.browser.opened"]

CALL = toy_trace().calls[0]
START = {"Head": 1, "Mean_of_heads": False, "Token": 0, "Temperature": 0, "Mask": "none"}


@pytest.mark.parametrize(
    ("view", "x", "y", "token"),
    [
        ("scores", 5, 3, 3),
        ("weights", 0, 6, 6),
        ("output", 1, 2, 2),
        ("row", 4, 0.01, 4),
        ("swatches", 0.3, 5, 5),
    ],
)
def test_tapping_a_picture_selects_the_token_that_was_tapped(toy, view, x, y, token):
    choose(toy, **START)

    tap(toy, view, x, y)

    assert link(toy)["token"] == str(token)
    assert position(toy, "Token") == token
    assert outlined(toy, "weights") == (token - 0.5, token + 0.5)
    expected = reckon(CALL, 1).weights[token]
    np.testing.assert_allclose(source(toy, "attn:row")["weight"], expected, rtol=1e-5)


def test_tapping_a_token_selects_it_and_marks_it(toy):
    choose(toy, **START)

    toy.locator(".attn-chips").get_by_role("button", name="t6", exact=True).click()
    settle(toy)

    assert position(toy, "Token") == 6
    pressed = toy.locator(".attn-chips").get_by_role("button", pressed=True)
    assert pressed.all_inner_texts() == ["t6"]


def test_tapping_the_overview_selects_layer_and_head(shelf):
    open_trace(shelf, "many.safetensors")
    choose(shelf, Layer=0, Mean_of_heads=True)

    tap(shelf, "grid", 3, 1)

    assert (position(shelf, "Layer"), position(shelf, "Head")) == (1, 3)
    expect(control(shelf, "Mean of heads").get_by_role("checkbox")).not_to_be_checked()
    tap(shelf, "grid", 3, 0)  # the first layer has three heads
    assert (position(shelf, "Layer"), position(shelf, "Head")) == (1, 3)


def test_of_two_languages_a_tapped_key_is_told_and_a_tapped_query_selected(shelf):
    open_trace(shelf, "cross.safetensors")
    choose(shelf, Token=0)
    queries, keys = shelf.locator(".attn-chips:visible").all()

    keys.get_by_role("button", name="slept", exact=True).click()
    settle(shelf)

    assert sentence(shelf).startswith("il → slept")
    assert position(shelf, "Token") == 0
    queries.get_by_role("button", name="dormi", exact=True).click()
    settle(shelf)
    assert position(shelf, "Token") == 2
    tap(shelf, "row", 4, 0.01)
    assert sentence(shelf).startswith("dormi → long")


@pytest.mark.parametrize("view", ["scores", "weights"])
def test_hovering_tells_query_key_weight_and_score(toy, view):
    choose(toy, **START)

    hover(toy, view, 4, 2)

    expected = reckon(CALL, 1)
    assert tooltip(toy) == {
        "query": "2 · t2",
        "key": "4 · t4",
        "weight": f"{expected.weights[2, 4]:.4f}",
        "score": f"{expected.scores[2, 4]:.2f}",
    }


def test_hovering_tells_the_weight_itself_where_colours_are_relative_to_the_row(toy):
    choose(toy, **START, Colour_scale="per row")

    hover(toy, "weights", 4, 2)

    assert tooltip(toy)["weight"] == f"{reckon(CALL, 1).weights[2, 4]:.4f}"
    choose(toy, Colour_scale="√, 0–1")


def test_hovering_output_and_bars_tells_their_numbers(toy):
    choose(toy, **START | {"Token": 3})
    expected = reckon(CALL, 1)

    hover(toy, "output", 1, 3)

    assert tooltip(toy) == {"channel": "1", "output": f"{expected.output[3, 1]:.4f}"}
    top = int(expected.weights[3].argmax())
    hover(toy, "row", top, 0.01)
    assert tooltip(toy) == {"token": f"t{top}", "weight": f"{expected.weights[3, top]:.4f}"}


def test_the_sentence_follows_the_pointer_and_returns(toy):
    choose(toy, **START | {"Token": 5})
    strongest = f"t5 → t{reckon(CALL, 1).weights[5].argmax()}"
    assert sentence(toy).startswith(strongest)

    hover(toy, "weights", 6, 1)
    assert sentence(toy).startswith("t1 → t6")
    hover(toy, "scores", 0, 7)
    assert sentence(toy).startswith("t7 → t0")
    toy.mouse.move(1, 1)
    settle(toy)

    assert sentence(toy).startswith(strongest)
    assert position(toy, "Token") == 5


def test_a_masked_pair_is_told_as_masked(toy):
    choose(toy, **START | {"Mask": "causal"})

    hover(toy, "weights", 5, 2)

    assert tooltip(toy)["weight"] == tooltip(toy)["score"] == "masked"
    assert sentence(toy).startswith("t2 → t5")
    assert "masked" in sentence(toy)


@pytest.mark.parametrize(("key", "step"), [(1, 10), (0, 0), (0, -10)])
def test_the_sentences_arithmetic_is_right(toy, key, step):
    choose(toy, **START | {"Head": 2, "Mask": "causal", "Temperature": step})
    temperature = 10 ** (0.05 * step)

    hover(toy, "weights", key, 4)

    expected = reckon(CALL, 2, mask=mask_of(CALL, "causal"), temperature=temperature)
    scaled = expected.scores[4, :5].astype(float) / temperature
    terms = np.exp(scaled)
    told = numbers(sentence(toy))
    # Where e to the scaled score is too long to read, its and the sum's logarithms are told.
    sums = [scaled[key], np.log(terms.sum())] if scaled.max() > 11 else [terms[key], terms.sum()]
    for number in (expected.scores[4, key], temperature, *sums, 100 * terms[key] / terms.sum()):
        # Three digits of each number, or two decimals.
        assert any(np.isclose(number, one, rtol=5e-3, atol=5e-3) for one in told), (number, told)


def test_the_sentence_of_the_mean_tells_the_mean(toy):
    choose(toy, **START | {"Mean_of_heads": True})

    hover(toy, "weights", 3, 2)

    assert "4 heads" in sentence(toy)
    mean = 100 * reckon(CALL, None).weights[2, 3]
    assert any(np.isclose(mean, one, rtol=5e-3) for one in numbers(sentence(toy)))


def test_arrow_keys_move_token_and_head_and_stop_at_the_ends(toy):
    choose(toy, **START)
    leave_focus(toy)

    press(toy, "ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "ArrowRight")
    assert (link(toy)["token"], link(toy)["head"]) == ("2", "2")
    press(toy, "ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp")
    press(toy, "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")
    assert (link(toy)["token"], link(toy)["head"]) == ("0", "3")
    assert "3 of" in title(toy, "Head")


def test_home_and_end_go_to_the_first_and_last_token(toy):
    choose(toy, **START | {"Token": 4})
    leave_focus(toy)

    press(toy, "End")
    assert position(toy, "Token") == 7
    press(toy, "Home")
    assert position(toy, "Token") == 0


def test_m_goes_through_the_masks_and_around(toy):
    choose(toy, **START)
    leave_focus(toy)
    passed = []
    for _ in mask_kinds():
        press(toy, "m")
        passed.append(link(toy)["mask"])

    assert passed == [*list(mask_kinds())[1:], "none"]


def test_brackets_move_the_layer(shelf):
    open_trace(shelf, "many.safetensors")
    choose(shelf, Layer=0)
    leave_focus(shelf)

    press(shelf, "]")
    assert position(shelf, "Layer") == 1
    press(shelf, "]", "[")
    assert position(shelf, "Layer") == 0


def test_keys_typed_into_a_field_or_on_a_slider_do_nothing_else(toy):
    choose(toy, **START | {"Token": 3})
    open_more(toy, "Paint seed")
    field = control(toy, "Paint seed").locator("input")
    field.focus()

    press(toy, "m", "Home", "ArrowRight", "]")

    assert (link(toy)["token"], link(toy)["head"], link(toy)["mask"]) == ("3", "1", "none")
    control(toy, "Temperature").get_by_role("slider").focus()
    press(toy, "ArrowRight", "ArrowDown")
    assert (link(toy)["token"], link(toy)["head"]) == ("3", "1")
    leave_focus(toy)


def numbers(text: str) -> list[float]:
    """Every number in a sentence, however its minus and its thousands are written."""
    found = re.findall(r"[-−]?\d[\d,]*\.?\d*(?:e[-+]\d+)?", text)
    return [float(one.replace("−", "-").replace(",", "")) for one in found]
