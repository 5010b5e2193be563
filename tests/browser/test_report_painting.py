"""How a report paints: what a step shows is there in one frame, and styles are held once."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.browser.reading import settle
from tests.browser.report_page import go

pytest_plugins = ["tests.browser.reports"]

# Notes the frame of each plot's new data and of its paints; a frame is known by its time.
FRAMES = """
() => {
  const seen = (window.attnFrames = {data: {}, paints: {}})
  const page = Bokeh.documents[0]
  for (const name of ["scores", "weights", "output", "row", "swatches"]) {
    const figure = page.get_model_by_name(`attn:plot:${name}`)
    const source = page.get_model_by_name(`attn:${name}`)
    seen.paints[name] = []
    source.change.connect(() => { seen.data[name] = document.timeline.currentTime })
    Bokeh.index.find_one(figure).repainted.connect(() =>
      seen.paints[name].push(document.timeline.currentTime))
  }
}
"""
# The shadow roots' style elements, the sheets they share, and all elements.
ELEMENTS = """
() => {
  const found = {styles: 0, adopted: 0, elements: 0}
  const walk = (root) => {
    for (const element of root.querySelectorAll("*")) {
      found.elements += 1
      if (!element.shadowRoot) continue
      const {shadowRoot} = element
      found.styles += shadowRoot.querySelectorAll("style").length
      found.adopted += shadowRoot.adoptedStyleSheets.length
      walk(shadowRoot)
    }
  }
  walk(document)
  return found
}
"""


def pressed(opened, key):
    opened.page.evaluate(FRAMES)
    opened.page.keyboard.press(key)
    settle(opened.page)
    return opened.page.evaluate("window.attnFrames")


def test_a_token_is_painted_once_in_the_frame_that_brings_its_numbers(toy_report):
    seen = pressed(toy_report, "ArrowUp")

    assert seen["data"].keys() == {"row", "swatches"}
    for name in ("row", "swatches"):
        assert seen["paints"][name] == [seen["data"][name]]
    # An outline moves in the heatmaps, in that frame too.
    for name in ("scores", "weights", "output"):
        assert seen["paints"][name] == [seen["data"]["row"]]


def test_a_head_is_painted_once_in_the_frame_that_brings_its_numbers(toy_report):
    seen = pressed(toy_report, "ArrowRight")

    assert len(seen["data"]) == 5
    assert seen["paints"] == {name: [frame] for name, frame in seen["data"].items()}


def test_shadow_roots_share_their_styles(toy_report):
    found = toy_report.page.evaluate(ELEMENTS)

    # Bokeh's notifications alone are no component.
    assert found["styles"] <= 10
    assert found["adopted"] > 500
    assert found["elements"] < 1000


# The brightest and the darkest ink left of the scores, where the names of the rows are.
INK = """
() => {
  const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name("attn:plot:scores"))
  const {canvas, pixel_ratio} = view.canvas_view.primary
  const {width, height} = canvas
  const copy = Object.assign(document.createElement("canvas"), {width, height})
  const ctx = copy.getContext("2d", {willReadFrequently: true})
  ctx.drawImage(canvas, 0, 0)
  const names = ctx.getImageData(0, 0, view.frame.bbox.left * pixel_ratio - 4, height).data
  const seen = []
  for (let i = 0; i < names.length; i += 4) if (names[i + 3] > 200) seen.push(names[i + 1])
  return [Math.max(...seen), Math.min(...seen)]
}
"""


def test_axis_labels_are_of_the_look_that_is_on(toy_report):
    page = toy_report.page
    by_look = {}
    for _ in range(2):
        page.locator("button", has_text="◐").click()
        page.keyboard.press("ArrowUp")
        settle(page)
        dark = page.locator(".attn-root.attn-dark").count() == 1
        by_look[dark] = page.evaluate(INK)

    assert by_look[True][0] > 200
    assert by_look[False][1] < 60


def test_a_paint_leaves_nothing_of_an_older_one_at_the_edges(toy_report):
    edge = """
    (act) => {
      const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name("attn:plot:row"))
      const {canvas, ctx} = view.canvas_view.primary
      ctx.save()
      ctx.resetTransform()
      if (act === 'paint') ctx.fillRect(0, 0, 1, canvas.height)
      ctx.restore()
      const {height} = canvas
      const copy = Object.assign(document.createElement("canvas"), {width: 1, height})
      const seen = copy.getContext("2d", {willReadFrequently: true})
      seen.drawImage(canvas, 0, 0)
      return seen.getImageData(0, 0, 1, height).data.some(Boolean)
    }
    """
    assert toy_report.page.evaluate(edge, "paint")

    toy_report.page.keyboard.press("ArrowUp")
    settle(toy_report.page)

    assert not toy_report.page.evaluate(edge, "look")


def test_the_numbers_of_bars_keep_clear_of_each_other(toy_report):
    page = toy_report.page
    places = """
    () => {
      const page = Bokeh.documents[0]
      const figure = page.get_model_by_name("attn:plot:row")
      const view = Bokeh.index.find_one(figure)
      const {data} = page.get_model_by_name("attn:row:labels")
      return [...data.x].map((x) => view.frame.x_scale.compute(x))
    }
    """
    whole = page.viewport_size
    go(page, "head=0&token=6&temperature=10&mask=none")
    named = {}
    for width in (1440, 260):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "(width) => Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name("
            "'attn:plot:row')).frame.bbox.width < width",
            arg=width,
        )
        page.keyboard.press("ArrowUp")
        settle(page)
        named[width] = page.evaluate(places)
    page.set_viewport_size(whole)

    assert len(named[1440]) == 8
    assert 2 <= len(named[260]) < 8
    assert all(right - left >= 28 for left, right in pairwise(named[260]))


def test_a_words_new_size_lays_out_no_page(toy_report):
    laid_out = """
    () => {
      const models = [...Bokeh.documents[0]._all_models.values()]
      const worn = (css) => models.find((one) => one.css_classes?.includes(css))
      const view = (css) => Bokeh.index.find_one(worn(css))
      const root = view("attn-root")
      let times = 0
      root.compute_layout = () => { times += 1 }
      view("attn-caption-row")._after_resize()
      const by_words = times
      view("attn-center")._after_resize()
      delete root.compute_layout
      return [by_words, times]
    }
    """
    assert toy_report.page.evaluate(laid_out) == [0, 1]


# Numbers by Bokeh's own mapper, and by the pixels that an image of them gets.
PIXELS = """
([palette, low, high]) => {
  const Mapper = Bokeh.Models.get("LinearColorMapper")
  const mapper = new Mapper({palette, low, high, nan_color: "rgba(1, 2, 3, 0.5)"})
  const wide = high - low + 0.2
  const numbers = Float32Array.from({length: 4096}, (_, at) => low - 0.1 + (at * wide) / 4096)
  const edges = [low, high, NaN, -0, 0, Infinity, -Infinity, 1e-300, (low + high) / 2]
  const all = Float64Array.of(...edges, ...numbers)
  const own = mapper.v_compute(all)
  const asked = new DataView(mapper.rgba_mapper.v_compute(all).buffer)
  return Array.from(own, (colour, at) => [all[at], colour, asked.getUint32(4 * at)])
    .filter(([, colour, pixel]) => colour !== pixel)
}
"""


@pytest.mark.parametrize("colours", [1, 2, 7, 256])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.5, 3.5), (0, 0), (0, 1e-30)])
def test_a_number_has_the_pixel_of_bokehs_own_mapper(toy_report, colours, low, high):
    palette = [f"#{(at * 977) % 0xFFFFFF:06x}" for at in range(colours)]

    assert toy_report.page.evaluate(PIXELS, [palette, low, high]) == []


def test_a_mapper_with_colours_beyond_its_ends_is_left_to_bokeh(toy_report):
    pixels = """
    () => {
      const Mapper = Bokeh.Models.get("LinearColorMapper")
      const palette = ["#000000", "#ffffff"]
      const mapper = new Mapper({palette, low: 0, high: 1, low_color: "#ff0000"})
      return [...mapper.rgba_mapper.v_compute([-1, 0.9])]
    }
    """
    assert toy_report.page.evaluate(pixels) == [255, 0, 0, 255, 255, 255, 255, 255]
