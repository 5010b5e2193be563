"""A run of `python -m bench report` as Markdown, for the README and the terminal."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from bench.tables import environment_lines, markdown, milliseconds, spread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.report.results import Change, ReportRun, Row

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
FILES_SAY = (
    "Medians; CPU of the export alone, and of the page's renderer process until the first picture "
    "and until it rests; peak memory above a process that does all but export; page MB: the "
    "renderer's resident memory; a head: until another head is on screen. MB are 1,000,000 bytes."
)
CHANGES_SAY = (
    "Milliseconds from the key press to the new picture on screen, and the longest time without "
    "an animation frame of any press. Heads and their mean are shown for the first time in their "
    "page. Lost: presses that showed nothing. Pixels: seen to have changed by then."
)


def report_table(run: ReportRun) -> str:
    """Return a run as Markdown: the files, the changes, what went wrong, and where it was."""
    parts = [markdown(FILES, map(_file_cells, run.rows)), FILES_SAY]
    changes = [_change_cells(row, change) for row in run.rows for change in row.changes]
    if changes:
        parts += [markdown(CHANGES, changes), CHANGES_SAY]
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
        _middle(one.drawn_cpu_s for one in openings),
        _middle(one.drawn_s for one in openings),
        _middle(one.rest_cpu_s for one in openings),
        _middle((one.elements for one in openings), digits=0),
        _middle((one.nodes for one in openings), digits=0),
        _middle((one.renderer_bytes for one in openings), digits=0, unit=1e6),
        _head(row),
        _most(len(one.errors) for one in openings),
        _most(len(one.requests) for one in openings),
    ]


def _head(row: Row) -> str:
    for change in row.changes:
        if change.interaction.control == "head":
            return milliseconds(spread(change.interaction.paint_s).p50)
    return NONE if row.head_s is None else milliseconds(row.head_s)


def _change_cells(row: Row, change: Change) -> list[str]:
    one = change.interaction
    paint = spread(one.paint_s)
    times = [paint.p50, paint.p95, paint.least, paint.most, max(change.longest_gap_s)]
    pixels = "yes" if one.pixels_changed else "NO"
    head = [row.trace, VALUES[row.values], one.control]
    return [*head, *map(milliseconds, times), str(paint.count), str(one.lost), pixels]


def _middle(numbers: Iterable[float | None], *, digits: int = 2, unit: float = 1.0) -> str:
    known = [number / unit for number in numbers if number is not None]
    return f"{median(known):,.{digits}f}" if known else NONE


def _most(counts: Iterable[int]) -> str:
    known = list(counts)
    return str(max(known)) if known else NONE
