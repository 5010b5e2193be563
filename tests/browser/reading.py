"""What a test reads off a served page, and how it waits: for a condition, never for a time."""

from __future__ import annotations

import base64
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from playwright.sync_api import Page

from tests.browser.conftest import PATIENCE_MS

# What a choice can change, by data source.
SOURCES = ("scores", "weights", "output", "row", "swatches", "mixed", "grid")
# Tells `settle` what a page is doing: it waits for a frame, a timer or bytes, or its server has not
# dealt with all it was told. A server is asked a question of Bokeh's own protocol: once it answers,
# everything said before has been dealt with. Timers of more than 300 ms stand for no work. The
# pause before the overview is cut short, but not the 250 ms after which Bokeh takes a drag for a
# press.
WATCH = """
(() => {
  if (window.attnWatch) return
  const waiting = new Set()
  const timer = window.setTimeout.bind(window), frame = window.requestAnimationFrame.bind(window)
  const drops = ["clearTimeout", "cancelAnimationFrame"].map((name) => [name, window[name]])
  const during = (key, then) => (...args) => {
    try { then(...args) } finally { waiting.delete(key()) }
  }
  window.setTimeout = (then, ms = 0, ...rest) => {
    if (typeof then !== "function" || ms > 300) return timer(then, ms, ...rest)
    const pause = ms > 100 && ms < 250 ? ms / 6 : ms
    const id = timer(during(() => "clearTimeout" + id, then), pause, ...rest)
    waiting.add("clearTimeout" + id)
    return id
  }
  window.requestAnimationFrame = (then) => {
    const id = frame(during(() => "cancelAnimationFrame" + id, then))
    waiting.add("cancelAnimationFrame" + id)
    return id
  }
  for (const [name, drop] of drops) {
    window[name] = (id) => {
      waiting.delete(name + id)
      drop.call(window, id)
    }
  }
  const read = Response.prototype.arrayBuffer
  Response.prototype.arrayBuffer = function () {
    const key = {}
    waiting.add(key)
    return read.call(this).finally(() => waiting.delete(key))
  }
  let socket = null, heard = 0, answers = 0
  const Native = window.WebSocket
  window.WebSocket = class extends Native {
    constructor(...args) {
      super(...args)
      socket = this
      let left = 0, mine = false
      this.addEventListener("message", ({data}) => {
        if (left === 0) {
          const header = JSON.parse(data)
          left = 3 + 2 * (header.num_buffers ?? 0)
          mine = header.msgtype === "SERVER-INFO-REPLY"
        }
        left -= 1
        if (!mine) heard += 1
        else if (left === 0) answers += 1
      })
    }
    send(data) {
      heard += 1
      super.send(data)
    }
    ask() {
      for (const part of [{msgid: crypto.randomUUID(), msgtype: "SERVER-INFO-REQ"}, {}, {}])
        super.send(JSON.stringify(part))
    }
  }
  const computing = () => {
    const models = [...(window.Bokeh?.documents?.[0]?._all_models.values() ?? [])]
    return models.some(({data}) => data?.attributes?.at_rest === false)
  }
  const settled = async (limit) => {
    const start = performance.now()
    const left = () => {
      if (performance.now() - start > limit) throw new Error(`not settled in ${limit} ms`)
      return true
    }
    const quiet = async () => {
      for (let frames = 0; frames < 2 && left(); frames = waiting.size ? 0 : frames + 1) {
        await new Promise(frame)
      }
    }
    do await quiet()
    while (!socket && computing() && left())
    while (socket && left()) {
      const [told, answered, asked] = [heard, answers, socket]
      asked.ask()
      while (answers === answered && left()) {
        if (asked.readyState > 1) throw new Error("the page lost its server while it was to settle")
        await new Promise((then) => timer(then, 4))
      }
      await quiet()
      if (heard === told && !computing()) return
    }
  }
  window.attnWatch = {settled}
})()
"""
SOURCE = """
(name) => {
  const base64 = (array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
    let text = ""
    for (let i = 0; i < bytes.length; i += 32768)
      text += String.fromCharCode(...bytes.subarray(i, i + 32768))
    const dtype = array.dtype ?? array.constructor.name.replace("Array", "").toLowerCase()
    return {bytes: btoa(text), dtype, shape: [...(array.shape ?? [array.length])]}
  }
  const pack = (column) =>
    ArrayBuffer.isView(column) ? base64(column)
    : {items: Array.from(column, (item) => (ArrayBuffer.isView(item) ? base64(item) : item))}
  const {data} = Bokeh.documents[0].get_model_by_name(name)
  return Object.fromEntries(Object.entries(data).map(([column, values]) => [column, pack(values)]))
}
"""
PLACE = """
([name, x, y]) => {
  const page = Bokeh.documents[0]
  const view = page.views_manager.get_one(page.get_model_by_name(`attn:plot:${name}`))
  view.el.scrollIntoViewIfNeeded()
  const box = view.canvas_view.el.getBoundingClientRect()
  return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)]
}
"""
READY = "window.Bokeh?.documents?.[0]?.is_idle && Bokeh.documents[0].get_model_by_name('attn:grid')"


def open_explorer(page: Page, address: str) -> Page:
    """Go to a served page and wait until it stands and nothing is on its way any more."""
    page.add_init_script(WATCH)
    page.goto(address)
    page.wait_for_function(READY)
    settle(page)
    return page


