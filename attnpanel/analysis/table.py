"""Every number of every head, as one table; computed a block of queries at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.analysis.queries import query_blocks
from attnpanel.analysis.rows import Positions, Rows, number_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from attnpanel.attention_call import AttentionCall
    from attnpanel.trace import Trace

# Columns in order: numbers of Rows, and what they have where no query counts.
NUMBERS: tuple[tuple[str, float], ...] = (
    ("entropy", 0.0),
    ("effective_keys", 0.0),
    ("mean_distance", 0.0),
    ("previous_token", 0.0),
    ("diagonal", 0.0),
    ("first_key", 0.0),
    ("induction", np.nan),
)
# These speak of positions, which have no meaning between two sequences.
PLACED = {"mean_distance", "previous_token", "diagonal", "induction"}


def analyze(trace: Trace, batch: int = 0) -> pd.DataFrame:
    """Every head's numbers: one row a head.

    Parameters
    ----------
    trace : Trace
    batch : int, optional
        The sequence.

    Returns
    -------
    DataFrame
        Indexed by ``layer`` and ``head`` as the trace numbers them; ``name`` is the layer's,
        then one column a number of :data:`NUMBERS`: ``entropy`` in nats, ``effective_keys`` in
        keys, ``mean_distance`` in tokens, the others weights from 0 to 1. nan where a number has
        no meaning: positions in cross-attention, induction where no token repeats. Last comes
        ``importance`` where :func:`attnpanel.head_importance` has measured it.
    """
    import pandas as pd

    rows = []
    names = [name for name, _ in NUMBERS]
    measured = trace.head_importance
    if measured is not None:
        names.append("importance")
    for at, (number, call) in enumerate(zip(trace.layer_numbers, trace.calls, strict=True)):
        made = numbers_of_heads(call, trace.tokens_of(call, batch)[1], batch)
        if measured is not None:
            made["importance"] = measured[at].astype(np.float64)
        for place, head in enumerate(trace.head_numbers(call)):
            numbers = {name: values[place] for name, values in made.items()}
            rows.append({"layer": number, "head": head, "name": call.layer, **numbers})
    columns = ["layer", "head", "name", *names]
    return pd.DataFrame(rows, columns=columns).set_index(["layer", "head"])


def numbers_of_heads(
    call: AttentionCall, tokens: Sequence[str], batch: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Every number of the heads of one call.

    Parameters
    ----------
    call : AttentionCall
    tokens : sequence of S str
        The keys' tokens.
    batch : int, optional

    Returns
    -------
    dict of str to float64 array of shape (H,)
        By the names of :data:`NUMBERS`; nan where a number has no meaning.
    """
    counted = [name for name, _ in NUMBERS if call.kind == "self" or name not in PLACED]
    sums, counts = np.zeros((2, len(counted), call.heads))
    names = number_names(tokens)
    for queries, part in query_blocks(call):
        positions = Positions(queries + call.q_offset, call.key_len, names)
        for head in range(call.heads):
            weights = part.weights(head, batch)
            # A row that the model left undefined says nothing, and spoils no mean.
            rows = Rows(weights if part.live else np.nan_to_num(weights), positions)
            for at, name in enumerate(counted):
                made = getattr(rows, name)
                there = ~np.isnan(made)
                sums[at, head] += made.sum(where=there)
                counts[at, head] += there.sum()
    found = {name: np.full(call.heads, np.nan) for name, _ in NUMBERS}
    for name, total, count in zip(counted, sums, counts, strict=True):
        missing = dict(NUMBERS)[name]
        # abs: an entropy of 0 has no sign.
        found[name] = np.where(count > 0, np.abs(total) / np.maximum(count, 1), missing)
    return found
