"""Every kind of trace is shown as what it is."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from attnpanel import toy_trace
from tests.browser.acting import (
    choose,
    control,
    drag,
    fill_number,
    hover,
    is_dimmed,
    open_trace,
    tap,
    use_tool,
)
from tests.browser.made import HOSTILE
from tests.browser.reading import (
    differing,
    labels,
    link,
    matrix,
    notice,
    sentence,
    settle,
    shown_range,
    snapshot,
    source,
    tooltip,
)
from tests.browser.reckoned import hexadecimal, paints, reckon

pytestmark = pytest.mark.thorough

pytest_plugins = ["tests.browser.opened"]

CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def test_one_token_looks_at_itself(toy):
    fill_number(toy, "T", 1)

    assert matrix(toy, "weights").tolist() == [[1.0]]
    assert sentence(toy).startswith("t0 → t0")
    assert "100 %" in sentence(toy)
    assert is_dimmed(toy, "Token")
    choose(toy, Head=0, Mean_of_heads=False)
    before = snapshot(toy)
    choose(toy, Head=3)
    assert "scores" in differing(before, snapshot(toy))


def test_a_toy_that_cannot_be_made_is_told_and_the_last_one_stays(toy):
    before = snapshot(toy)

    fill_number(toy, "d_model", 7, refused=True)

    assert "d_model must be a multiple of heads" in notice(toy)
    assert differing(before, snapshot(toy)) == set()
    fill_number(toy, "d_model", 12)
    assert notice(toy) == ""
    assert matrix(toy, "output").shape == (8, 3)


def test_512_tokens_are_shown_cell_by_cell(toy):
    fill_number(toy, "T", 512)
    choose(toy, Head=1, Mean_of_heads=False, Mask="none", Temperature=0, Paint_seed=0, Token=3)

    call = toy_trace(T=512).calls[0]
    expected, colours = reckon(call, 1), paints(call, 1)
    # Float32 rounds a score by what the largest of its terms leave, and a weight by as much.
    rounding = {"rtol": 1e-6, "atol": np.finfo(np.float32).eps * np.abs(expected.scores).max()}
    np.testing.assert_allclose(matrix(toy, "scores"), expected.scores, **rounding)
    np.testing.assert_allclose(matrix(toy, "weights"), expected.weights, **rounding)
    rounding["atol"] *= np.abs(call.value).max()
    np.testing.assert_allclose(matrix(toy, "output"), expected.output, **rounding)
    np.testing.assert_allclose(source(toy, "attn:row")["weight"], expected.weights[3], **CLOSE)
    # Only the heaviest tokens have a swatch of their own; the others share one.
    swatches = source(toy, "attn:swatches")
    assert len(swatches["weight"]) == 20
    np.testing.assert_allclose(swatches["weight"].sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(swatches["weight"].max(), expected.weights[3].max(), rtol=1e-6)
    mix = hexadecimal(expected.weights[3].astype(float) @ colours)
    assert source(toy, "attn:mixed")["color"] == [mix]


def test_queries_and_keys_of_two_languages_keep_their_own_tokens(shelf, traces):
    open_trace(shelf, "cross.safetensors")
    choose(shelf, Head=0, Mask="none", Temperature=0)

    trace = traces["cross.safetensors"]
    assert matrix(shelf, "weights").shape == (4, 7)
    keys, queries = labels(shelf, "weights")
    assert keys == list(trace.key_tokens[0])
    assert queries == list(trace.query_tokens[0])
    assert source(shelf, "attn:row")["token"] == list(trace.key_tokens[0])
    np.testing.assert_allclose(matrix(shelf, "weights"), reckon(trace.calls[0]).weights, **CLOSE)


def test_each_sequence_of_a_batch_has_its_own_tokens(shelf, traces):
    open_trace(shelf, "many.safetensors")
    for batch in (1, 0):
        choose(shelf, Layer=0, Batch=batch)

        tokens = list(traces["many.safetensors"].query_tokens[batch])
        assert source(shelf, "attn:row")["token"] == tokens
        assert shelf.locator(".attn-chips:visible button").all_inner_texts() == tokens


def test_without_values_the_weights_are_shown_and_the_mix_is_said_to_be_unknown(shelf, traces):
    open_trace(shelf, "keys.safetensors")
    choose(shelf, Head=1, Token=2)

    weights = traces["keys.safetensors"].calls[0].weights(1)
    np.testing.assert_allclose(matrix(shelf, "weights"), weights, **CLOSE)
    np.testing.assert_allclose(source(shelf, "attn:swatches")["weight"], weights[2], **CLOSE)
    assert np.isnan(matrix(shelf, "output")).all()
    assert np.isnan(source(shelf, "attn:mixed")["red"]).all()
    expect(shelf.get_by_text("no values were kept").first).to_be_visible()
    assert is_dimmed(shelf, "Paint seed")


def test_the_card_of_the_picture_comes_and_goes_with_the_trace(shelf, traces):
    open_trace(shelf, "keys.safetensors")
    choose(shelf, Head=1, Token=0)
    stage = shelf.locator(".attn-picture-stage")
    stage.press("ArrowRight")
    settle(shelf)

    weights = traces["keys.safetensors"].calls[0].weights(1)
    assert link(shelf)["token"] == "1"  # noqa: S105 - no secret
    expect(shelf.locator(".attn-picture-status")).to_contain_text(
        f"column {weights[1].argmax() % 3} ({weights[1].max():.3g})"
    )
    open_trace(shelf, "cross.safetensors")
    expect(stage).to_be_hidden()


def test_recorded_weights_are_shown_as_they_are_and_nothing_pretends_to_change_them(shelf, traces):
    open_trace(shelf, "recorded.safetensors")
    choose(shelf, Head=1, Token=4)

    weights = traces["recorded.safetensors"].calls[0].recorded_weights[0, 1]
    np.testing.assert_array_equal(matrix(shelf, "weights"), weights)
    assert np.isnan(matrix(shelf, "scores")).all()
    for label in ("Temperature", "Mask"):
        assert is_dimmed(shelf, label), label
        assert "recorded" in (control(shelf, label).get_attribute("title") or "")
    expect(shelf.get_by_text("Only the weights were recorded: another temperature")).to_be_visible()
    assert "recorded" in sentence(shelf)
    assert f"{100 * weights[4].max():.3g} %" in sentence(shelf)


def test_what_can_be_computed_is_not_said_to_be_missing(shelf):
    open_trace(shelf, "keys.safetensors")

    expect(shelf.get_by_text("Only the weights were recorded")).to_be_hidden()


def test_1024_tokens_are_pooled_and_exact_where_one_zooms_in(shelf, traces):
    open_trace(shelf, "long.safetensors")
    weights = traces["long.safetensors"].calls[0].weights(0)
    largest = weights.reshape(512, 2, 512, 2).max(axis=(1, 3))
    np.testing.assert_allclose(matrix(shelf, "weights"), largest, **CLOSE)

    use_tool(shelf, "scores", "Box Zoom")
    drag(shelf, "scores", (200, 600), (420, 760))

    shown = shown_range(shelf, "scores")
    assert shown == shown_range(shelf, "weights")
    assert shown["y"] == shown_range(shelf, "output")["y"]
    columns = source(shelf, "attn:weights")
    left, top = (int(columns[name][0] + 0.5) for name in ("x", "y"))
    height, width = columns["image"][0].shape
    assert (columns["dw"][0], columns["dh"][0]) == (width, height)  # a cell is a pair
    assert left <= shown["x"][0] + 0.5 <= shown["x"][1] + 0.5 <= left + width
    assert top <= shown["y"][0] + 0.5 <= shown["y"][1] + 0.5 <= top + height
    exact = weights[top : top + height, left : left + width]
    np.testing.assert_allclose(columns["image"][0], exact, **CLOSE)
    hover(shelf, "weights", 300, 700)
    assert tooltip(shelf)["weight"] == f"{weights[700, 300]:.4f}"

    use_tool(shelf, "scores", "Reset")
    settle(shelf)
    np.testing.assert_allclose(matrix(shelf, "weights"), largest, **CLOSE)


def test_hostile_tokens_are_text_wherever_they_appear(shelf):
    open_trace(shelf, "hostile.safetensors")
    for index, token in enumerate(HOSTILE):
        choose(shelf, Head=0, Mask="none", Token=index)
        hover(shelf, "weights", (index + 1) % len(HOSTILE), index)

        assert token[:20] in sentence(shelf)
        assert token[:10] in tooltip(shelf)["query"]
        hover(shelf, "row", index, 0.001)
        assert tooltip(shelf)["token"] == token
        tap(shelf, "swatches", 0.3, index)
    assert shelf.locator(".attn-chips:visible button").all_inner_texts() == list(HOSTILE)
    assert source(shelf, "attn:swatches")["token"] == list(HOSTILE)
    heading = shelf.get_by_role("heading", name="looks")
    assert HOSTILE[-1] in heading.inner_text()
    assert (
        HOSTILE[0] in shelf.locator(".attn-caption-provenance").inner_text()
        or shelf.get_by_text(HOSTILE[0]).first.is_visible()
    )
    for made in ("img[src=x]", "svg[onload]", ".attn-root b:has-text('bold')"):
        assert shelf.locator(made).count() == 0, made
    assert shelf.evaluate("window.pwned") is None
    assert link(shelf)["trace"] == "hostile.safetensors"
