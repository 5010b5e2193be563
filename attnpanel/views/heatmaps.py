"""Score, softmax and mix: the three linked heatmaps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.selection import pool
from attnpanel.theme import ramp, theme
from attnpanel.views.drawing import Colours, Drawing, Outline, Span, image_columns, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from attnpanel.state import ExplorerState

# Cells a side that one picture draws: about as many as it has pixels. A longer sequence is
# pooled (largest value of a block) until one zooms in, then drawn cell by cell.
MOST_CELLS = 512
HIDDEN = 1e29
# A scale ends no lower: what is left where a sink takes all is no pattern.
LEAST_PEAK = 1e-6


def scores_drawing(state: ExplorerState) -> Drawing:
    """Scores before mask and temperature (T, S); masked cells hold nan and show hatched."""
    selection = state.selection
    if selection.scores is None:
        unknown = np.full(selection.weights.shape, np.nan, dtype=np.float32)
        return replace(
            _matrix_drawing(state, "attn:scores", unknown, _symmetric(unknown, state)), masked=False
        )
    shown = np.where(selection.visible & np.isfinite(selection.scores), selection.scores, np.nan)
    colours = _symmetric(shown[:, state.scaled_from :], state)
    return _matrix_drawing(state, "attn:scores", shown, colours)


def weights_drawing(state: ExplorerState) -> Drawing:
    """Softmax weights (T, S); a masked cell holds nan unless its empty row was filled."""
    selection = state.selection
    # A sink leaves an empty row without a weight, whatever the policy.
    filled = state.empty_rows != "zero" and state.call.sinks is None
    shown = selection.visible | (selection.empty & filled)[:, None]
    weights = np.where(shown, selection.weights, np.nan)
    look = theme(state.dark)
    # Of these keys comes the scale; what lies above it has its last colour.
    scaled = weights[:, state.scaled_from :]
    high, power = float(peak_or_one(np.nanmax(scaled, initial=0.0))), 0.5
    exact = None
    if state.weight_scale == "linear":
        power = 1.0
    elif state.weight_scale == "per row":
        exact, power = weights, 1.0
        peak = np.fmax.reduce(scaled, axis=-1, keepdims=True, initial=0)
        weights = weights / peak_or_one(peak)
        high = 1.0
    colours = Colours(0.0, high, ramp(look.sequential, power=power))
    return _matrix_drawing(state, "attn:weights", weights, colours, exact=exact)


def peak_or_one(peak: Any) -> Any:
    """Where a colour scale ends: the largest number, or 1 where there is none to speak of."""
    return np.where(peak >= LEAST_PEAK, peak, np.float32(1))[()]


def output_drawing(state: ExplorerState) -> Drawing:
    """What each query becomes: weights times values (T, Dv)."""
    output = state.selection.output
    known = output is not None
    if output is None:
        output = np.full((state.call.query_len, 1), np.nan, dtype=np.float32)
    channels = output.shape[1]
    rows, y = _window(state, output.shape[0], 2)
    shrunk = pool(output[rows], MOST_CELLS, MOST_CELLS)
    return Drawing(
        {"attn:output": image_columns(shrunk, (-0.5, channels - 0.5), y)},
        x=(-0.5, channels - 0.5),
        y=_downwards(output.shape[0]),
        colours=_symmetric(output, state),
        outline=row_outline(state),
        look=theme(state.dark),
        masked=known,
    )


def _matrix_drawing(
    state: ExplorerState,
    name: str,
    matrix: NDArray[np.floating],
    colours: Colours,
    *,
    exact: NDArray[np.floating] | None = None,
) -> Drawing:
    query_len, key_len = matrix.shape
    rows, y = _window(state, query_len, 2)
    columns, x = _window(state, key_len, 0)
    data = image_columns(
        pool(matrix[rows, columns], MOST_CELLS, MOST_CELLS).astype(np.float32), x, y
    )
    if exact is not None:
        # Relative to its row is what one sees; the weight itself is what hovering tells.
        data["exact"] = [pool(exact[rows, columns], MOST_CELLS, MOST_CELLS).astype(np.float32)]
    return Drawing(
        {name: data},
        x=(-0.5, key_len - 0.5),
        y=_downwards(query_len),
        colours=colours,
        x_labels=labels(state.key_tokens),
        y_labels=labels(state.query_tokens),
        outline=row_outline(state),
        look=theme(state.dark),
        masked=True,
    )


def labels(tokens: Sequence[str]) -> list[str]:
    """Tick labels of the tokens, each short enough to stand beside a plot."""
    return [shorten(token) for token in tokens]


def _downwards(length: int) -> Span:
    return (length - 0.5, -0.5)


def row_outline(state: ExplorerState) -> Outline:
    """Return the selected query's row, across the whole picture."""
    return (None, None, state.query_index - 0.5, state.query_index + 0.5)


def _symmetric(values: NDArray[Any], state: ExplorerState) -> Colours:
    """Colours centred at 0, so that the sign of a score can be seen."""
    # A capture writes "hidden, but finite" as a bias of -1e30: no score of a model is that large.
    finite = values[np.isfinite(values) & (np.abs(values) < HIDDEN)]
    reach = float(np.abs(finite).max(initial=0.0)) or 1.0
    return Colours(-reach, reach, ramp(theme(state.dark).diverging))


def _window(state: ExplorerState, length: int, side: int) -> tuple[slice, Span]:
    """The positions on screen along one axis, and the edges of what is drawn of them."""
    if state.viewport is None:
        return slice(0, length), (-0.5, _edge(0, length))
    first, last = sorted(state.viewport[side : side + 2])
    start = int(np.clip(np.floor(first + 0.5), 0, length - 1))
    stop = int(np.clip(np.ceil(last + 0.5), start + 1, length))
    return slice(start, stop), (start - 0.5, _edge(start, stop))


def _edge(start: int, stop: int) -> float:
    """The far edge of the drawn blocks: all are equally wide, so the last may overhang."""
    width = -(-(stop - start) // MOST_CELLS)
    blocks = -(-(stop - start) // width)
    return start + blocks * width - 0.5
