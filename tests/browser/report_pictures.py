"""What a report's pictures show, beside what Python draws of the same state."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from playwright.sync_api import Page

from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views import VIEWS, Drawing
from tests.browser.reading import settle

# A picture that is still being made is asked for again; one that is wrong stays wrong.
PATIENCE_S = 30
# Columns that are no matrix may be arrays of any type, or lists.
PICTURES = """
(names) => {
  const text = (bytes) => {
    let letters = ""
    for (let i = 0; i < bytes.length; i += 32768)
      letters += String.fromCharCode(...bytes.subarray(i, i + 32768))
    return btoa(letters)
  }
  const matrix = ([cells]) => ({
    text: text(new Uint8Array(cells.buffer, cells.byteOffset, cells.byteLength)),
    shape: cells.shape,
    dtype: cells.dtype,
  })
  // Many colours are one number each, red green blue and opaque.
  const colour = (number) => "#" + number.toString(16).padStart(8, "0").slice(0, 6)
  const column = (name, values) => {
    if (name === "image" || name === "exact") return matrix(values)
    return values.dtype === "uint32" ? Array.from(values, colour) : Array.from(values)
  }
  const plot = (name) => {
    const {renderers} = Bokeh.documents[0].get_model_by_name(`attn:plot:${name}`)
    const mapper = renderers[0].glyph.color_mapper
    const sources = renderers.map(({data_source: {name, data}}) => [
      name,
      Object.fromEntries(Object.entries(data).map(([key, values]) => [key, column(key, values)])),
    ])
    return [Object.fromEntries(sources), mapper ? [mapper.low, mapper.high] : null]
  }
  return Object.fromEntries(names.map((name) => [name, plot(name)]))
}
"""
Picture = tuple[dict[str, dict], list[float] | None]


def pictures(page: Page) -> dict[str, Picture]:
    """Every picture's data sources by name, and the ends of its colours, by the view's name."""
    plots = page.evaluate(PICTURES, [view.name for view in VIEWS])
    for sources, _ in plots.values():
        for columns in sources.values():
            for name in columns.keys() & {"image", "exact"}:
                columns[name] = [_matrix(**columns[name])]
    return {name: tuple(plot) for name, plot in plots.items()}


def image(page: Page, view: str) -> np.ndarray:
    """The numbers of one heatmap."""
    return pictures(page)[view][0][f"attn:{view}"]["image"][0]


def assert_shows(page: Page, state: ExplorerState, *, within: float = 2e-6) -> None:
    """Hold every data source of the page to what Python draws of the state.

    Colours and texts are made of numbers that may differ in the last place, so they may, too. The
    page sums products in float32: a score of 10 errs by 1e-6, and a weight by as much of itself.
    """
    limit = within * max(1.0, 1.0 / state.temperature)
    drawings = {view.name: view.draw(state) for view in VIEWS}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            for name, picture in pictures(page).items():
                _assert_picture(picture, drawings[name], limit, name)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            settle(page)
        else:
            return


def _assert_picture(picture: Picture, drawing: Drawing, limit: float, view: str) -> None:
    sources, ends = picture
    assert sources.keys() >= drawing.sources.keys()  # notes draw marks of their own
    for name, drawn in drawing.sources.items():
        assert sources[name].keys() == drawn.keys(), name
        here = name in ("attn:row:labels", "attn:entropy:labels")
        expected = _labelled(drawn, sources[name]["x"]) if here else drawn
        for column, values in expected.items():
            _assert_column(sources[name][column], values, limit, f"{name} {column}")
    if drawing.colours is not None:
        low, high = drawing.colours.low, drawing.colours.high
        np.testing.assert_allclose(
            ends, [low, high], rtol=limit, atol=limit, err_msg=f"colours of {view}"
        )


def _labelled(expected: Mapping[str, Any], kept: Sequence[float]) -> dict[str, Any]:
    """The labels of the bars that a page of this width has room for: the highest's, and others."""
    places = list(expected["x"])
    assert set(kept) <= set(places)
    assert not places or places[int(np.argmax(expected["y"]))] in kept
    rows = [places.index(place) for place in kept]
    return {column: [values[row] for row in rows] for column, values in expected.items()}


def _matrix(text: str, shape: list[int], dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)


def _assert_column(made, expected, limit: float, where: str) -> None:
    if where.endswith((" image", " exact")):
        assert made[0].shape == expected[0].shape, where
        made, expected = made[0], expected[0]
    expected = np.asarray(expected)
    if expected.dtype.kind in "biuf":
        made = np.asarray(made, dtype=float)
        np.testing.assert_allclose(made, expected, rtol=limit, atol=limit, err_msg=where)
        return
    assert len(made) == len(expected), where
    for one, other in zip(made, expected, strict=True):
        assert one == other or _apart(one, other) <= 1 + limit * 1000, (where, one, other)


def _apart(one: str, other: str) -> float:
    """How many last places two numbers, or two colours, written as text lie apart."""
    if one.startswith("#") and other.startswith("#"):
        places = (slice(at, at + 2) for at in (1, 3, 5))
        return max(abs(int(one[place], 16) - int(other[place], 16)) for place in places)
    try:
        difference = abs(float(one) - float(other))
    except ValueError:
        return np.inf
    return difference * 10 ** len(other.partition(".")[2])
