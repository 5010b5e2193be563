"""What is computed for the head on screen: scores, weights, output and value colours.

Plain functions of a call and the choices made for it, so that they are tested without a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.attention import attend
from attnpanel.sources.toy import rgb_from_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.rules import EmptyRows
    from attnpanel.trace import AttentionCall

# The overview reads at most this many query rows a head. A softmax row needs all its keys, but
# a tile of a few dozen pixels needs only some rows: 72 heads at T = 2048 then cost 0.2 s, not 4.
OVERVIEW_ROWS = 96
OVERVIEW_TILE = 24


@dataclass(frozen=True, eq=False)
class Selection:
    """One head, or the mean over heads, of one sequence of one call.

    Attributes
    ----------
    scores : float32 array of shape (T, S), or None
        Before mask and temperature; None where only weights were recorded.
    weights : float32 array of shape (T, S)
    output : float32 array of shape (T, Dv), or None
        None where no values were kept.
    visible : bool array of shape (T, S)
        True where the query may attend to the key.
    empty : bool array of shape (T,)
        True for a query that may see no key.
    """

    scores: NDArray[np.float32] | None
    weights: NDArray[np.float32]
    output: NDArray[np.float32] | None
    visible: NDArray[np.bool_]
    empty: NDArray[np.bool_]


def select(
    call: AttentionCall,
    head: int | None,
    batch: int,
    *,
    mask: NDArray[np.bool_] | None,
    temperature: float,
    empty_rows: EmptyRows,
) -> Selection:
    """Compute one head, or with `head` None the mean over all heads.

    Parameters
    ----------
    call : AttentionCall
    head : int or None
        From 0; None averages scores, weights and outputs over the heads, as the notebook does.
    batch : int
        From 0.
    mask : bool array of shape (T, S), or None
        Used instead of the call's own mask; None keeps the call's own.
    temperature : float
        Divides the scores inside the softmax; positive, dimensionless.
    empty_rows : {"zero", "uniform", "nan"}
        Weights of a query that may see no key.

    Where only weights were recorded they are shown as they are: no mask, temperature or policy
    applies to them.

    Returns
    -------
    Selection
    """
    heads = range(call.heads) if head is None else (head,)
    scores, weights, output = None, None, None
    # A pair is masked in the mean only where every head masks it.
    visible = np.zeros((call.query_len, call.key_len), dtype=bool)
    for index in heads:
        if call.live:
            step = call.attention(
                index,
                batch,
                mask="model" if mask is None else mask,
                temperature=temperature,
                empty_rows=empty_rows,
            )
            scores = _add(scores, step.scores)
            output = _add(output, step.output)
            weights = _add(weights, step.weights)
            seen = call.visible(index, batch) if mask is None else mask
            # A bias of -inf hides a key whatever the mask.
            visible |= seen if call.bias is None else seen & ~np.isneginf(step.scores)
        else:
            recorded = call.weights(index, batch)
            weights = _add(weights, recorded)
            visible |= recorded != 0
    assert weights is not None  # noqa: S101 - a call has at least one head
    for total in (scores, weights, output):
        if total is not None:
            np.divide(total, len(heads), out=total)
    return Selection(scores, weights, output, visible, np.asarray(~visible.any(axis=-1)))


def _add(
    total: NDArray[np.float32] | None, part: NDArray[Any] | None
) -> NDArray[np.float32] | None:
    if part is None:
        return total
    return part.astype(np.float32) if total is None else np.add(total, part, out=total)


def value_colours(
    call: AttentionCall, head: int | None, batch: int, *, seed: int
) -> NDArray[np.float64] | None:
    """Return the paint of each key (S, 3) in 0..1, made from its values, or None without values.

    The colours of all heads share one scale, as in the notebook; with `head` None they are
    averaged over the heads.
    """
    if call.value is None:
        return None
    colours = rgb_from_values(call.value[batch].astype(np.float64), seed)  # (Hkv, S, 3)
    if head is None:
        return np.asarray(colours.mean(axis=0))
    return np.asarray(colours[head * len(colours) // call.heads])


def overview_tile(
    call: AttentionCall,
    head: int,
    batch: int,
    *,
    mask: NDArray[np.bool_] | None,
    temperature: float,
    empty_rows: EmptyRows,
) -> NDArray[np.float32]:
    """One head's weights as a small picture, at most 24 by 24: the largest weight of each block.

    Of a long sequence at most 96 queries are computed, evenly spread; every key is read.
    """
    rows = np.unique(np.linspace(0, call.query_len - 1, OVERVIEW_ROWS).round().astype(int))
    if call.query is None or call.key is None:
        weights = call.weights(head, batch)[rows]
    else:
        shared = head // (call.heads // call.kv_heads)
        shape = (call.batch, call.heads, call.query_len, call.key_len)
        bias = None if call.bias is None else np.broadcast_to(call.bias, shape)[batch, head, rows]
        weights = attend(
            call.query[batch, head, rows].astype(np.float32),
            call.key[batch, shared].astype(np.float32),
            None,
            mask=(call.visible(head, batch) if mask is None else mask)[rows],
            bias=None if bias is None else bias.astype(np.float32),
            scale=call.scale,
            soft_cap=call.soft_cap,
            sinks=None if call.sinks is None else call.sinks[head],
            temperature=temperature,
            empty_rows=empty_rows,
        ).weights
    return pool(np.nan_to_num(weights), OVERVIEW_TILE, OVERVIEW_TILE)


def pool(matrix: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """Shrink to at most `rows` by `columns`, keeping the largest value of each block.

    The largest, not the mean: a single bright cell is what one looks for in attention. Blocks
    are equally wide but for the last one of each axis, nan counts as the smallest value.
    """
    for axis, most in ((0, rows), (1, columns)):
        width = -(-matrix.shape[axis] // most)
        if width > 1:
            starts = np.arange(0, matrix.shape[axis], width)
            matrix = np.fmax.reduceat(matrix, starts, axis=axis)
    return matrix
