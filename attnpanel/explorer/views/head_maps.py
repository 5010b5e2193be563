"""Metrics of all heads as layers × heads maps: plain data, which the page draws."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnpanel.analysis import numbers_of_heads
from attnpanel.analysis.table import scaled_by_cells
from attnpanel.attention.progress import no_progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attnpanel.attention.progress import Progress
    from attnpanel.trace import Trace

# Significant digits; pages show fewer, and a report contains thousands of numbers.
DIGITS = 5


@dataclass(frozen=True)
class HeadMap:
    """One metric of all heads, and its texts on the page.

    Attributes
    ----------
    name : str
        A column of :func:`attnpanel.analysis.analyze`.
    title, unit : str
        Shown above the map.
    decimals : int
        Number of decimals.
    about : str
        Formula and meaning.
    missing : str
        Reason why a head may lack the metric.
    """

    name: str
    title: str
    unit: str
    decimals: int
    about: str
    missing: str = ""


BETWEEN = "has no meaning between two sequences"
HEAD_MAPS: tuple[HeadMap, ...] = (
    HeadMap(
        "entropy",
        "Entropy",
        "nats",
        2,
        "Mean of −Σ w log w over queries: 0 where each takes from one key (Ghader and Monz, 2017).",
    ),
    HeadMap(
        "effective_keys",
        "Effective keys",
        "keys",
        1,
        "Mean of exp(−Σ w log w) over queries: among how many keys a row is shared (Hill, 1973).",
    ),
    HeadMap(
        "mean_distance",
        "Mean distance",
        "tokens",
        1,
        "Mean of Σ w |i − j| over queries: how far the head looks (Vig and Belinkov, 2019).",
        BETWEEN,
    ),
    HeadMap(
        "previous_token",
        "Previous token",
        "",
        2,
        "Mean weight on the token just before the query (Voita et al., 2019).",
        BETWEEN,
    ),
    HeadMap(
        "diagonal",
        "Diagonal",
        "",
        2,
        "Mean weight of a token on itself (Clark et al., 2019).",
        BETWEEN,
    ),
    HeadMap(
        "first_key",
        "First token (sink)",
        "",
        2,
        "Mean weight on the first key, the attention sink (Xiao et al., 2023).",
    ),
    HeadMap(
        "induction",
        "Induction",
        "",
        2,
        "Mean weight on what followed the same token before (Olsson et al., 2022).",
        "no token repeats",
    ),
)

# Present after attnpanel.head_importance, which needs the model.
IMPORTANCE = HeadMap(
    "importance",
    "Importance",
    "",
    4,
    "How much the output changes without the head: the mean over positions of the cosine distance "
    "of the last state, or of the total variation of the next token's probabilities (Michel, Levy "
    "and Neubig, 2019).",
)


def head_maps(
    trace: Trace, batches: Iterable[int] | None = None, progress: Progress = no_progress
) -> dict[str, Any]:
    """Return every map of a trace as plain data.

    Parameters
    ----------
    trace : Trace
    batches : iterable of int, optional
        Sequences to compute; by default all.
    progress : callable, optional
        Called with the fraction of each sequence that is done, 0 to 1, and a message.

    Returns
    -------
    dict
        ``maps``: the texts of :data:`HEAD_MAPS`, and of importance where that was measured;
        ``layers``: each call's name, its number and those of its heads;
        ``values[batch][map][call][head]``: a number, or None where it has no meaning. The numbers
        are those of :func:`attnpanel.analysis.analyze` to five digits.
    """
    if batches is None:
        batches = range(max(call.batch for call in trace.calls))
    # Read once: another thread may measure importance meanwhile.
    known = _known(trace)
    return {
        "maps": [
            {
                "name": one.name,
                "title": one.title,
                "unit": one.unit,
                "decimals": one.decimals,
                "about": one.about,
                "missing": one.missing,
            }
            for one in known
        ],
        "layers": [
            {"name": call.layer, "number": number, "heads": list(trace.head_numbers(call))}
            for number, call in zip(trace.layer_numbers, trace.calls, strict=True)
        ],
        "values": {str(batch): _values(trace, batch, known, progress) for batch in batches},
    }


def _known(trace: Trace) -> tuple[HeadMap, ...]:
    return HEAD_MAPS if trace.head_importance is None else (*HEAD_MAPS, IMPORTANCE)


def _values(
    trace: Trace, batch: int, known: tuple[HeadMap, ...], progress: Progress
) -> list[list[list[float | None]]]:
    made = []
    told = scaled_by_cells(trace, progress)
    for at, call in enumerate(trace.calls):
        numbers = {}
        if batch < call.batch:
            tokens = trace.tokens_of(call, batch)[1]
            numbers = numbers_of_heads(call, tokens, batch, on_queries=told[at])
            if trace.head_importance is not None:
                numbers["importance"] = trace.head_importance[at].astype(float)
        made.append(numbers)
    return [[[_short(x) for x in call.get(one.name, [])] for call in made] for one in known]


def _short(number: float) -> float | None:
    return float(f"{number:.{DIGITS}g}") if math.isfinite(number) else None
