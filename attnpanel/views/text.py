"""The tokens as text, each shaded by the weight it gets from token i."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.theme import ramp, theme
from attnpanel.views.heatmaps import peak_or_one
from attnpanel.views.swatches import readable_on

if TYPE_CHECKING:
    from attnpanel.state import ExplorerState


def shaded_tokens(state: ExplorerState) -> dict[str, Any]:
    """Return the key tokens and their shades, and the query tokens where they are others.

    Returns
    -------
    dict
        ``names``: ``keys`` (S texts) and ``queries`` (T texts, or none where queries and keys
        are the same tokens). ``content``: ``shades`` and ``inks`` (S hex colours), ``weights``
        (S numbers as text), ``selected`` (the query's index). Apart, since the texts stay while
        everything else moves.
    """
    weights = np.nan_to_num(state.selection.weights[state.query_index])
    # A weight's own shade, so that tokens can be compared; relative where the first is left out.
    scaled = weights[state.scaled_from :]
    high = peak_or_one(scaled.max(initial=0)) if state.scaled_from else np.float32(1)
    palette = ramp(theme(state.dark).sequential, power=0.5)
    steps = np.rint(np.clip(weights / high, 0, 1) * 255).astype(int)
    same = state.query_tokens == state.key_tokens
    return {
        "names": {
            "keys": list(state.key_tokens),
            "queries": [] if same else list(state.query_tokens),
        },
        "content": {
            "shades": [palette[step] for step in steps],
            "inks": [readable_on(palette[step]) for step in steps],
            "weights": [f"{weight:.4f}" for weight in weights],
            "selected": int(state.query_index),
        },
    }
