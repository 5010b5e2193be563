"""Paint mixing: each token's value is a colour, and the row's weights mix them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from attnpanel.explorer.views.drawing import Drawing, shorten
from attnpanel.explorer.views.row import row_end, weight_ticks
from attnpanel.ui.theme import hex_colour, theme

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.explorer.state import ExplorerState

MAX_SWATCHES = 20
ROW_PIXELS, AXIS_PIXELS = 17, 16
# Columns of the picture, in units of its width.
SWATCH, NAME, BAR, WEIGHT = (0.0, 0.1), 0.13, (0.47, 0.82), 1.0


def swatches_drawing(state: ExplorerState) -> Drawing:
    """A swatch, name, bar and weight per token, and below them the colour they mix to.

    Beyond 20 tokens the heaviest 19 are shown in order, and the rest as one weighted mean.
    """
    palette = theme(state.dark)
    row = state.selection.row(state.query_index).weights[0].astype(float)
    paints = state.colours
    if paints is None:
        paints = np.full((len(row), 3), np.nan)
    names, weights, colours, keys = _shown(state.key_tokens, row, paints)
    count = len(names)
    at = np.arange(count, dtype=float)
    painted = [hex_colour(paint) for paint in colours]
    heights = np.nan_to_num(weights)
    begin, end = BAR
    most = row_end(state, float(heights.max()))
    mixed = (
        np.nan_to_num(row, nan=np.nan) @ paints if np.isfinite(row).all() else np.full(3, np.nan)
    )
    # Without weights there is no mixed colour; black would look like one.
    nothing = not row.any()
    mixed_hex = palette.masked if nothing else hex_colour(mixed)
    token = shorten(state.query_tokens[state.query_index], 18)
    if nothing:
        text = f"“{token}” becomes nothing"
    else:
        text = f"what “{token}” becomes" + ("" if np.isfinite(mixed).all() else " is unknown")
    return Drawing(
        {
            "attn:swatches": {
                "left": np.full(count, SWATCH[0]),
                "bottom": at - 0.36,
                "right": np.full(count, SWATCH[1]),
                "top": at + 0.36,
                "color": painted,
                "token": names,
                "weight": weights,
                "key_index": keys,
            },
            "attn:swatches:tracks": {
                "left": np.full(count, begin),
                "bottom": at - 0.1,
                "right": np.full(count, end),
                "top": at + 0.1,
                "color": [palette.line] * count,
            },
            "attn:swatches:bars": {
                "left": np.full(count, begin),
                "bottom": at - 0.1,
                "right": begin + heights * (end - begin) / most,
                "top": at + 0.1,
                "color": painted if state.colours is not None else [palette.bar] * count,
            },
            "attn:swatches:names": {
                "x": np.full(count, NAME),
                "y": at,
                "text": [shorten(name, 12) for name in names],
                "color": [palette.ink] * count,
            },
            "attn:swatches:weights": {
                "x": np.full(count, WEIGHT),
                "y": at,
                "text": [f"{weight:.3f}" for weight in weights],
                "color": [palette.muted] * count,
            },
            "attn:mixed": {
                "left": np.array([0.0]),
                "bottom": np.array([count - 0.1]),
                "right": np.array([1.0]),
                "top": np.array([count + 1.3]),
                "color": [mixed_hex],
                "red": mixed[:1],
                "green": mixed[1:2],
                "blue": mixed[2:],
            },
            "attn:mixed:name": {
                "x": np.array([0.5]),
                "y": np.array([count + 0.6]),
                "text": [text],
                "color": [readable_on(mixed_hex)],
            },
        },
        x=(0.0, 1.0),
        y=(count + 1.4, -0.6),
        x_ticks=weight_ticks(begin, end, most),
        theme=palette,
        height=AXIS_PIXELS + ROW_PIXELS * (count + 2),
    )


@lru_cache(maxsize=4096)
def readable_on(colour: str) -> str:
    """Return black or white, whichever contrasts more with a hex colour (WCAG 2 luminance)."""
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    # Contrast with white is 1.05 / (L + 0.05), with black (L + 0.05) / 0.05: equal at 0.179.
    return "#ffffff" if luminance < 0.179 else "#000000"


def _shown(
    tokens: tuple[str, ...], row: NDArray[np.float64], paints: NDArray[np.float64]
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    if len(tokens) <= MAX_SWATCHES:
        return list(tokens), row, paints, np.arange(len(tokens), dtype=np.int32)
    known = np.nan_to_num(row)
    keep = np.sort(np.argsort(-known, kind="stable")[: MAX_SWATCHES - 1])
    rest = np.setdiff1d(np.arange(len(tokens)), keep)
    share = known[rest].sum()
    blend = known[rest] @ paints[rest] / share if share > 0 else paints[rest].mean(axis=0)
    return (
        [*(tokens[key] for key in keep), f"{len(rest)} others"],
        np.append(row[keep], share),
        np.vstack([paints[keep], blend]),
        np.append(keep, -1).astype(np.int32),
    )
