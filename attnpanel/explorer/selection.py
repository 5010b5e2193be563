"""Compute what the explorer shows of a head: scores, weights, output and value colours.

Pure functions of a call and choices, so that they are tested without a page.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.analysis.query_blocks import query_blocks, select_queries
from attnpanel.models.toy import rgb_from_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from attnpanel.attention.masks import VisibleKeys
    from attnpanel.attention.validation import EmptyRows
    from attnpanel.trace import AttentionCall

# Largest number of query rows that an overview tile reads. A row needs all its keys, but a tile of
# a few dozen pixels needs only some rows: 72 heads at T = 2048 then take 0.2 s instead of 4.
OVERVIEW_ROWS = 96
OVERVIEW_TILE = 24
# Larger matrices are computed by blocks of queries: the whole takes five of them at a time beside
# what is kept.
WHOLE_CELLS = 2**22
# Largest number of cells a side that a plot draws, about its number of pixels. A longer sequence is
# max-pooled until the reader zooms in, then drawn cell by cell.
PICTURE_CELLS = 512
# Scores beyond it encode "hidden, but finite"; no score of a model is that large.
HIDDEN = 1e29


class ColumnPeaks:
    """The largest weight and score of each key over all queries, and which keys any query sees.

    Parameters
    ----------
    key_len : int
    """

    def __init__(self, key_len: int) -> None:
        self.weights = np.zeros(key_len, np.float32)
        self.scores = np.zeros(key_len, np.float32)  # of the absolute scores
        self.visible = np.zeros(key_len, dtype=bool)

    def add(self, block: Selection) -> None:
        """Take the rows of a block into account."""
        self.visible |= block.visible.any(axis=0)
        np.fmax(self.weights, np.fmax.reduce(block.weights, axis=0, initial=0), out=self.weights)
        if block.scores is not None:
            sizes = np.abs(block.scores)
            sizes[~(sizes < HIDDEN)] = 0  # nan, too
            np.maximum(self.scores, sizes.max(axis=0, initial=0), out=self.scores)


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

    def blocks(
        self, queries: range | None = None, multiple: int = 1
    ) -> Iterator[tuple[range, Selection]]:
        """Yield ranges of queries, each a multiple long but for the last, and their selection."""
        query_len, key_len = self.weights.shape
        taken = range(query_len) if queries is None else queries
        size = max(WHOLE_CELLS // (key_len * multiple), 1) * multiple
        for start in range(taken.start, taken.stop, size):
            part = range(start, min(start + size, taken.stop))
            yield part, self._rows(part)

    def row(self, query: int) -> Selection:
        """Return the selection of one query: arrays of one row."""
        return self._rows(range(query, query + 1))

    def _rows(self, queries: range) -> Selection:
        rows = slice(queries.start, queries.stop)
        return Selection(
            None if self.scores is None else self.scores[rows],
            self.weights[rows],
            None if self.output is None else self.output[rows],
            self.visible[rows],
            self.empty[rows],
        )

    @cached_property
    def peaks(self) -> ColumnPeaks:
        """The largest weight and score of each key."""
        peaks = ColumnPeaks(self.weights.shape[1])
        for _, block in self.blocks():
            peaks.add(block)
        return peaks

    @property
    def has_scores(self) -> bool:
        """Whether there are scores, and not recorded weights only."""
        return self.scores is not None

    @property
    def pictures(self) -> dict[str, NDArray[np.floating]]:
        """Pooled pictures of the whole matrix that are known already, by name: none."""
        return {}


def shown_scores(block: Selection) -> NDArray[np.floating]:
    """Return the scores as they are drawn: nan where masked or unknown."""
    if block.scores is None:
        return np.full(block.weights.shape, np.nan, dtype=np.float32)
    return np.where(block.visible & np.isfinite(block.scores), block.scores, np.nan)


def shown_weights(block: Selection, *, filled: bool) -> NDArray[np.floating]:
    """Return the weights as they are drawn: nan where masked, unless empty rows are `filled`."""
    shown = block.visible | (block.empty & filled)[:, None]
    return np.where(shown, block.weights, np.nan)


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
        From 0; None averages scores, weights and outputs over the heads.
    batch : int
        From 0.
    mask : bool array of shape (T, S), or None
        Used instead of the call's own mask; None keeps the call's own.
    temperature : float
        Divides the scores inside the softmax; positive, dimensionless.
    empty_rows : {"zero", "uniform", "nan"}
        Weights of a query that may see no key.

    Recorded weights are returned unchanged: mask, temperature and policy do not apply to them.

    Returns
    -------
    Selection
    """
    choices: dict[str, Any] = {"temperature": temperature, "empty_rows": empty_rows}
    if call.query_len * call.key_len <= WHOLE_CELLS:
        return select_rows(call, head, batch, mask=mask, **choices)
    return _select_by_blocks(call, head, batch, mask=mask, **choices)


