"""The row of token i: where it looks, as labelled bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.theme import theme
from attnpanel.views.drawing import Drawing
from attnpanel.views.heatmaps import labels

if TYPE_CHECKING:
    from attnpanel.state import ExplorerState

MOST_LABELS = 16
SMALLEST_LABEL = 0.015
# The axis ends at one of these, so that bars don't jump with every step of a slider.
AXIS_ENDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


def row_drawing(state: ExplorerState) -> Drawing:
    """One bar a key, as high as its weight; the largest in the accent colour."""
    look = theme(state.dark)
    weights = state.selection.weights[state.query_index]
    height = np.nan_to_num(weights)
    keys = np.arange(len(height))
    colour = np.full(len(height), look.bar, dtype=object)
    if height.any():
        colour[height.argmax()] = look.accent
    top = next((end for end in AXIS_ENDS if height.max() * 1.12 <= end), 1.15)
    named = np.sort(np.argsort(-height, kind="stable")[:MOST_LABELS])
    named = named[height[named] >= SMALLEST_LABEL]
    tokens = state.key_tokens
    edge = 0.1 + 0.02 * len(height)
    half = 0.42 if len(height) <= 200 else 0.5  # gaps between a thousand bars would wash them out
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
                "color": [look.muted] * len(named),
            },
        },
        # Room for the label of a bar at the edge, however thin the bars.
        x=(-0.5 - edge, len(height) - 0.5 + edge),
        y=(0.0, top),
        x_labels=labels(tokens),
        height=210,
    )
