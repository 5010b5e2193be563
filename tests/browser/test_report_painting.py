"""How a report paints: what a step shows is there in one frame, and styles are held once."""

from __future__ import annotations

from tests.browser.reading import settle

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