def _select_by_blocks(
    call: AttentionCall,
    head: int | None,
    batch: int,
    *,
    mask: NDArray[np.bool_] | None,
    **choices: Any,
) -> Selection:
    """Compute a selection block by block: its own arrays are all the memory it takes."""
    arrays: dict[str, NDArray[Any]] = {}
    for queries, part in query_blocks(call):
        rows = None if mask is None else mask[queries]
        block = select_rows(part, head, batch, mask=rows, **choices)
        for field in fields(Selection):
            computed = getattr(block, field.name)
            if computed is None:
                continue
            if field.name not in arrays:
                arrays[field.name] = np.empty((call.query_len, *computed.shape[1:]), computed.dtype)
            arrays[field.name][queries] = computed
    return Selection(**{field.name: arrays.get(field.name) for field in fields(Selection)})  # type: ignore[arg-type]  # those of the blocks


def select_rows(
    call: AttentionCall,
    head: int | None,
    batch: int,
    *,
    mask: NDArray[np.bool_] | None,
    temperature: float,
    empty_rows: EmptyRows,
) -> Selection:
    """Compute a selection at once; as :func:`select`, for few rows."""
    heads = range(call.heads) if head is None else (head,)
    scores, weights, output = None, None, None
    # A pair is masked in the mean only if every head masks it.
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
            # A bias of -inf hides a key under any mask.
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
    if total is None:
        return part.astype(np.float32)
    with np.errstate(over="ignore"):  # of a bias that hides by the lowest number: then -inf
        np.add(total, part, out=total)
    return total


def value_colours(
    call: AttentionCall, head: int | None, batch: int, *, seed: int
) -> NDArray[np.float64] | None:
    """Return the RGB colour of each key (S, 3) in 0..1, from its values; None without values.

    All heads share one scale; with `head` None the colours are averaged over the heads.
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
    mask: NDArray[np.bool_] | VisibleKeys | None,
    temperature: float,
    empty_rows: EmptyRows,
) -> NDArray[np.float32]:
    """Return one head's weights as a small image, at most 24 by 24, max-pooled.

    Of a long sequence at most 96 queries are computed, evenly spread; every key is read.
    """
    rows = np.unique(np.linspace(0, call.query_len - 1, OVERVIEW_ROWS).round().astype(int))
    part = replace(select_queries(call, rows), value=None)
    if not part.live:
        return pool(np.nan_to_num(part.weights(head, batch)), OVERVIEW_TILE, OVERVIEW_TILE)
    step = part.attention(
        head,
        batch,
        mask="model" if mask is None else _mask_rows(mask, rows),
        temperature=temperature,
        empty_rows=empty_rows,
    )
    return pool(np.nan_to_num(step.weights), OVERVIEW_TILE, OVERVIEW_TILE)


def _mask_rows(mask: NDArray[np.bool_] | VisibleKeys, rows: NDArray[Any]) -> NDArray[np.bool_]:
    if isinstance(mask, np.ndarray):
        chosen: NDArray[np.bool_] = mask[rows]
        return chosen
    seen = mask.sees(rows[:, None], np.arange(mask.key_len))
    return np.broadcast_to(seen, (len(rows), mask.key_len))


def pool(matrix: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """Shrink to at most `rows` by `columns`, keeping the largest value of each block.

    The largest, not the mean, because single large weights matter in attention. Blocks are equally
    wide except the last one of each axis; NaN counts as the smallest value.
    """
    return pool_by(matrix, -(-matrix.shape[0] // rows), -(-matrix.shape[1] // columns))


def pool_by(matrix: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Keep the largest value of each block of `height` rows by `width` columns; as :func:`pool`."""
    for axis, size in ((0, height), (1, width)):
        if size > 1:
            starts = np.arange(0, matrix.shape[axis], size)
            matrix = np.fmax.reduceat(matrix, starts, axis=axis)
    return matrix