def settle(page: Page) -> None:
    """Wait until the page has put nothing off, and its server has dealt with all it said."""
    page.evaluate("(limit) => window.attnWatch.settled(limit)", PATIENCE_MS)


def source(page: Page, name: str) -> dict:
    """Return the columns of a named data source: NumPy arrays, or lists of anything else."""
    return {column: _unpack(packed) for column, packed in page.evaluate(SOURCE, name).items()}


def matrix(page: Page, view: str) -> np.ndarray:
    """Return the numbers of a heatmap, first query first."""
    (cells,) = source(page, f"attn:{view}")["image"]
    return cells


def snapshot(page: Page) -> dict[str, dict]:
    """Return all data sources that a choice can change."""
    return {name: source(page, f"attn:{name}") for name in SOURCES}


def differing(before: dict[str, dict], after: dict[str, dict], *, within: float = 0) -> set[str]:
    """Return the names of the sources whose columns are not the same in two snapshots."""
    return {name for name in SOURCES if not _same(before[name], after[name], within)}


def palette(page: Page, view: str) -> list[str]:
    """Return the colours that a heatmap's numbers become, smallest first."""
    return page.evaluate(
        """(name) => {
          const plot = Bokeh.documents[0].get_model_by_name(name)
          return plot.renderers[0].glyph.color_mapper.palette.map(String)
        }""",
        f"attn:plot:{view}",
    )


def outlined(page: Page, view: str) -> tuple[float, float]:
    """Return the first and last edge, downwards, of what is outlined in a picture."""
    top, bottom = page.evaluate(
        """(name) => {
          const plot = Bokeh.documents[0].get_model_by_name(name)
          const box = plot.center.find((one) => one.name === "attn:outline")
          return [box.bottom, box.top]
        }""",
        f"attn:plot:{view}",
    )
    return top, bottom


def shown_range(page: Page, view: str) -> dict[str, list[float]]:
    """Return the part of a picture that is on screen, by axis."""
    return page.evaluate(
        """(name) => {
          const {x_range: x, y_range: y} = Bokeh.documents[0].get_model_by_name(name)
          return {x: [x.start, x.end].sort((a, b) => a - b),
                  y: [y.start, y.end].sort((a, b) => a - b)}
        }""",
        f"attn:plot:{view}",
    )


def labels(page: Page, view: str) -> tuple[list[str], list[str]]:
    """Return what stands along a picture's x and y axis, shown at once or as there is room."""
    across, down = page.evaluate(
        """(name) => {
          const {below, left} = Bokeh.documents[0].get_model_by_name(name)
          const texts = (sides) => {
            const args = sides.find((side) => side.formatter)?.formatter.args ?? {}
            return (args instanceof Map ? args.get("labels") : args.labels) ?? []
          }
          return [texts(below), texts(left)]
        }""",
        f"attn:plot:{view}",
    )
    return across, down


def place(page: Page, view: str, x: float, y: float) -> tuple[float, float]:
    """Return where on the page a picture draws a point, after scrolling it into sight."""
    left, top = page.evaluate(PLACE, [view, x, y])
    return left, top


def ring(page: Page, view: str) -> list[float] | None:
    """Return the left, right, first and last of the ring in a picture; None if it has none.

    A side that is the frame's is None: it refers to the plot, and with it to the whole page.
    """
    return page.evaluate(
        """(name) => {
          const { center } = Bokeh.documents[0].get_model_by_name(name)
          const [border, ring] = center.filter((box) => box.name === "attn:ring")
          const own = (at) => (typeof at === "number" ? at : null)
          const sides = ({ visible, left, right, top, bottom }) =>
            visible ? [left, right, bottom, top].map(own) : null
          if (String(sides(border)) !== String(sides(ring)))
            throw new Error("the ring's border is elsewhere")
          return sides(ring)
        }""",
        f"attn:plot:{view}",
    )


def sentence(page: Page) -> str:
    """Return the sentence of arithmetic."""
    return page.locator(".attn-sentence").inner_text()


def tooltip(page: Page) -> dict[str, str]:
    """Return what the pointer is told, by name."""
    lines = page.locator(".bk-tooltip-content").inner_text().splitlines()
    return {name.rstrip(":"): text for name, text in (line.split("\t", 1) for line in lines)}


def link(page: Page) -> dict[str, str]:
    """Return what the address bar says, by name."""
    return dict(parse_qsl(urlsplit(page.url).query, keep_blank_values=True))


def notice(page: Page) -> str:
    """Return what the page tells the reader of an error, a wait or a next step; "" if nothing."""
    told = page.locator(".attn-caption.error, .attn-caption.busy, p.attn-caption.plain")
    return "\n".join(one.inner_text() for one in told.all() if one.is_visible())


def _unpack(packed: dict):
    if "bytes" in packed:
        cells = np.frombuffer(base64.b64decode(packed["bytes"]), packed["dtype"])
        return cells.reshape(packed["shape"])
    return [_unpack(item) if _is_array(item) else item for item in packed["items"]]


def _is_array(item: object) -> bool:
    return isinstance(item, dict) and "bytes" in item


def _same(one: object, other: object, within: float) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            _same(one[name], other[name], within) for name in one
        )
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and np.allclose(
            one, other, rtol=0, atol=within, equal_nan=True
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            _same(*pair, within) for pair in zip(one, other, strict=True)
        )
    if isinstance(one, float) and isinstance(other, float):
        return bool(np.isclose(one, other, rtol=0, atol=within, equal_nan=True))
    return one == other
