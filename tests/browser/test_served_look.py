"""Dark and light, narrow and wide, reachable by keyboard."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.browser.acting import choose, leave_focus, open_trace, press, use_tool
from tests.browser.reading import link, open_explorer, settle

pytest_plugins = ["tests.browser.opened"]


def brightness(page, selector: str) -> tuple[float, float]:
    """The brightness of a part's ground and of its ink, 0 to 1, as they are on screen."""
    picture = Image.open(io.BytesIO(page.locator(selector).first.screenshot())).convert("L")
    cells = np.asarray(picture) / 255
    ground = float(np.median(cells))
    # The ink is what lies farthest from the ground.
    return ground, float(cells.flat[np.abs(cells - ground).argmax()])


@pytest.mark.thorough
def test_who_prefers_dark_gets_dark_cards_and_light_text(served, open_page):
    page = open_explorer(open_page(color_scheme="dark"), served)

    for part in (".attn-header", ".attn-controls", ".attn-center .attn-card >> nth=1"):
        ground, ink = brightness(page, part)
        assert ground < 0.25, part
        assert ink > 0.7, part
    assert "theme" not in link(page)


@pytest.mark.thorough
def test_the_theme_button_turns_the_page_and_the_link_keeps_it(served, page):
    open_explorer(page, served)
    assert brightness(page, ".attn-controls")[0] > 0.9

    page.get_by_role("button", name="Light or dark").click()
    settle(page)

    assert brightness(page, ".attn-controls")[0] < 0.25
    assert link(page)["theme"] == "dark"
    open_explorer(page, page.url)
    assert brightness(page, ".attn-controls")[0] < 0.25
    page.get_by_role("button", name="Light or dark").click()
    settle(page)
    assert brightness(page, ".attn-controls")[0] > 0.9
    assert link(page)["theme"] == "light"


@pytest.mark.thorough
def test_a_phone_needs_no_sideways_scrolling(library, open_page):
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    open_explorer(page, f"{library}?source=toy")
    assert_fits(page, 390)
    choose(page, Mask="window")
    assert_fits(page, 390)
    for name in ("many", "cross", "hostile"):
        open_trace(page, f"{name}.safetensors")
        assert_fits(page, 390)


def assert_fits(page, width: int) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # What is cut off would not widen the page.
    wide = page.evaluate(
        """(width) => {
          const found = []
          const walk = (node) => {
            for (const child of [...(node.shadowRoot?.children ?? []), ...node.children]) {
              const box = child.getBoundingClientRect()
              const seen = child.checkVisibility?.({visibilityProperty: true}) ?? true
              if (seen && box.width > 0 && box.right > width + 0.5 && box.left >= 0)
                found.push(`${child.tagName}.${child.className} ends at ${box.right}`)
              // Bokeh leaves unseen parts of a picture where they were, and a row is swiped.
              const swiped = getComputedStyle(child).overflowX === "auto"
              if (!child.matches(".bk-Canvas") && !swiped) walk(child)
            }
          }
          walk(document.body)
          return found
        }""",
        width,
    )
    assert wide == [], "\n".join(wide)


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize("width", [800, 1280, 1440])
def test_the_header_of_files_is_one_line_too(shelf, width):
    size = shelf.viewport_size
    shelf.set_viewport_size({"width": width, "height": 900})
    settle(shelf)

    header = shelf.locator(".attn-header").bounding_box()

    shelf.set_viewport_size(size)
    settle(shelf)
    assert header["height"] <= 64


@pytest.mark.parametrize("width", [800, 1000, 2400])
def test_no_width_needs_sideways_scrolling(toy, width):
    size = toy.viewport_size
    toy.set_viewport_size({"width": width, "height": 900})
    settle(toy)

    scroll = toy.evaluate("document.documentElement.scrollWidth")

    toy.set_viewport_size(size)
    settle(toy)
    assert scroll <= width


def test_every_control_is_reached_by_tab(toy):
    choose(toy, Mask="padding", Pad_length=4, Mean_of_heads=False)
    leave_focus(toy)
    toy.evaluate("getSelection().removeAllRanges(); scrollTo(0, 0)")
    reached = set()
    for _ in range(90):
        toy.keyboard.press("Tab")
        reached.add(
            toy.evaluate(
                """() => {
                  let at = document.activeElement
                  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement
                  if (at?.matches(".bk-spin-btn")) return "an arrow without a name"
                  return at?.getAttribute("aria-label") ?? at?.labels?.[0]?.innerText
                    ?? at?.innerText ?? ""
                }"""
            ).strip()
        )
    wanted = {
        "Toy", "Prompt", "File", "T", "d_model", "heads", "seed", "Copy link", "Light or dark",
        "Head", "Mean of heads", "Token", "Temperature", "Mask", "Colour scale", "More",
        "Pad length", "zero", "uniform", "Paint seed",
    }  # fmt: skip
    assert wanted - reached == set()
    assert "an arrow without a name" not in reached


@pytest.mark.thorough
def test_copy_link_copies_the_address(served, open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    open_explorer(page, served)
    leave_focus(page)
    press(page, "ArrowDown")

    page.get_by_role("button", name="Copy link").click()

    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_a_picture_is_saved_as_png(toy):
    toy.once("dialog", lambda dialog: dialog.accept("weights"))  # it may ask for a name
    with toy.expect_download() as waiting:
        use_tool(toy, "weights", "Save as PNG")

    path = waiting.value.path()
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with Image.open(path) as picture:
        assert picture.size[0] > 100
