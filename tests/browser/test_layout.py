"""Where things stand on the explorer's page, from a phone to a wide screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.acting import choose, control, open_more
from tests.browser.reading import matrix, settle

pytest_plugins = ["tests.browser.opened"]

WIDTHS = (390, 800, 1024, 1280, 1440, 1920)
FRAMES = """() => Object.fromEntries(["scores", "weights", "output"].map((name) => {
  const figure = Bokeh.documents[0].get_model_by_name(`attn:plot:${name}`)
  const view = Bokeh.index.find_one(figure)
  const {left, top} = view.el.getBoundingClientRect()
  const {x0, x1, y0, y1} = view.frame.bbox
  return [name, [left + x0, top + y0, left + x1, top + y1]]
}))"""


@pytest.fixture(scope="module", params=WIDTHS)
def width(request):
    """A width, for all tests of it in turn: laying a page out anew costs half a second."""
    return request.param


@pytest.fixture(scope="module", autouse=True)
def _as_it_was(_toy):
    page, _ = _toy
    size = page.viewport_size
    yield
    page.set_viewport_size(size)
    settle(page)


def at_width(page: Page, width: int) -> Page:
    if page.viewport_size["width"] != width:
        page.set_viewport_size({"width": width, "height": 900})
        settle(page)
    page.evaluate("scrollTo(0, 0)")
    return page


@pytest.fixture
def sized(toy, width):
    """The toy's page at a width."""
    return at_width(toy, width), width


@pytest.fixture
def wide(toy):
    """The toy's page as wide as most tests have it."""
    return at_width(toy, 1440)


def box(page: Page, css: str) -> dict[str, float]:
    found = page.locator(css).first.bounding_box()
    assert found is not None, css
    return found


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("scale", ["√, 0–1", "own scale"])
def test_rows_that_are_read_across_stand_level(sized, scale):
    page, _ = sized
    choose(page, Colour_scale=scale)  # whose caption has more lines

    frames = page.evaluate(FRAMES)

    (spans,) = {(top, bottom) for _, top, _, bottom in frames.values()}
    assert spans[1] - spans[0] > 200
    assert frames["scores"][2] < frames["weights"][0] < frames["weights"][2]
    assert frames["weights"][2] < frames["output"][0]


def test_the_header_is_one_line_and_its_fields_can_be_read(sized):
    page, width = sized

    header = box(page, ".attn-header")

    if width >= 800:
        assert header["height"] <= 64
    for name in ("T", "d_model", "heads", "seed"):
        field = page.get_by_role("textbox", name=name, exact=True).bounding_box()
        assert field["width"] >= 40
        assert field["x"] + field["width"] <= width


def close_more(page: Page) -> None:
    more = page.get_by_role("button", name="More", exact=True)
    if more.get_attribute("aria-expanded") == "true":
        more.click()


def test_moving_a_control_shows_its_effect_without_scrolling(sized):
    page, width = sized
    close_more(page)
    page.mouse.wheel(0, 100)
    page.wait_for_function("scrollY > 50")
    before = matrix(page, "weights")

    choose(page, Token=5, Temperature=4)

    bar, slider = box(page, ".attn-controls"), box(page, ".attn-control-temperature")
    assert bar["y"] >= 0
    assert bar["y"] <= slider["y"]
    assert bar["height"] <= (70 if width > 1100 else 110)
    left, _, right, bottom = page.evaluate(FRAMES)["weights"]
    assert 0 <= left < right <= width
    assert bar["y"] + bar["height"] < bottom <= 900
    assert (matrix(page, "weights") != before).any()
    choose(page, Temperature=0)


def in_view(page: Page, name: str) -> float:
    """Return which part of a picture's frame lies in the window."""
    left, top, right, bottom = page.evaluate(FRAMES)[name]
    width, height = page.viewport_size["width"], page.viewport_size["height"]
    shown = [min(right, width) - max(left, 0), min(bottom, height) - max(top, 0)]
    return max(shown[0], 0) * max(shown[1], 0) / ((right - left) * (bottom - top))


@pytest.mark.parametrize("size", [(390, 844), (640, 360)], ids=["phone", "zoomed to 200 %"])
def test_on_a_small_screen_softmax_is_in_view_beside_what_moves_it(toy, size):
    toy.set_viewport_size({"width": size[0], "height": size[1]})
    settle(toy)
    close_more(toy)
    toy.evaluate("scrollTo(0, 0)")
    tab = toy.get_by_role("button", name="Score", exact=True)
    if size[0] < 560:
        tab.press("Enter")
        toy.wait_for_function(f"({FRAMES})().scores[0] > 0")
        assert in_view(toy, "weights") < 0.5
    else:
        expect(tab).to_be_hidden()

    choose(toy, Temperature=4)

    toy.wait_for_function(f"({FRAMES})().weights[0] > 0")
    settle(toy)
    assert in_view(toy, "weights") > 0.9
    assert box(toy, ".attn-control-temperature")["y"] >= 0
    assert toy.evaluate("scrollY") == 0
    choose(toy, Temperature=0)


def test_rare_controls_open_below_the_bar_by_keyboard(wide):
    pad = control(wide, "Pad length")
    more = wide.get_by_role("button", name="More", exact=True)
    close_more(wide)
    expect(pad).to_be_hidden()

    more.focus()
    wide.keyboard.press("Enter")

    expect(pad).to_be_visible()
    assert more.get_attribute("aria-expanded") == "true"
    assert pad.bounding_box()["y"] > more.bounding_box()["y"]
    wide.keyboard.press("Escape")
    expect(pad).to_be_hidden()
    open_more(wide, "Pad length")
    expect(pad).to_be_visible()


@pytest.mark.thorough
def test_every_map_has_a_colour_bar_that_temperature_and_mask_leave_alone(wide):
    def bars() -> list[str]:
        return wide.locator(".attn-legend").all_inner_texts()

    choose(wide, Mask="none", Temperature=0, Token=5, Colour_scale="√, 0–1", Head=0)
    before = bars()

    assert len(before) == 4
    assert all("0" in text for text in before)
    assert "masked" not in before[0]  # nothing is
    assert "blue: below 0" in before[0]
    # The shown pair's weight is marked, on a bar that gives small ones more room.
    left = wide.locator(".attn-legend-weights u").evaluate("(mark) => parseFloat(mark.style.left)")
    assert left == pytest.approx(100 * matrix(wide, "weights")[5].max() ** 0.5, abs=0.01)
    choose(wide, Mask="causal", Temperature=12, Token=3)
    assert "masked" in bars()[0]
    choose(wide, Mask="none")
    assert bars() == before
    choose(wide, Mask="none", Temperature=20, Colour_scale="own scale")
    assert bars()[1] != before[1]
    choose(wide, Colour_scale="√, 0–1", Temperature=0)
