"""The selected query's row of weights, as labelled bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.explorer.views.drawing import Drawing, Tick
from attnpanel.explorer.views.heatmaps import labels
from attnpanel.explorer.weight_scales import find_scale, weights_end
from attnpanel.ui.theme import theme

if TYPE_CHECKING:
    from attnpanel.explorer.state import ExplorerState

MAX_LABELS = 16
HEIGHT = 170
SMALLEST_LABEL = 0.015
# Room for the label of the highest bar.
HEADROOM = 1.18


def row_end(state: ExplorerState, peak: float) -> float:
    """Return where the bars of a row end whose largest weight is `peak`."""
    return weights_end(peak, held=find_scale(state.weight_scale).ends == "one")


def weight_ticks(low: float, high: float, end: float) -> list[Tick]:
    """Return the positions of 0, half the end and the end, on an axis from `low` to `high`."""
    return [(low + part * (high - low), f"{part * end:g}") for part in (0.0, 0.5, 1.0)]


def row_drawing(state: ExplorerState) -> Drawing:
    """Draw a bar a key with its weight; the largest in the accent colour."""
    palette = theme(state.dark)
    weights = state.selection.row(state.query_index).weights[0]
    height = np.nan_to_num(weights)
    keys = np.arange(len(height))
    colour = np.full(len(height), palette.bar, dtype=object)
    if height.any():
        colour[height.argmax()] = palette.accent
    end = row_end(state, float(height.max()))
    named = np.sort(np.argsort(-height, kind="stable")[:MAX_LABELS])
    named = named[height[named] >= SMALLEST_LABEL]
    tokens = state.key_tokens
    edge = 0.1 + 0.02 * len(height)
    half = 0.42 if len(height) <= 200 else 0.5  # gaps would fade a thousand bars
    return Drawing(
        {
            "attn:row": {
                "left": keys - half,
                "bottom": np.zeros(len(height)),
                "right": keys + half,
                "top": height,
                "color": list(colour),
                "token": list(tokens),
                "weight": weights,
            },
            "attn:row:labels": {
                "x": named.astype(float),
                "y": height[named].astype(float),
                "text": [f"{height[key]:.2f}" for key in named],
                "color": [palette.muted] * len(named),
            },
        },
        # Room for the label of a bar at the edge.
        x=(-0.5 - edge, len(height) - 0.5 + edge),
        y=(0.0, HEADROOM * end),
        x_labels=labels(tokens),
        y_ticks=weight_ticks(0.0, end, end),
        theme=palette,
        height=HEIGHT,
    )
