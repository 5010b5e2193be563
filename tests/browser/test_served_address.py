"""The address bar holds what is shown, and brings it back."""

from __future__ import annotations

import numpy as np
import pytest

from tests.browser.acting import choose, fill_number, open_trace, position
from tests.browser.reading import (
    READY,
    differing,
    link,
    matrix,
    notice,
    open_explorer,
    settle,
    snapshot,
)

pytest_plugins = ["tests.browser.opened"]

OF = "([name, value]) => new URLSearchParams(location.search).get(name) === value"
CLOSE = 1e-5  # a link tells a temperature in six digits


def test_a_link_opened_by_somebody_else_shows_the_same(toy, open_page):
    fill_number(toy, "T", 7)
    fill_number(toy, "seed", 3)
    choose(
        toy,
        Mean_of_heads=False, Head=2, Token=5, Temperature=-4, Mask="padding", Pad_length=4,
        Empty_rows="uniform", Colour_scale="linear, 0–1", Paint_seed=9,
    )  # fmt: skip

    other = open_explorer(open_page(), toy.url)

    assert other.url == toy.url
    assert differing(snapshot(toy), snapshot(other), within=CLOSE) == set()
    assert (position(other, "Head"), position(other, "Token")) == (2, 5)
    assert matrix(other, "weights").shape == (7, 7)
    assert notice(other) == ""


@pytest.mark.thorough
def test_reloading_keeps_layer_head_token_mask_temperature_and_the_trace(shelf):
    page = shelf
    open_trace(page, "many.safetensors")
    choose(page, Mean_of_heads=False, Batch=1, Layer=1, Head=3, Token=2)
    choose(page, Mask="window", Window=2, Temperature=4)
    before, address = snapshot(page), page.url

    page.reload()
    page.wait_for_function(READY)
    settle(page)

    assert page.url == address
    assert differing(before, snapshot(page), within=CLOSE) == set()
    told = link(page)
    assert (told["trace"], told["layer"], told["mask"]) == ("many.safetensors", "1", "window")


@pytest.mark.thorough
def test_back_and_forward_walk_through_traces_and_each_source_keeps_its_place(library, page):
    open_explorer(page, library)
    open_trace(page, "many.safetensors")
    choose(page, Layer=1, Head=3, Token=2)
    settle(page)
    page.locator(".attn-sources").get_by_role("button", name="Toy").click()
    page.wait_for_function(OF, arg=["source", "toy"])
    choose(page, Head=1, Token=6)
    settle(page)
    page.locator(".attn-sources").get_by_role("button", name="File").click()
    page.wait_for_function(OF, arg=["source", "file"])
    page.wait_for_function(OF, arg=["head", "3"])
    assert {link(page)[name] for name in ("layer", "token")} == {"1", "2"}

    for step, source, head in (
        (page.go_back, "toy", "1"),
        (page.go_back, "file", "3"),
        (page.go_forward, "toy", "1"),
    ):
        step()
        page.wait_for_function(OF, arg=["source", source])
        page.wait_for_function(READY)
        settle(page)
        assert link(page)["head"] == head
        assert position(page, "Head") == int(head)


@pytest.mark.thorough
def test_the_mean_over_heads_and_a_small_temperature_come_back(served, page):
    open_explorer(page, f"{served}?mean=1&temperature=0.01&mask=causal")

    assert notice(page) == ""
    assert link(page)["temperature"] == "0.01"
    # At a hundredth of the temperature each head has all its weight on one key.
    weights = 4 * matrix(page, "weights")[7]
    np.testing.assert_allclose(weights, weights.round(), atol=1e-5)
    np.testing.assert_allclose(weights.sum(), 4, rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            "T=banana&layer=9&head=99&token=-3&mask=evil&temperature=nan&pad=x&mean=maybe"
            "&empty=<b>&window=0&align=1&batch=7&paint=-1&scale=%00&lesson=99",
            ("T must be a whole number", "Head: “99” does not apply", "Temperature: “nan”"),
        ),
        (
            "source=%3Cimg%20src=x%20onerror=window.pwned=1%3E",
            ("toy, prompt or file",),
        ),
    ],
    ids=["choices", "source"],
)
def test_a_link_of_nonsense_is_told_and_the_page_lives(served, page, query, said):
    open_explorer(page, f"{served}?{query}")

    for part in said:
        assert part in notice(page)
    assert page.evaluate("window.pwned") is None
    assert page.locator(".attn-lesson-card h2").count() == 0
    before = snapshot(page)
    choose(page, Head=2)
    assert "weights" in differing(before, snapshot(page))
