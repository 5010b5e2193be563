"""On the picture: taps and arrow keys choose a patch, and the heat is that of NumPy's weights."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from attnpanel.analysis import rollout
from tests.browser.acting import leave_focus, unfold
from tests.browser.conftest import started
from tests.browser.reading import open_explorer, settle
from tests.browser.report_page import fragment, go
from tests.browser.report_traces import deep_picture_trace, stored

pytest_plugins = ["tests.browser.reports"]

START = "layer=0&head=1&mean=0&token=0&temperature=1&mask=model&scale=linear"
PIXELS = """
(canvas) => [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]
"""


@pytest.fixture
def report(on_screen):
    opened = on_screen("picture")
    leave_focus(opened.page)
    go(opened.page, START)
    return opened


def card(page):
    return page.locator(".attn-picture")


def stage(page):
    return page.locator(".attn-picture-stage")


def tap_patch(page, row, column):
    box = stage(page).bounding_box()
    x, y = (column + 0.5) / 3 * box["width"], (row + 0.5) / 2 * box["height"]
    stage(page).click(position={"x": x, "y": y})
    settle(page)


def numbers(page):
    """Return the table of weights."""
    details = card(page).locator("details")
    unfold(details)
    texts = details.locator("tbody td, tr td").all_text_contents()
    return np.array([float(text) for text in texts]).reshape(2, 3)


def test_a_tap_on_a_patch_chooses_its_token_and_shows_its_row(report):
    page, (call, *_) = report.page, stored(report.trace).calls
    tap_patch(page, 1, 2)

    assert fragment(page)["token"] == "6"  # noqa: S105 - no secret
    row = call.weights(1)[6, 1:].reshape(2, 3)
    np.testing.assert_allclose(numbers(page), row, rtol=0.005)
    expect(card(page).locator(".attn-picture-selected")).to_have_count(1)
    # The brightest pixel is the largest weight's: the heat's colours run from dark to bright.
    pixels = np.array(stage(page).locator("canvas").evaluate(PIXELS)).reshape(2, 3, 4)
    assert pixels[..., :3].sum(-1).argmax() == row.argmax()

    status = card(page).locator(".attn-picture-status")
    said = re.search(r"gives the picture ([\d.]+) % .* most of it to (.*)\.$", status.inner_text())
    assert float(said[1]) == pytest.approx(100 * row.sum(), rel=0.005)
    for words, at in zip(said[2].split("; "), np.argsort(-row, axis=None), strict=False):
        place, weight = re.fullmatch(r"(row \d, column \d) \(([\d.e-]+)\)", words).groups()
        assert place == "row {}, column {}".format(*divmod(int(at), 3))
        assert float(weight) == pytest.approx(row.flat[at], rel=0.005)
    stage(page).hover(position={"x": 5, "y": 5})
    expect(status).to_contain_text(f"Row 0, column 0: weight {row[0, 0]:.3g}")
    chip = card(page).get_by_role("button", name="CLS")
    expect(chip).to_have_attribute("title", f"0 · weight {call.weights(1)[6, 0]:.3g}")
    for head in range(3):
        largest = re.compile(rf"Head {head}: .* {call.weights(head)[6, 1:].max():.3g}$")
        expect(card(page).get_by_role("button", name=largest)).to_have_count(1)
    highest = float(card(page).locator(".attn-legend-ticks span").last.inner_text())
    assert row.max() <= highest <= 2.5 * row.max()


ORDER = """
(stage) => {
  window.order = [];
  const frame = () => {
    order.push("frame");
    if (!order.includes("row")) requestAnimationFrame(frame);
  };
  const context = stage.querySelector("canvas").getContext("2d");
  const put = context.putImageData;
  context.putImageData = (...given) => {
    put.apply(context, given);
    order.push("picture");
  };
  const row = Bokeh.documents.map((one) => one.get_model_by_name("attn:row")).find(Boolean);
  for (const signal of [row.properties.data.change, row.change]) {
    signal.connect(() => order.push("row"));
  }
  stage.addEventListener("click", frame, { capture: true, once: true });
}
"""


def test_a_tap_shows_on_the_picture_a_frame_before_the_plots(report):
    stage(report.page).evaluate(ORDER)
    tap_patch(report.page, 1, 1)
    order = report.page.evaluate("order")
    picture, row = order.index("picture"), order.index("row")
    assert "frame" in order[picture:row]


def test_arrow_keys_move_over_the_picture_and_not_the_heads(report):
    page = report.page
    tap_patch(page, 0, 0)
    for key, token in (
        ("ArrowRight", "2"),
        ("ArrowDown", "5"),
        ("ArrowDown", "5"),
        ("ArrowUp", "2"),
    ):
        stage(page).press(key)
        settle(page)
        assert fragment(page)["token"] == token
    assert fragment(page)["head"] == "1"
    expect(stage(page)).to_have_attribute(
        "aria-label", "Picture of 2 × 3 patches; chosen: sat. Arrow keys choose a patch."
    )


def test_what_looks_at_a_token_is_its_column(report):
    page, (call, *_) = report.page, stored(report.trace).calls
    card(page).get_by_role("button", name="CLS").click()
    card(page).get_by_role("button", name="What looks at it").click()
    settle(page)

    np.testing.assert_allclose(numbers(page), call.weights(1)[1:, 0].reshape(2, 3), rtol=0.005)
    expect(card(page).locator(".attn-picture-status")).to_contain_text("look most at “CLS”")
    card(page).get_by_role("button", name="Where it looks").click()


def assert_rollout(page, trace, layer, token):
    """The card has what of each patch has reached a token, of the model as it ran."""
    settle(page)
    expect(card(page).locator(".attn-picture-status")).to_contain_text("Of what")
    expected = rollout(trace, layers=range(layer + 1))[token, 1:].reshape(2, 3)
    np.testing.assert_allclose(numbers(page), expected, rtol=0.005)


@pytest.mark.thorough
def test_attention_is_followed_through_the_layers(on_screen):
    opened = on_screen("deep picture")
    page, trace = opened.page, stored(opened.trace)
    go(page, START.replace("layer=0", "layer=2").replace("temperature=1", "temperature=5"))
    card(page).get_by_role("button", name="Through all layers").click()
    assert_rollout(page, trace, 2, 0)
    expect(card(page)).to_contain_text("all heads of 3 layers")

    tap_patch(page, 1, 1)
    assert_rollout(page, trace, 2, 5)
    go(page, START.replace("layer=0", "layer=1"))
    assert_rollout(page, trace, 1, 0)
    # The first layer is alone: there is nothing to follow.
    go(page, START)
    expect(card(page).get_by_role("button", name="Through all layers")).to_have_count(0)


@pytest.mark.thorough
def test_a_server_follows_attention_through_layers_that_the_page_lacks(open_page, root, tmp_path):
    trace, path = deep_picture_trace(), tmp_path / "deep.safetensors"
    trace.save(path)
    with started(root, tmp_path / "log", str(path)) as (_server, address):
        page = open_explorer(open_page(), f"{address}?source=file&layer=2&token=3")
        card(page).get_by_role("button", name="Through all layers").click()
        assert_rollout(page, trace, 2, 3)


@pytest.mark.thorough
def test_a_thumbnail_chooses_its_head(report):
    page = report.page
    card(page).get_by_role("button", name="Head 2").click()
    settle(page)

    assert fragment(page)["head"] == "2"
    expect(card(page).get_by_role("button", name="Head 2")).to_have_attribute(
        "aria-pressed", "true"
    )


def test_a_text_looks_at_the_picture_and_a_layer_without_patches_says_so(report):
    page, (_, cross, _) = report.page, stored(report.trace).calls
    go(page, START.replace("layer=0", "layer=1"))
    card(page).locator(".attn-chips button").nth(3).click()
    settle(page)
    np.testing.assert_allclose(numbers(page), cross.weights(1)[3, 1:].reshape(2, 3), rtol=0.005)

    go(page, START.replace("layer=0", "layer=2"))
    expect(card(page)).to_contain_text("are no patches of the picture. Those of 2 other layers are")
    expect(stage(page)).to_be_hidden()


def test_a_trace_without_a_picture_has_no_card(on_screen):
    expect(card(on_screen("toy").page)).to_be_hidden()


@pytest.mark.thorough
def test_a_patch_of_another_window_goes_to_its_sequence(on_screen):
    page, (call,) = on_screen("windows").page, stored(on_screen("windows").trace).calls
    go(page, "layer=0&head=0&mean=0&batch=0&token=0&temperature=1&mask=model&scale=linear")
    box = stage(page).bounding_box()
    # The picture has 2 × 6 patches, in two windows of 2 × 3: the last is in the second.
    stage(page).click(position={"x": box["width"] - 5, "y": box["height"] - 5})
    settle(page)

    assert (fragment(page)["batch"], fragment(page)["token"]) == ("1", "5")
    expect(card(page).locator(".attn-picture-status")).to_contain_text(
        f"({call.weights(0, 1)[5].max():.3g})"
    )
