"""Bar charts of what an intervention does to a model's output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.explorer.views.drawing import Drawing
from attnpanel.explorer.views.heatmaps import labels
from attnpanel.ui.theme import theme
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.explorer.state import ExplorerState
    from attnpanel.models.intervene.output_change import OutputChange

MAX_LABELS = 17
MIN_LABELLED = 0.02  # a bar lower than this share of the highest has no number
MIN_DISTANCE = 1e-6  # what rounding alone can move an embedding by


def embedding_bars(state: ExplorerState, output: OutputChange) -> Drawing:
    """Draw one bar per token: how far its last state has moved. The query's is accented."""
    palette = theme(state.dark)
    height = output.moved
    positions = np.arange(len(height))
    half = 0.42 if len(height) <= 200 else 0.5
    colours = [palette.accent if i == state.query_index else palette.bar for i in positions]
    labelled = np.sort(np.argsort(-height, kind="stable")[:MAX_LABELS])
    highest = float(height.max(initial=MIN_DISTANCE))
    lowest = max(MIN_LABELLED * highest, MIN_DISTANCE)
    tokens = [*state.trace.query_tokens[state.batch]][: len(height)]
    return _bars(
        left=positions - half,
        right=positions + half,
        height=height,
        colours=colours,
        tokens=tokens,
        sides=[t("moved by")] * len(height),
        texts={int(i): f"{height[i]:.2g}" for i in labelled if height[i] > lowest},
        ticks=tokens,
        muted=palette.muted,
        highest=highest,
    )


def prediction_bars(state: ExplorerState, output: OutputChange) -> Drawing:
    """Draw two bars per likely next token: its probability before and after."""
    palette = theme(state.dark)
    candidates = output.candidates[min(state.query_index, len(output.candidates) - 1)]
    centres = np.repeat(np.arange(len(candidates)), 2)
    left = centres + np.tile([-0.4, 0.0], len(candidates))
    height = np.array([p for token in candidates for p in (token.before, token.after)])
    return _bars(
        left=left,
        right=left + 0.4,
        height=height,
        colours=[palette.bar, palette.accent] * len(candidates),
        tokens=[candidate.token for candidate in candidates for _ in range(2)],
        sides=[t("before"), t("after")] * len(candidates),
        texts={i: f"{p:.1%}" for i, p in enumerate(height)},
        ticks=[candidate.token for candidate in candidates],
        muted=palette.muted,
        highest=float(height.max(initial=0.0)),
    )


def _bars(
    *,
    left: NDArray[Any],
    right: NDArray[Any],
    height: NDArray[Any],
    colours: list[str],
    tokens: list[str],
    sides: list[str],
    texts: dict[int, str],
    ticks: list[str],
    muted: str,
    highest: float,
) -> Drawing:
    labelled = list(texts)
    return Drawing(
        {
            "change:output": {
                "left": left,
                "bottom": np.zeros(len(height)),
                "right": right,
                "top": height,
                "color": colours,
                "token": tokens,
                "side": sides,
                "value": height,
            },
            "change:output:labels": {
                "x": (left[labelled] + right[labelled]) / 2,
                "y": height[labelled].astype(float),
                "text": list(texts.values()),
                "color": [muted] * len(labelled),
            },
        },
        x=(-0.7, len(ticks) - 0.3),
        y=(0.0, axis_end(highest)),
        x_labels=labels(ticks),
        height=200,
    )


def axis_end(highest: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least 10 % above the highest bar.

    Examples
    --------
    >>> axis_end(0.0032), axis_end(0.9), axis_end(0.0)
    (0.005, 1.0, 1.0)
    """
    if highest <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(highest))
    ends = (power, 2 * power, 5 * power, 10 * power)
    return float(next(end for end in ends if end > 1.1 * highest))
