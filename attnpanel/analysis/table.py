"""Every number of every head, as one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.analysis.head_numbers import (
    diagonal,
    effective_keys,
    entropy,
    first_key,
    induction,
    mean_distance,
    previous_token,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import NDArray

    from attnpanel.attention_call import AttentionCall
    from attnpanel.trace import Trace


def _placed(
    call: AttentionCall, number: Callable[[NDArray[Any], int], float], weights: NDArray[Any]
) -> float:
    return number(weights, call.q_offset) if call.kind == "self" else np.nan


def _induction(weights: NDArray[Any], call: AttentionCall, tokens: tuple[str, ...]) -> float:
    return induction(weights, tokens, call.q_offset) if call.kind == "self" else np.nan


# Columns in order: from a head's weights, its call and the keys' tokens. What speaks of positions
# has no meaning between two sequences.
NUMBERS: tuple[tuple[str, Callable[[NDArray[Any], AttentionCall, tuple[str, ...]], float]], ...] = (
    ("entropy", lambda weights, _call, _tokens: entropy(weights)),
    ("effective_keys", lambda weights, _call, _tokens: effective_keys(weights)),
    ("mean_distance", lambda weights, call, _tokens: _placed(call, mean_distance, weights)),
    ("previous_token", lambda weights, call, _tokens: _placed(call, previous_token, weights)),
    ("diagonal", lambda weights, call, _tokens: _placed(call, diagonal, weights)),
    ("first_key", lambda weights, _call, _tokens: first_key(weights)),
    ("induction", _induction),
)


def analyze(trace: Trace, batch: int = 0) -> pd.DataFrame:
    """Every head's numbers: one row a head, computed one head at a time.

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
        no meaning: positions in cross-attention, induction where no token repeats.
    """
    import pandas as pd

    rows = []
    for number, call in zip(trace.layer_numbers, trace.calls, strict=True):
        _, tokens = trace.tokens_of(call, batch)
        for head, shown in enumerate(trace.head_numbers(call)):
            # A row that the model left undefined says nothing, and spoils no mean.
            weights = np.nan_to_num(call.weights(head, batch))
            made = {name: compute(weights, call, tokens) for name, compute in NUMBERS}
            rows.append({"layer": number, "head": shown, "name": call.layer, **made})
    columns = ["layer", "head", "name", *(name for name, _ in NUMBERS)]
    return pd.DataFrame(rows, columns=columns).set_index(["layer", "head"])
