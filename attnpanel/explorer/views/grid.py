"""All heads: layers × heads tiles in one plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.explorer.selection import OVERVIEW_TILE
from attnpanel.explorer.views.drawing import Colours, Drawing, Outline, image_columns
from attnpanel.explorer.weight_scales import WEIGHT_SCALES
from attnpanel.ui.theme import ramp, theme

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.explorer.state import ExplorerState

TILE, GAP = OVERVIEW_TILE, 2
SCALE = WEIGHT_SCALES[0]
SIDE = TILE + GAP


def grid_drawing(state: ExplorerState) -> Drawing:
    """Draw every head's weights as a tile; rows are layers, columns heads, NaN separates them."""
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
    """Draw the plot without its tiles, which the page computes."""
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
        colours=Colours(
            0.0, 1.0, ramp(theme(state.dark).sequential, power=SCALE.power), SCALE.power
        ),
        outline=tile_outline(state),
        theme=theme(state.dark),
        height=30 + int(np.clip(min(264 / heads, 66) * layers, 40, 420)),
    )


def tile_outline(state: ExplorerState) -> Outline:
    """Return the selected head's tile, or the layer's row for the mean over heads."""
    left, right = (0, state.call.heads - 1) if state.aggregate else (state.head, state.head)
    return (left - 0.5, right + 0.5, state.layer - 0.5, state.layer + 0.5)
