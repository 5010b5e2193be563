"""A head too large to be held: its rows are computed where they are read, a block at a time."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.analysis.query_blocks import BLOCK_CELLS, select_queries
from attnpanel.attention.blas import one_blas_thread
from attnpanel.explorer.selection import (
    PICTURE_CELLS,
    ColumnPeaks,
    Selection,
    pool_by,
    select_rows,
    shown_scores,
    shown_weights,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from attnpanel.attention.masks import VisibleKeys
    from attnpanel.trace import AttentionCall


class BlockwiseSelection:
    """What a :class:`Selection` holds, without T x S numbers in memory.

    Each reading of all rows computes them again: 2 CPU seconds at T = S = 8192.

    Parameters
    ----------
    call : AttentionCall
    head : int or None
        None averages over the heads.
    batch : int
    rule : VisibleKeys or None
        Used instead of the call's own mask.
    **choices
        ``temperature`` and ``empty_rows``, as for :func:`attnpanel.explorer.selection.select`.
    """

    def __init__(
        self,
        call: AttentionCall,
        head: int | None,
        batch: int,
        *,
        rule: VisibleKeys | None,
        **choices: Any,
    ) -> None:
        self._call, self._head, self._batch = call, head, batch
        self._rule, self._choices = rule, choices

    def blocks(
        self, queries: range | None = None, multiple: int = 1
    ) -> Iterator[tuple[range, Selection]]:
        """Yield ranges of queries, each a multiple long but for the last, and their selection."""
        taken = range(self._call.query_len) if queries is None else queries
        size = max(BLOCK_CELLS // (self._call.key_len * multiple), 1) * multiple
        starts = range(taken.start, taken.stop, size)
        parts = [range(start, min(start + size, taken.stop)) for start in starts]
        limit = one_blas_thread()
        workers = 1 if limit is None else max(min(os.cpu_count() or 1, len(parts)), 1)
        waiting: deque[Any] = deque()
        with limit or nullcontext(), ThreadPoolExecutor(workers, "attnpanel-rows") as pool:
            # No more blocks at a time than threads, and one that is being read.
            for at, part in enumerate(parts):
                while len(waiting) <= workers and at + len(waiting) < len(parts):
                    waiting.append(pool.submit(self._rows, parts[at + len(waiting)]))
                yield part, waiting.popleft().result()

    def row(self, query: int) -> Selection:
        """Return the selection of one query: arrays of one row."""
        return self._rows(range(query, query + 1))

    def _rows(self, queries: range) -> Selection:
        part = select_queries(self._call, np.arange(queries.start, queries.stop))
        mask = None if self._rule is None else self._rule.mask(queries)
        return select_rows(part, self._head, self._batch, mask=mask, **self._choices)

    @cached_property
    def _read(self) -> dict[str, Any]:
        """What one reading of all rows gives that is kept: vectors, output and pooled pictures."""
        peaks = ColumnPeaks(self._call.key_len)
        empty, outputs, scores, weights = [], [], [], []
        sizes = (self._call.query_len, self._call.key_len)
        height, width = (-(-size // PICTURE_CELLS) for size in sizes)
        filled = self._choices["empty_rows"] != "zero" and self._call.sinks is None
        for _, block in self.blocks(multiple=height):
            peaks.add(block)
            scores.append(pool_by(shown_scores(block), height, width))
            weights.append(pool_by(shown_weights(block, filled=filled), height, width))
            empty.append(block.empty)
            if block.output is not None:
                outputs.append(block.output)
        output = np.concatenate(outputs) if outputs else None
        return {
            "peaks": peaks,
            "empty": np.concatenate(empty),
            "output": output,
            "pictures": {
                "attn:scores": np.concatenate(scores),
                "attn:weights": np.concatenate(weights),
            },
        }

    @property
    def pictures(self) -> dict[str, NDArray[np.floating]]:
        """Pooled pictures of the whole matrix by name, of at most PICTURE_CELLS a side."""
        found: dict[str, NDArray[np.floating]] = self._read["pictures"]
        return found

    @property
    def peaks(self) -> ColumnPeaks:
        """The largest weight and score of each key."""
        found: ColumnPeaks = self._read["peaks"]
        return found

    @property
    def output(self) -> NDArray[np.float32] | None:
        """Weights times values, (T, Dv); None where no values were kept."""
        found: NDArray[np.float32] | None = self._read["output"]
        return found

    @property
    def empty(self) -> NDArray[np.bool_]:
        """True for a query that may see no key, (T,)."""
        found: NDArray[np.bool_] = self._read["empty"]
        return found

    @property
    def has_scores(self) -> bool:
        """Whether there are scores, and not recorded weights only."""
        return self._call.live

    @property
    def weights(self) -> NDArray[np.float32]:
        """All weights (T, S), computed at each access, for those who want them whole."""
        return np.concatenate([block.weights for _, block in self.blocks()])

    @property
    def scores(self) -> NDArray[np.float32] | None:
        """All scores (T, S), computed at each access; None where only weights were recorded."""
        if not self.has_scores:
            return None
        return np.concatenate([_given(block.scores) for _, block in self.blocks()])

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Which keys queries may attend to, (T, S), computed at each access."""
        return np.concatenate([block.visible for _, block in self.blocks()])


def _given(array: NDArray[np.float32] | None) -> NDArray[np.float32]:
    assert array is not None  # noqa: S101 - a live call has scores
    return array
