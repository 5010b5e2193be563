"""The metrics of every head as one table, computed by blocks of queries."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from attnpanel.analysis.query_blocks import query_blocks
from attnpanel.analysis.row_metrics import Positions, RowMetrics, token_ids
from attnpanel.attention.blas import one_blas_thread
from attnpanel.attention.progress import progress_bar
from attnpanel.trace.indices import one_index

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from attnpanel.attention.progress import Progress
    from attnpanel.trace import Trace
    from attnpanel.trace.call import AttentionCall

# Columns in order: names in RowMetrics, and the value if no query counts.
NUMBERS: tuple[tuple[str, float], ...] = (
    ("entropy", 0.0),
    ("effective_keys", 0.0),
    ("mean_distance", 0.0),
    ("previous_token", 0.0),
    ("diagonal", 0.0),
    ("first_key", 0.0),
    ("induction", np.nan),
)
# Metrics of positions, which are not defined for cross-attention.
POSITIONAL = {"mean_distance", "previous_token", "diagonal", "induction"}


# Threads, one a head, pay from so many cells (head, query, key).
ONE_THREAD_CELLS = 2**24


def analyze(trace: Trace, batch: int = 0, *, progress: Progress | None = None) -> pd.DataFrame:
    """Compute the metrics of every head, one row a head.

    Parameters
    ----------
    trace : Trace
    batch : int, optional
        The sequence.
    progress : callable, optional
        Called with the fraction done, 0 to 1, and a message; by default a bar in a terminal or
        notebook, where it takes more than a second.

    Returns
    -------
    DataFrame
        Indexed by ``layer`` and ``head`` as the trace numbers them. ``name`` is the layer's name;
        then comes one column for each metric of :data:`NUMBERS`: ``entropy`` in nats,
        ``effective_keys`` in keys, ``mean_distance`` in tokens, the others weights from 0 to 1. nan
        where a metric is not defined: positions in cross-attention, induction if no token repeats.
        The last column is ``importance``, if :func:`attnpanel.head_importance` has measured it.
    """
    import pandas as pd

    batch = one_index("batch", batch, max((call.batch for call in trace.calls), default=1))
    rows = []
    names = [name for name, _ in NUMBERS]
    measured = trace.head_importance
    if measured is not None:
        names.append("importance")
    on_progress = progress or progress_bar("Reading the heads")
    told = scaled_by_cells(trace, on_progress)
    for index, (number, call) in enumerate(zip(trace.layer_numbers, trace.calls, strict=True)):
        metrics = numbers_of_heads(
            call, trace.tokens_of(call, batch)[1], batch, on_queries=told[index]
        )
        if measured is not None:
            metrics["importance"] = measured[index].astype(np.float64)
        for position, head in enumerate(trace.head_numbers(call)):
            values = {name: metric[position] for name, metric in metrics.items()}
            rows.append({"layer": number, "head": head, "name": call.layer, **values})
    on_progress(1.0, "Done")
    columns = ["layer", "head", "name", *names]
    return pd.DataFrame(rows, columns=columns).set_index(["layer", "head"])


def scaled_by_cells(trace: Trace, progress: Progress) -> list[Callable[[int], None]]:
    """Return for each call a function that tells how many of its queries were read.

    The whole is the cells of all calls, heads × queries × keys.
    """
    cells = [call.heads * call.query_len * call.key_len for call in trace.calls]

    def tell(index: int, queries: int) -> None:
        call = trace.calls[index]
        done = sum(cells[:index]) + call.heads * queries * call.key_len
        progress(done / sum(cells), f"layer {trace.layer_numbers[index]}")

    return [partial(tell, index) for index in range(len(cells))]


def numbers_of_heads(
    call: AttentionCall,
    tokens: Sequence[str],
    batch: int = 0,
    *,
    on_queries: Callable[[int], None] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Compute the metrics of all heads of one call.

    Parameters
    ----------
    call : AttentionCall
    tokens : sequence of S str
        The keys' tokens.
    batch : int, optional
    on_queries : callable, optional
        Called with the number of queries done, after each block of them.

    Returns
    -------
    dict of str to float64 array of shape (H,)
        By the names of :data:`NUMBERS`; nan where a metric is not defined.
    """
    defined = [name for name, _ in NUMBERS if call.kind == "self" or name not in POSITIONAL]
    sums, counts = np.zeros((2, len(defined), call.heads))
    ids = token_ids(tokens)
    cells = call.heads * call.query_len * call.key_len
    limit = one_blas_thread() if cells > ONE_THREAD_CELLS else None
    workers = 1 if limit is None else min(os.cpu_count() or 1, call.heads)
    with limit or nullcontext(), ThreadPoolExecutor(workers, "attnpanel-heads") as pool:
        for queries, part in query_blocks(call):
            positions = Positions(queries + call.q_offset, call.key_len, ids)
            positions.prepare()  # once, not in each thread

            def read(
                head: int, part: AttentionCall = part, positions: Positions = positions
            ) -> None:
                weights = part.weights(head, batch)
                # A recorded row of nan counts as empty, so that it does not make the mean nan.
                rows = RowMetrics(weights if part.live else np.nan_to_num(weights), positions)
                for index, name in enumerate(defined):
                    values = getattr(rows, name)
                    valid = ~np.isnan(values)
                    sums[index, head] += values.sum(where=valid)
                    counts[index, head] += valid.sum()

            for _ in (map if workers == 1 else pool.map)(read, range(call.heads)):
                pass
            if on_queries is not None:
                on_queries(int(queries[-1]) + 1)
    metrics = {name: np.full(call.heads, np.nan) for name, _ in NUMBERS}
    for name, total, count in zip(defined, sums, counts, strict=True):
        missing = dict(NUMBERS)[name]
        # abs turns an entropy of -0.0 into 0.0.
        metrics[name] = np.where(count > 0, np.abs(total) / np.maximum(count, 1), missing)
    return metrics
