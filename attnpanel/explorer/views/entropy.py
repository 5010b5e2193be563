"""Entropy of every row of weights, as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.analysis.row_metrics import Positions, RowMetrics
from attnpanel.explorer.views.drawing import Drawing, Outline, Tick
from attnpanel.explorer.views.heatmaps import labels
from attnpanel.ui.theme import theme

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from attnpanel.explorer.state import ExplorerState

MAX_LABELS = 16
BLOCK_CELLS = 2**20
# The axis ends above the largest possible entropy, log S, with room for a label on the highest bar;
# it needs a positive length even for S <= 1.
HEADROOM, SHORTEST = 1.15, 0.5
NO_WEIGHT = "∅"


def measure_entropy(state: ExplorerState) -> dict[str, NDArray[np.float64]]:
    """Compute the entropy of each query's row of weights and the number of keys it sees.

    Returns
    -------
    dict
        ``entropy`` (T,): ``-Σ w log w`` in nats; nan for a row without a weight. ``seen`` (T,).
    """
    entropy, seen = np.empty(state.call.query_len), np.empty(state.call.query_len)
    for queries, block in state.selection.blocks():
        part = slice(queries.start, queries.stop)
        seen[part] = block.visible.sum(axis=-1)
        entropy[part] = _row_entropy(block.weights)
    return {"entropy": entropy, "seen": seen}


def _row_entropy(weights: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the entropy of each row in float64, a few rows at a time."""
    entropy = np.empty(len(weights))
    size = max(BLOCK_CELLS // weights.shape[1], 1)
    for start in range(0, len(weights), size):
        rows = np.nan_to_num(weights[start : start + size]).astype(float)
        positions = Positions(np.arange(len(rows)), weights.shape[1])
        entropy[start : start + size] = RowMetrics(rows, positions).entropy
    return entropy


def entropy_drawing(state: ExplorerState) -> Drawing:
    """Draw a bar a query with its row's entropy, in front of the largest possible entropy."""
    return _drawing_of(state, measure_entropy(state))


def empty_entropy_drawing(state: ExplorerState) -> Drawing:
    """Draw the plot without its numbers, which the page computes."""
    unknown = np.full(state.call.query_len, np.nan)
    return _drawing_of(state, {"entropy": unknown, "seen": np.zeros(len(unknown))})


def _drawing_of(state: ExplorerState, measured: Mapping[str, NDArray[Any]]) -> Drawing:
    palette, tokens = theme(state.dark), state.query_tokens
    entropy, seen = measured["entropy"], measured["seen"]
    queries = np.arange(len(entropy))
    height = np.maximum(np.nan_to_num(entropy), 0.0)
    most = np.log(np.maximum(seen, 1))
    widest = np.argsort(-height, kind="stable")[:MAX_LABELS]
    named = np.union1d(widest, np.flatnonzero(np.isnan(entropy)))
    edge = 0.1 + 0.02 * len(height)
    half = 0.42 if len(height) <= 200 else 0.5
    sides = {"left": queries - half, "bottom": np.zeros(len(height)), "right": queries + half}
    return Drawing(
        {
            "attn:entropy:most": {**sides, "top": most, "color": [palette.line] * len(height)},
            "attn:entropy": {
                **sides,
                "top": height,
                "color": [palette.bar] * len(height),
                "token": list(tokens),
                "entropy": entropy,
                "seen": seen,
                "tooltip": [_tooltip(*both) for both in zip(entropy, seen, strict=True)],
            },
            "attn:entropy:labels": {
                "x": named.astype(float),
                "y": height[named],
                "text": [
                    NO_WEIGHT if np.isnan(entropy[query]) else f"{height[query]:.2f}"
                    for query in named
                ],
                "color": [palette.muted] * len(named),
            },
        },
        x=(-0.5 - edge, len(height) - 0.5 + edge),
        y=(0.0, HEADROOM * max(float(np.log(state.call.key_len)), SHORTEST)),
        x_labels=labels(tokens),
        y_ticks=_nats(state.call.key_len),
        outline=token_outline(state),
        theme=palette,
        height=170,
    )


def _nats(key_len: int) -> list[Tick]:
    """Whole nats up to the largest possible entropy."""
    return [(float(nats), str(nats)) for nats in range(int(np.log(key_len)) + 1)]


def token_outline(state: ExplorerState) -> Outline:
    """Return the selected query's column, up to the largest possible entropy."""
    query, top = state.query_index, max(float(np.log(state.call.key_len)), SHORTEST)
    return (query - 0.5, query + 0.5, 0.0, HEADROOM * top)


def _tooltip(entropy: float, seen: float) -> str:
    if np.isnan(entropy):
        return "none: sees no key" if seen == 0 else "none: no weight"
    if seen == 0:
        return f"{abs(entropy):.3f} nats, though it sees no key"
    keys = "1 key" if seen == 1 else f"{seen:.0f} keys"
    return f"{abs(entropy):.3f} nats, at most {np.log(seen):.3f} over {keys}"
