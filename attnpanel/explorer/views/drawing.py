"""Drawing: everything a plot shows, as plain data.

A view maps the state to a Drawing, and a Drawing to a HoloViews element. The page maps its state to
Drawings of the same form and writes them into the data sources of the existing plots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.ui.theme import LIGHT, Theme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Columns = dict[str, Any]
Span = tuple[float, float]
Tick = tuple[float, str]
Outline = tuple[float | None, float | None, float, float]


@dataclass(frozen=True)
class Colours:
    """How numbers become colours: the ends of the scale and the colours between them.

    Of the palette, evenly spread over the numbers, the colour bar shows the colours evenly: with
    a power below 1 small numbers have more of the bar.
    """

    low: float
    high: float
    palette: tuple[str, ...]
    power: float = 1.0


@dataclass(frozen=True, eq=False)
class Drawing:
    """A plot as data.

    Attributes
    ----------
    sources : mapping of str to columns
        The Bokeh data sources by name (`attn:weights`, …), in drawing order.
    x, y : (float, float)
        The axes' whole range, first and last; `y` runs downwards where first > last.
    colours : Colours or None
        For an image.
    x_labels, y_labels : sequence of str or None
        The label of position 0, 1, …
    x_ticks, y_ticks : sequence of (float, str) or None
        The labelled positions of an axis of numbers. An axis with neither is hidden.
    outline : (left, right, top, bottom) or None
        The selected row or tile; None as a side means the plot's own edge.
    height : int or None
        In pixels, if it depends on the data.
    theme : Theme
        The colours of outline and masked cells.
    masked : bool or None
        Whether NaN means a masked cell, shown hatched; None if no cell can be masked.
    """

    sources: Mapping[str, Columns]
    x: Span
    y: Span
    colours: Colours | None = None
    x_labels: Sequence[str] | None = None
    y_labels: Sequence[str] | None = None
    x_ticks: Sequence[Tick] | None = None
    y_ticks: Sequence[Tick] | None = None
    outline: Outline | None = None
    height: int | None = None
    theme: Theme = LIGHT
    masked: bool | None = None


def image_columns(matrix: NDArray[Any], x: Span, y: Span) -> Columns:
    """Return Bokeh's image columns of a matrix whose first row is at the smallest y."""
    return {
        "image": [np.ascontiguousarray(matrix)],
        "x": [x[0]],
        "y": [y[0]],
        "dw": [x[1] - x[0]],
        "dh": [y[1] - y[0]],
    }


def shorten(text: str, most: int = 14) -> str:
    """Cut a label so that it fits beside a plot; the tooltip has the whole token."""
    visible = "".join(letter if letter.isprintable() else "·" for letter in text)
    return visible if len(visible) <= most else visible[: most - 1] + "…"
