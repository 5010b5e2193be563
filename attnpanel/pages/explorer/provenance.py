"""Where a report's numbers come from, in sentences."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from attnpanel.trace.subset import spans

if TYPE_CHECKING:
    from attnpanel.explorer.wire_format import Payload
    from attnpanel.trace import Trace


def provenance(trace: Trace, payload: Payload) -> list[str]:
    """Return sentences on where the report's numbers come from and what was left out."""
    calls = payload.meta["calls"]
    lines = [
        f"Source: {trace.source or 'unknown'} · model: {trace.model or 'none'}"
        f" · traced {trace.created} · attnpanel {version('attnpanel')}",
    ]
    stored = sorted({call["dtype"] for call in calls})
    live = [call["live"] for call in calls]
    line = f"Stored as {', '.join(stored)}; attention is " + (
        "computed in this page from queries and keys."
        if any(live)
        else "shown as it was recorded: scores, mix, another temperature or mask need queries, "
        "keys and values."
    )
    if any(call["hasColours"] and not call["hasValue"] for call in calls):
        line += " Values were left out to keep the file small: no mix, and one paint seed."
    if any(live) and not all(live):
        line += " Some layers hold recorded weights only: mask and temperature can't be live there."
    if trace.coverage is not None and not trace.coverage.complete:
        lines.append(f"Captured: {trace.coverage}.")
    return [*lines, line, *_left_out(trace)]


def _left_out(trace: Trace) -> list[str]:
    """Return a sentence on the layers and heads that are not in the file, if any."""
    if trace.subset is None:
        return []
    parts = [
        f"{name} {spans(sorted(set(range(count)) - set(kept)))} of {count}"
        for name, kept, count in (
            ("layers", trace.subset.layers, trace.subset.layer_count),
            ("heads", trace.subset.heads, trace.subset.head_count),
        )
        if kept is not None and len(kept) < count
    ]
    if not parts:
        return []
    return [f"Left out, as the one who made this report chose: {'; '.join(parts)}."]
