"""Score, softmax and mix: the three linked heatmaps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.explorer.selection import (
    HIDDEN,
    PICTURE_CELLS,
    pool,
    pool_by,
    shown_scores,
    shown_weights,
)
from attnpanel.explorer.views.drawing import Colours, Drawing, Outline, Span, image_columns, shorten
from attnpanel.explorer.weight_scales import LEAST_PEAK, find_scale, round_up, weights_end
from attnpanel.ui.theme import ramp, theme

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from attnpanel.explorer.selection import Selection
    from attnpanel.explorer.state import ExplorerState

    # Makes the cells to draw of a few rows.
    Cells = Callable[[Selection], NDArray[np.floating]]


def scores_drawing(state: ExplorerState) -> Drawing:
    """Scores before mask and temperature (T, S); masked cells hold nan and show hatched."""
    if not state.selection.has_scores:
        drawing = _matrix_drawing(state, "attn:scores", shown_scores, _up_to(0.0, state))
        return replace(drawing, masked=False)
    # Of all scores, so that the scale stays where it is whatever the mask.
    largest = state.selection.peaks.scores[state.scaled_from :].max(initial=0)
    return _matrix_drawing(state, "attn:scores", shown_scores, _up_to(float(largest), state))


def weights_drawing(state: ExplorerState) -> Drawing:
    """Softmax weights (T, S); a masked cell holds nan unless its empty row was filled."""
    # With a sink, an empty row has no weights under any policy.
    filled = state.empty_rows != "zero" and state.call.sinks is None
    # The scale covers these keys; larger values get its last colour.
    scaled_from = state.scaled_from

    weights = partial(shown_weights, filled=filled)

    def of_row(block: Selection) -> NDArray[np.floating]:
        own = weights(block)
        peaks = np.fmax.reduce(own[:, scaled_from:], axis=-1, keepdims=True, initial=0)
        return np.asarray(own / peak_or_one(peaks))

    palette, scale = theme(state.dark), find_scale(state.weight_scale)
    by_row = scale.ends == "row"
    high = 1.0
    if not by_row:
        peak = float(state.selection.peaks.weights[scaled_from:].max(initial=0))
        high = weights_end(peak, held=scale.ends == "one" and scaled_from == 0)
    colours = Colours(0.0, high, ramp(palette.sequential, power=scale.power), scale.power)
    drawn = of_row if by_row else weights
    return _matrix_drawing(state, "attn:weights", drawn, colours, exact=weights if by_row else None)


def peak_or_one(peak: Any) -> Any:
    """Return the end of a colour scale: the largest number, or 1 if that is negligible."""
    return np.where(peak >= LEAST_PEAK, peak, np.float32(1))[()]


def output_drawing(state: ExplorerState) -> Drawing:
    """Draw the output, weights times values (T, Dv)."""
    output = state.selection.output
    known = output is not None
    if output is None:
        output = np.full((state.call.query_len, 1), np.nan, dtype=np.float32)
    channels = output.shape[1]
    rows, y = _window(state, output.shape[0], 2)
    shrunk = pool(output[rows], PICTURE_CELLS, PICTURE_CELLS)
    return Drawing(
        {"attn:output": image_columns(shrunk, (-0.5, channels - 0.5), y)},
        x=(-0.5, channels - 0.5),
        y=_downwards(output.shape[0]),
        colours=_symmetric(_values(state) if known else output, state),
        outline=row_outline(state),
        theme=theme(state.dark),
        masked=known,
    )


def _values(state: ExplorerState) -> NDArray[Any]:
    """The values that are mixed: no output is larger, whatever the weights."""
    call = state.call
    assert call.value is not None  # noqa: S101 - there is an output
    # A float16 trace: the limit of known numbers is beyond that type.
    values: NDArray[Any] = call.value[state.batch].astype(np.float32)
    if state.shown_head is None:
        return values
    head: NDArray[Any] = values[state.shown_head * len(values) // call.heads]
    return head


def _matrix_drawing(
    state: ExplorerState,
    name: str,
    cells: Cells,
    colours: Colours,
    *,
    exact: Cells | None = None,
) -> Drawing:
    """Draw the cells that `cells` makes of some rows, pooled; no more rows are held at a time.

    Where colours are relative to the row, the tooltip shows the `exact` weights.
    """
    query_len, key_len = state.call.query_len, state.call.key_len
    rows, y = _window(state, query_len, 2)
    columns, x = _window(state, key_len, 0)
    height, width = (-(-(side.stop - side.start) // PICTURE_CELLS) for side in (rows, columns))
    known = state.selection.pictures.get(name) if state.viewport is None and exact is None else None
    images: list[list[NDArray[np.floating]]] = [[] if known is None else [known], []]
    blocks = state.selection.blocks(range(rows.start, rows.stop), height) if known is None else ()
    for _, block in blocks:
        for image, made in zip(images, (cells, exact), strict=True):
            if made is not None:
                image.append(pool_by(made(block)[:, columns], height, width))
    data = image_columns(np.concatenate(images[0]).astype(np.float32), x, y)
    if exact is not None:
        data["exact"] = [np.concatenate(images[1]).astype(np.float32)]
    return Drawing(
        {name: data},
        x=(-0.5, key_len - 0.5),
        y=_downwards(query_len),
        colours=colours,
        x_labels=labels(state.key_tokens),
        y_labels=labels(state.query_tokens),
        outline=row_outline(state),
        theme=theme(state.dark),
        masked=True,
    )


def labels(tokens: Sequence[str]) -> list[str]:
    """Return the tokens as tick labels, cut to fit beside a plot."""
    return [shorten(token) for token in tokens]


def _downwards(length: int) -> Span:
    return (length - 0.5, -0.5)


def row_outline(state: ExplorerState) -> Outline:
    """Return the selected query's row, across the whole plot."""
    return (None, None, state.query_index - 0.5, state.query_index + 0.5)


def _symmetric(values: NDArray[Any], state: ExplorerState) -> Colours:
    """Return a colour scale centred at 0, so that signs are visible."""
    # Captures encode "hidden, but finite" as a bias of -1e30; no score of a model is that large.
    known = (values > -HIDDEN) & (values < HIDDEN)  # and no nan
    most, least = (f(values, where=known, initial=0.0) for f in (np.max, np.min))
    return _up_to(float(max(most, -least)), state)


def _up_to(largest: float, state: ExplorerState) -> Colours:
    """Return a colour scale centred at 0, for numbers up to `largest`."""
    reach = round_up(largest)
    return Colours(-reach, reach, ramp(theme(state.dark).diverging))


def _window(state: ExplorerState, length: int, side: int) -> tuple[slice, Span]:
    """Return the positions in the viewport along one axis, and the edges of the drawn blocks."""
    if state.viewport is None:
        return slice(0, length), (-0.5, _edge(0, length))
    first, last = sorted(state.viewport[side : side + 2])
    start = int(np.clip(np.floor(first + 0.5), 0, length - 1))
    stop = int(np.clip(np.ceil(last + 0.5), start + 1, length))
    return slice(start, stop), (start - 0.5, _edge(start, stop))


def _edge(start: int, stop: int) -> float:
    """Return the far edge of the blocks; all are equally wide, so the last may overhang."""
    width = -(-(stop - start) // PICTURE_CELLS)
    blocks = -(-(stop - start) // width)
    return start + blocks * width - 0.5
