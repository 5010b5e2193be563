"""What the pictures must show, computed by attend(), make_mask() and rgb_from_values()."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attnpanel import attend, make_mask, rgb_from_values
from attnpanel.trace import AttentionCall


@dataclass(frozen=True, eq=False)
class Reckoned:
    """One head, or the mean over heads, as the three heatmaps show it: nan is a masked cell."""

    scores: np.ndarray
    weights: np.ndarray
    output: np.ndarray
    shown_weights: np.ndarray
    visible: np.ndarray


def reckon(
    call: AttentionCall,
    head: int | None = 0,
    *,
    batch: int = 0,
    mask: np.ndarray | None = None,
    temperature: float = 1.0,
    empty_rows: str = "zero",
) -> Reckoned:
    """Compute a call's attention; `head` None is the mean over heads, `mask` None masks nothing."""
    shape = (call.query_len, call.key_len)
    visible = np.ones(shape, dtype=bool) if mask is None else mask
    group = call.heads // call.kv_heads
    each = [
        attend(
            call.query[batch, one],
            call.key[batch, one // group],
            call.value[batch, one // group],
            mask=visible,
            scale=call.scale,
            temperature=temperature,
            empty_rows=empty_rows,
        )
        for one in (range(call.heads) if head is None else [head])
    ]
    scores, weights, output = (
        np.mean([getattr(one, name) for one in each], axis=0)
        for name in ("scores", "weights", "output")
    )
    filled = ~visible.any(axis=1) & (empty_rows != "zero")
    shown = np.where(visible | filled[:, None], weights, np.nan)
    return Reckoned(np.where(visible, scores, np.nan), weights, output, shown, visible)


def mask_of(call: AttentionCall, kind: str, **options: object) -> np.ndarray:
    """Return a mask at the call's lengths."""
    return make_mask(kind, call.query_len, call.key_len, **options)


def paints(call: AttentionCall, head: int | None, *, batch: int = 0, seed: int = 0) -> np.ndarray:
    """Return the colour (S, 3) of each key's value, 0 to 1."""
    colours = rgb_from_values(call.value[batch], seed)
    if head is None:
        return colours.mean(axis=0)
    return colours[head // (call.heads // call.kv_heads)]


def hexadecimal(colour: np.ndarray) -> str:
    """Return a colour as #rrggbb."""
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in colour)
