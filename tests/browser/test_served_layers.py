"""Layers too large for the page look and behave as those that the page computes from."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.browser.acting import (
    choose,
    control,
    drag,
    hover,
    leave_focus,
    open_trace,
    position,
    tap,
    use_tool,
)
from tests.browser.conftest import Problems, free_port, wait_for_address
from tests.browser.opened import watched
from tests.browser.reading import (
    SOURCES,
    labels,
    link,
    matrix,
    notice,
    open_explorer,
    outlined,
    palette,
    sentence,
    settle,
    snapshot,
    source,
    tooltip,
)

pytestmark = pytest.mark.thorough

pytest_plugins = ["tests.browser.opened"]

# No layer is small enough for the page.
SERVE = """
from attnpanel.__main__ import main
from attnpanel.explorer import page_limits
page_limits.MAX_CELLS = 0
main()
"""
# Float32 rounds a score by its largest term, here of 15, and the colours' scale by as much.
WITHIN = 1e-5


@pytest.fixture(scope="module")
def answering(root, traces, tmp_path_factory) -> Iterator[str]:
    """The address of a server that hands over no layer."""
    folder = tmp_path_factory.mktemp("answering")
    for name, trace in traces.items():
        trace.save(folder / name)
    log = folder / "server.log"
    arguments = ["serve", "--port", str(free_port()), *(str(folder / name) for name in traces)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    with log.open("w") as written:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVE, *arguments],
            cwd=root,
            stdout=written,
            stderr=written,
            env=environment,
        )
    try:
        yield wait_for_address(server, log)
        assert "Traceback" not in log.read_text()
    finally:
        server.terminate()
        server.wait(timeout=300)


@pytest.fixture(scope="module")
def _shelf(browser, library) -> Iterator[tuple[Page, Problems]]:
    """A page of its own: what is shown on both is where it was left on both."""
    with watched(browser) as (page, problems):
        yield open_explorer(page, library), problems


@pytest.fixture(scope="module")
def _told(browser, answering) -> Iterator[tuple[Page, Problems]]:
    with watched(browser) as (page, problems):
        yield open_explorer(page, answering), problems


@pytest.fixture
def told(_told) -> Iterator[Page]:
    """A page whose layers are all too large for it; shared."""
    page, problems = _told
    yield page
    seen, problems.seen = problems.unexpected(), []
    assert seen == []


def numbers_line(page: Page) -> str:
    return page.locator(".attn-caption-numbers").inner_text()


def assert_alike(told: Page, shelf: Page) -> None:
    """Hold everything that is on the one page to be on the other."""
    ours, theirs = snapshot(told), snapshot(shelf)
    for name in SOURCES:
        assert ours[name].keys() == theirs[name].keys(), name
        for column, values in theirs[name].items():
            assert_column_alike(ours[name][column], values, f"{name}.{column}")
    ours, theirs = (source(page, "attn:entropy") for page in (told, shelf))
    for column in ("top", "entropy", "seen"):
        assert_column_alike(ours[column], theirs[column], f"entropy.{column}")
    for view in ("scores", "weights", "output", "grid"):
        assert palette(told, view) == palette(shelf, view), view
        assert outlined(told, view) == outlined(shelf, view), view
        np.testing.assert_allclose(scale(told, view), scale(shelf, view), rtol=WITHIN)
    assert labels(told, "weights") == labels(shelf, "weights")
    assert sentence(told) == sentence(shelf)
    assert numbers_line(told) == numbers_line(shelf)
    assert chips(told) == chips(shelf)
    assert link(told) == link(shelf)
    assert notice(told) == notice(shelf) == ""


def assert_column_alike(ours, theirs, where: str) -> None:
    assert len(ours) == len(theirs), where
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(other, str):
            assert one == other, where
        else:
            np.testing.assert_allclose(one, other, rtol=0, atol=WITHIN, err_msg=where)


def scale(page: Page, view: str) -> list[float]:
    """Where a picture's colours begin and end."""
    return page.evaluate(
        """(name) => {
          const {glyph} = Bokeh.documents[0].get_model_by_name(name).renderers[0]
          return [glyph.color_mapper.low, glyph.color_mapper.high]
        }""",
        f"attn:plot:{view}",
    )


def chips(page: Page) -> list[str]:
    """The tokens and how each is shaded."""
    return page.locator(".attn-chips:visible button").evaluate_all(
        "(all) => all.map((one) => `${one.innerText} ${one.style.background}`)"
    )


STATES = {
    "many.safetensors": [
        {"Layer": 0, "Head": 2, "Token": 3},
        {"Layer": 1, "Head": 3, "Batch": 1, "Mask": "as the model"},
        {"Mask": "padding", "Pad_length": 3, "Empty_rows": "uniform", "Token": 4},
        {"Mask": "window", "Window": 2, "Temperature": -6, "Colour_scale": "per row"},
        {"Mean_of_heads": True, "Mask": "causal", "Colour_scale": "linear, 0–1", "Paint_seed": 3},
        {"Mean_of_heads": False, "Scale_without_first_token": True, "Token": 2},
    ],
    "cross.safetensors": [
        {"Head": 1, "Token": 2},
        {"Mask": "causal", "Causal_alignment": "bottom right", "Token": 0},
    ],
    "keys.safetensors": [{"Head": 1, "Token": 2}],
    "recorded.safetensors": [{"Head": 1, "Token": 4}, {"Mean_of_heads": True}],
    "long.safetensors": [{"Token": 5, "Mask": "causal"}],
}


