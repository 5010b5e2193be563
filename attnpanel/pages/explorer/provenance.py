"""Where a report's numbers come from, in sentences."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from attnpanel.trace.subset import spans
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from attnpanel.explorer.wire_format import Payload
    from attnpanel.trace import Trace


def provenance(trace: Trace, payload: Payload) -> list[str]:
    """Return sentences on where the report's numbers come from and what was left out."""
    calls = payload.meta["calls"]
    lines = [
        t(
            "Source: {source} · model: {model} · traced {when} · attnpanel {version}",
            source=trace.source or t("unknown"),
            model=trace.model or "–",
            when=trace.created,
            version=version("attnpanel"),
        ),
    ]
    stored = sorted({call["dtype"] for call in calls})
    live = [call["live"] for call in calls]
    names = {"types": ", ".join(stored)}
    said = [
        t(
            "Stored as {types}; attention is computed in this page from queries and keys.",
            **names,
        )
        if any(live)
        else t(
            "Stored as {types}; attention is shown as it was recorded: scores, mix, another "
            "temperature or mask need queries, keys and values.",
            **names,
        )
    ]
    if any(call["hasColours"] and not call["hasValue"] for call in calls):
        said.append(t("Values were left out to keep the file small: no mix, and one paint seed."))
    if any(live) and not all(live):
        said.append(
            t("Some layers hold recorded weights only: mask and temperature can't be live there.")
        )
    if trace.coverage is not None and not trace.coverage.complete:
        lines.append(t("Captured: {coverage}.", coverage=trace.coverage))
    return [*lines, " ".join(said), *_left_out(trace)]


def _left_out(trace: Trace) -> list[str]:
    """Return a sentence on the layers and heads that are not in the file, if any."""
    if trace.subset is None:
        return []
    parts = [
        f"{name} {spans(sorted(set(range(count)) - set(kept)))} " + t("of {count}", count=count)
        for name, kept, count in (
            (t("layers"), trace.subset.layers, trace.subset.layer_count),
            (t("heads"), trace.subset.heads, trace.subset.head_count),
        )
        if kept is not None and len(kept) < count
    ]
    if not parts:
        return []
    listed = "; ".join(parts)
    return [t("Left out, as the one who made this report chose: {parts}.", parts=listed)]
