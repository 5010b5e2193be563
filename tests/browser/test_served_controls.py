"""Every control changes the pictures that depend on it, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.acting import (
    choose,
    control,
    is_dimmed,
    open_more,
    open_trace,
    position,
    title,
)
from tests.browser.reading import differing, link, matrix, outlined, palette, snapshot, source

pytestmark = pytest.mark.thorough

pytest_plugins = ["tests.browser.opened"]

ONE_HEAD = {"scores", "weights", "output", "row", "swatches", "mixed"}
TOY = {
    "Head": 0, "Mean_of_heads": False, "Token": 6, "Temperature": 0, "Mask": "none",
    "Colour_scale": "√, 0–1", "Paint_seed": 0, "Scale_without_first_token": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("start", "change", "changed"),
    [
        ({}, {"Head": 2}, ONE_HEAD),
        ({}, {"Mean_of_heads": True}, ONE_HEAD),
        ({}, {"Token": 3}, {"row", "swatches", "mixed"}),
        # Token 5 looks at several keys, so that its weights move with the temperature.
        ({"Token": 5}, {"Temperature": 6}, ONE_HEAD - {"scores"} | {"grid"}),
        ({}, {"Mask": "causal"}, ONE_HEAD | {"grid"}),
        ({"Mask": "padding", "Pad_length": 8}, {"Pad_length": 5}, ONE_HEAD | {"grid"}),
        ({"Mask": "key padding", "Pad_length": 8}, {"Pad_length": 6}, ONE_HEAD | {"grid"}),
        ({"Mask": "window", "Window": 4}, {"Window": 2}, ONE_HEAD | {"grid"}),
        (
            {"Mask": "padding", "Pad_length": 4, "Empty_rows": "uniform"},
            {"Empty_rows": "zero"},
            ONE_HEAD - {"scores"} | {"grid"},
        ),
        ({}, {"Colour_scale": "per row"}, {"weights"}),
        (
            {"Colour_scale": "per row", "Mask": "causal", "Head": 1},
            {"Scale_without_first_token": True},
            {"weights"},
        ),
        ({}, {"Paint_seed": 7}, {"swatches", "mixed"}),
    ],
    ids=lambda part: "+".join(part) if isinstance(part, dict) else "",
)
def test_a_control_changes_its_own_pictures_and_no_others(toy, start, change, changed):
    choose(toy, **TOY | start)
    before = snapshot(toy)

    choose(toy, **change)

    assert differing(before, snapshot(toy)) == changed


@pytest.mark.parametrize(
    ("trace", "start", "change", "changed"),
    [
        ("many", {"Layer": 0, "Batch": 0}, {"Layer": 1}, ONE_HEAD),
        ("many", {"Layer": 0, "Batch": 0}, {"Batch": 1}, ONE_HEAD | {"grid"}),
        (
            "cross",
            {"Mask": "causal", "Causal_alignment": "top left"},
            {"Causal_alignment": "bottom right"},
            ONE_HEAD | {"grid"},
        ),
    ],
    ids=["Layer", "Batch", "Causal_alignment"],
)
def test_a_control_of_larger_traces_changes_its_own_pictures_and_no_others(
    shelf, trace, start, change, changed
):
    open_trace(shelf, f"{trace}.safetensors")
    choose(shelf, **start)
    before = snapshot(shelf)

    choose(shelf, **change)

    assert differing(before, snapshot(shelf)) == changed


def test_one_outline_follows_token_i_in_all_three_heatmaps(toy):
    choose(
        toy,
        **TOY,
    )
    for token in (2, 7):
        choose(toy, Token=token)

        for view in ("scores", "weights", "output"):
            assert outlined(toy, view) == (token - 0.5, token + 0.5)


def test_the_colour_scale_changes_colours_and_not_the_weights(toy):
    choose(toy, **TOY)
    weights, root = matrix(toy, "weights"), palette(toy, "weights")

    choose(toy, Colour_scale="linear, 0–1")

    np.testing.assert_array_equal(matrix(toy, "weights"), weights)
    assert palette(toy, "weights") != root


def test_the_colour_scale_per_row_shows_shares_of_each_row_and_keeps_the_weights(toy):
    choose(toy, **TOY)
    weights = matrix(toy, "weights")

    choose(toy, Colour_scale="per row")

    shares = weights / weights.max(axis=1, keepdims=True)
    np.testing.assert_allclose(matrix(toy, "weights"), shares, rtol=1e-6)
    np.testing.assert_array_equal(source(toy, "attn:weights")["exact"][0], weights)


def test_a_control_that_changes_nothing_is_dimmed_and_says_why(toy):
    choose(toy, **TOY)

    for label, reason in (
        ("Layer", "one layer"),
        ("Pad length", "padding masks only"),
        ("Empty rows", "Every query sees a key"),
    ):
        assert is_dimmed(toy, label), label
        assert reason in (control(toy, label).get_attribute("title") or "")
    choose(toy, Mask="padding", Pad_length=3)
    assert not is_dimmed(toy, "Pad length")
    assert not is_dimmed(toy, "Empty rows")
    choose(toy, Mean_of_heads=True)
    assert is_dimmed(toy, "Head")


def test_every_control_is_labelled_for_those_who_do_not_see_it(toy):
    choose(toy, **TOY)

    open_more(toy, "Pad length")
    for label in ("Layer", "Head", "Token", "Temperature", "Pad length"):
        assert toy.get_by_role("slider", name=label, exact=True).count() == 1, label
    for label in ("Mask", "Colour scale"):
        assert toy.get_by_role("combobox", name=label, exact=True).count() == 1, label
    assert toy.get_by_role("group", name="Empty rows", exact=True).count() == 1
    assert toy.get_by_role("checkbox", name="Mean of heads", exact=True).count() == 1
    assert toy.get_by_role("textbox", name="Paint seed", exact=True).count() == 1


def test_a_slider_says_its_value_in_words(toy):
    choose(toy, **TOY | {"Token": 4, "Temperature": -6})

    assert "4 · t4" in title(toy, "Token")
    assert "0.50" in title(toy, "Temperature")  # 10 ** (-6 * 0.05) = 0.501
    for label, said in (("Token", "4 · t4"), ("Temperature", "0.50")):
        slider = control(toy, label).get_by_role("slider")
        expect(slider).to_have_attribute("aria-valuetext", said)


def test_quick_steps_of_a_slider_are_all_taken(toy):
    choose(toy, **TOY)

    for label, steps in (("Temperature", -12), ("Temperature", 5), ("Token", 1)):
        choose(toy, **{label.replace(" ", "_"): steps})

        assert position(toy, label) == steps
    assert link(toy)["temperature"] == "1.77828"  # 10 ** (5 * 0.05)
