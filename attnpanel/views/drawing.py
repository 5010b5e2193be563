"""Drawing: everything one picture shows, as plain data.

A view makes a Drawing from the state. From a Drawing comes the HoloViews element, and a
driver that keeps a picture live writes the next Drawing into the same data sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.theme import LIGHT, Theme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Columns = dict[str, Any]
Span = tuple[float, float]
Outline = tuple[float | None, float | None, float, float]


@dataclass(frozen=True)
class Colours:
    """How numbers become colours: the ends of the scale and the colours between them."""

    low: float
    high: float
    palette: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Drawing:
    """One picture as data.

    Attributes
    ----------
    sources : mapping of str to columns
        The Bokeh data sources by name (`attn:weights`, …), in drawing order.
    x, y : (float, float)
        The axes' whole range, first and last; `y` runs downwards where first > last.
    colours : Colours or None
        For an image.
    x_labels, y_labels : sequence of str or None
        The label of position 0, 1, …; None hides the axis.
    outline : (left, right, top, bottom) or None
        The selected row or tile; None as a side means the picture's own edge.
    height : int or None
        In pixels, where the picture needs more room when it shows more.
    look : Theme
        The colours of outline and masked cells.
    masked : bool or None
        Whether nan means a masked cell, shown hatched; None where there can be none.
    """

    sources: Mapping[str, Columns]
    x: Span
    y: Span
    colours: Colours | None = None
    x_labels: Sequence[str] | None = None
    y_labels: Sequence[str] | None = None
    outline: Outline | None = None
    height: int | None = None
    look: Theme = LIGHT
    masked: bool | None = None


def image_columns(matrix: NDArray[Any], x: Span, y: Span) -> Columns:
    """Bokeh's image columns of a matrix whose first row lies at the smallest y."""
    return {
        "image": [np.ascontiguousarray(matrix)],
        "x": [x[0]],
        "y": [y[0]],
        "dw": [x[1] - x[0]],
        "dh": [y[1] - y[0]],
    }


def shorten(text: str, most: int = 14) -> str:
    """Cut a label so that it fits beside a plot; the whole token is told on hover."""
    visible = "".join(letter if letter.isprintable() else "·" for letter in text)
    return visible if len(visible) <= most else visible[: most - 1] + "…"