@pytest.mark.parametrize("name", STATES)
def test_everything_is_as_where_the_page_computes(told, shelf, name):
    for page in (told, shelf):
        open_trace(page, name)
    assert_alike(told, shelf)
    for choices in STATES[name]:
        for page in (told, shelf):
            choose(page, **choices)
        assert_alike(told, shelf)


def test_a_pair_of_another_row_is_told_under_the_pointer(told, shelf):
    for page in (told, shelf):
        open_trace(page, "many.safetensors")
        choose(page, Mean_of_heads=False, Layer=0, Head=1, Token=0, Mask="causal")
        hover(page, "weights", 1, 3)
    assert sentence(told).startswith("down → cat")
    assert sentence(told) == sentence(shelf)
    assert tooltip(told) == tooltip(shelf)
    for page in (told, shelf):
        hover(page, "weights", 4, 3)
    assert "is masked" in sentence(told)
    assert tooltip(told)["weight"] == "masked"


def test_taps_choose_token_and_head(told):
    open_trace(told, "many.safetensors")
    tap(told, "scores", 1, 4)
    assert position(told, "Token") == 4
    tap(told, "grid", 2, 1)
    assert (position(told, "Layer"), position(told, "Head")) == (1, 2)
    assert outlined(told, "grid") == (0.5, 1.5)


def test_the_part_on_screen_is_shown_cell_by_cell(told, traces):
    open_trace(told, "long.safetensors")
    choose(told, Temperature=0)
    weights = traces["long.safetensors"].calls[0].weights(0)
    largest = weights.reshape(512, 2, 512, 2).max(axis=(1, 3))
    np.testing.assert_allclose(matrix(told, "weights"), largest, atol=WITHIN)

    use_tool(told, "scores", "Box Zoom")
    drag(told, "scores", (200, 600), (420, 760))

    columns = source(told, "attn:weights")
    left, top = (int(columns[name][0] + 0.5) for name in ("x", "y"))
    height, width = columns["image"][0].shape
    assert (columns["dw"][0], columns["dh"][0]) == (width, height)  # a cell is a pair
    exact = weights[top : top + height, left : left + width]
    np.testing.assert_allclose(columns["image"][0], exact, atol=WITHIN)
    hover(told, "weights", 300, 700)
    assert tooltip(told)["weight"] == f"{weights[700, 300]:.4f}"

    use_tool(told, "scores", "Reset")
    settle(told)
    np.testing.assert_allclose(matrix(told, "weights"), largest, atol=WITHIN)


def test_keys_pressed_in_a_hurry_end_where_they_lead(told):
    open_trace(told, "many.safetensors")
    choose(told, Mean_of_heads=False, Layer=1, Head=0)
    hurry(told)

    assert position(told, "Head") == 3
    assert outlined(told, "grid") == (0.5, 1.5)
    assert horizontal(told) == (2.5, 3.5)
    weights = matrix(told, "weights")
    choose(told, Head=2)
    choose(told, Head=3)
    np.testing.assert_array_equal(matrix(told, "weights"), weights)


def test_no_key_makes_the_server_write_a_plot(toy, server_log):
    choose(toy, Mean_of_heads=False, Head=0)
    said = len(server_log.read_text())
    hurry(toy)

    assert position(toy, "Head") == 3
    assert horizontal(toy) == (2.5, 3.5)
    assert "Traceback" not in server_log.read_text()[said:]


def hurry(page: Page) -> None:
    """Press 60 keys on the Head slider, back and forth, without a look; head 3 is the last."""
    control(page, "Head").get_by_role("slider").focus()
    for _ in range(10):
        for key in ("ArrowRight",) * 3 + ("ArrowLeft",) * 3:
            page.keyboard.press(key)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    leave_focus(page)
    settle(page)


def horizontal(page: Page) -> tuple[float, float]:
    """The left and right edge of the overview's outline."""
    left, right = page.evaluate(
        """() => {
          const plot = Bokeh.documents[0].get_model_by_name("attn:plot:grid")
          const box = plot.center.find((one) => one.name === "attn:outline")
          return [box.left, box.right]
        }"""
    )
    return left, right


@pytest.mark.parametrize("name", ["many.safetensors", "keys.safetensors"])
def test_a_weight_is_explained_by_python_as_by_the_page(told, shelf, name):
    for page in (told, shelf):
        open_trace(page, name)
        choose(page, Layer=0, Head=1, Token=2, Mask="none", Temperature=0)
        if not page.locator(".attn-why").evaluate("(one) => one.open"):
            page.get_by_text("Why this token:").click()
        settle(page)
    ours, theirs = (page.locator(".attn-why").inner_text() for page in (told, shelf))
    assert ours == theirs
    assert "Where does" in ours
    assert ("What the head writes from each key" in ours) == (name == "many.safetensors")
    assert ("No values were kept" in ours) == (name == "keys.safetensors")
    for page in (told, shelf):
        page.get_by_text("Why this token:").click()
