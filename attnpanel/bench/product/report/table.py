"""Format a run of `python -m bench report` as Markdown."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from attnpanel.bench.product.tables import environment_lines, markdown, milliseconds, spread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attnpanel.bench.product.report.results import Change, ReportRun, Row

NONE = "–"
VALUES = {True: "yes", False: "no", None: NONE}
FILES = (
    "tool",
    "trace",
    "values",
    "file MB",
    "export CPU s",
    "+ peak MB",
    "drawn CPU s",
    "drawn s",
    "at rest CPU s",
    "elements",
    "nodes",
    "page MB",
    "a head ms",
    "errors",
    "requests",
)
CHANGES = (
    "trace",
    "values",
    "change",
    "paint p50",
    "p95",
    "min",
    "max",
    "longest gap",
    "n",
    "lost",
    "pixels",
)
FILES_CAPTION = (
    "Medians; CPU of the export alone, and of the page's renderer process until the first picture "
    "and until it rests; peak memory above a process that does all but export; page MB: the "
    "renderer's resident memory; a head: until another head is on screen. MB are 1,000,000 bytes."
)
CHANGES_CAPTION = (
    "Milliseconds from the key press to the new picture on screen, and the longest time without "
    "an animation frame of any press. Heads and their mean are shown for the first time in their "
    "page. Lost: presses that showed nothing. Pixels: seen to have changed by then."
)


def report_table(run: ReportRun) -> str:
    """Return the tables of a run: files, changes, failures and environment."""
    parts = [markdown(FILES, map(_file_cells, run.rows)), FILES_CAPTION]
    changes = [_change_cells(row, change) for row in run.rows for change in row.changes]
    if changes:
        parts += [markdown(CHANGES, changes), CHANGES_CAPTION]
    failed = [
        f"- {' '.join(filter(None, (row.tool, row.trace)))}: {row.status}"
        for row in run.rows
        if row.status != "ok"
    ]
    if failed:
        parts.append("\n".join(failed))
    if run.peers:
        named = ", ".join(f"{name} {version}" for name, version in run.peers.items())
        parts.append(f"Peers: {named}.")
    return "\n\n".join([*parts, environment_lines(run.environment)])


def _file_cells(row: Row) -> list[str]:
    export, openings = row.export, row.openings
    peaks = None if export is None else export.extra_peak_bytes
    return [
        row.tool,
        row.trace or NONE,
        VALUES[row.values],
        NONE if export is None else f"{export.file_bytes / 1e6:.2f}",
        _middle(() if export is None else export.cpu_s),
        _middle(peaks or (), digits=0, unit=1e6),
        _middle(opening.drawn_cpu_s for opening in openings),
        _middle(opening.drawn_s for opening in openings),
        _middle(opening.rest_cpu_s for opening in openings),
        _middle((opening.elements for opening in openings), digits=0),
        _middle((opening.nodes for opening in openings), digits=0),
        _middle((opening.renderer_bytes for opening in openings), digits=0, unit=1e6),
        _head(row),
        _most(len(opening.errors) for opening in openings),
        _most(len(opening.requests) for opening in openings),
    ]


def _head(row: Row) -> str:
    for change in row.changes:
        if change.interaction.control == "head":
            return milliseconds(spread(change.interaction.paint_s).p50)
    return NONE if row.head_s is None else milliseconds(row.head_s)


def _change_cells(row: Row, change: Change) -> list[str]:
    interaction = change.interaction
    paint = spread(interaction.paint_s)
    times = [paint.p50, paint.p95, paint.minimum, paint.maximum, max(change.longest_gap_s)]
    pixels = "yes" if interaction.pixels_changed else "NO"
    head = [row.trace, VALUES[row.values], interaction.control]
    return [*head, *map(milliseconds, times), str(paint.count), str(interaction.lost), pixels]


def _middle(numbers: Iterable[float | None], *, digits: int = 2, unit: float = 1.0) -> str:
    known = [number / unit for number in numbers if number is not None]
    return f"{median(known):,.{digits}f}" if known else NONE


def _most(counts: Iterable[int]) -> str:
    known = list(counts)
    return str(max(known)) if known else NONE
