"""All heads: layers × heads tiles in one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.selection import OVERVIEW_TILE
from attnpanel.theme import ramp, theme
from attnpanel.views.drawing import Colours, Drawing, Outline, image_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.state import ExplorerState

TILE, GAP = OVERVIEW_TILE, 2
SIDE = TILE + GAP


def grid_drawing(state: ExplorerState) -> Drawing:
    """Every head's weights as a tile; rows are layers, columns are heads, nan lies between."""
    mosaic = _empty_mosaic(state)
    for layer, call in enumerate(state.trace.calls):
        for head in range(call.heads):
            tile = state.overview(layer, head)
            rows = np.arange(TILE) * tile.shape[0] // TILE
            columns = np.arange(TILE) * tile.shape[1] // TILE
            top, left = layer * SIDE + GAP // 2, head * SIDE + GAP // 2
            mosaic[top : top + TILE, left : left + TILE] = tile[np.ix_(rows, columns)]
    return _drawing_of(state, mosaic)


def empty_grid_drawing(state: ExplorerState) -> Drawing:
    """The same picture without its tiles, for a page that computes them itself."""
    return _drawing_of(state, _empty_mosaic(state))


def _empty_mosaic(state: ExplorerState) -> NDArray[np.float32]:
    calls = state.trace.calls
    heads = max(call.heads for call in calls)
    return np.full((len(calls) * SIDE, heads * SIDE), np.nan, dtype=np.float32)


def _drawing_of(state: ExplorerState, mosaic: NDArray[np.float32]) -> Drawing:
    layers, heads = (size // SIDE for size in mosaic.shape)
    return Drawing(
        {"attn:grid": image_columns(mosaic, (-0.5, heads - 0.5), (-0.5, layers - 0.5))},
        x=(-0.5, heads - 0.5),
        y=(layers - 0.5, -0.5),
        colours=Colours(0.0, 1.0, ramp(theme(state.dark).sequential, power=0.4)),
        outline=tile_outline(state),
        look=theme(state.dark),
        height=30 + int(np.clip(min(264 / heads, 66) * layers, 40, 420)),
    )


def tile_outline(state: ExplorerState) -> Outline:
    """Return the shown head's tile, or the layer's whole row where the mean is shown."""
    left, right = (0, state.call.heads - 1) if state.aggregate else (state.head, state.head)
    return (left - 0.5, right + 0.5, state.layer - 0.5, state.layer + 0.5)
