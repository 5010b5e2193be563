"""Format results as Markdown, for docs/measured.md and the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

# Limit of a name or a reason in a table cell.
MAX_LETTERS = 200

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from attnpanel.bench.measure.environment import Environment
    from attnpanel.bench.run.serialization import UiRun


@dataclass(frozen=True)
class Spread:
    """Summary of samples, in the unit of the samples."""

    p50: float
    p95: float
    minimum: float
    maximum: float
    count: int


def spread(samples: Sequence[float]) -> Spread:
    """Return median, 95th percentile, minimum, maximum and number of samples.

    Percentiles are interpolated linearly (NumPy's default).
    """
    p50, p95 = (float(np.percentile(samples, percent)) for percent in (50, 95))
    return Spread(p50, p95, min(samples), max(samples), len(samples))


def ui_table(run: UiRun) -> str:
    """Return a run of `python -m bench ui` as Markdown."""
    sliders = []
    for interaction in run.interactions:
        data, paint = spread(interaction.data_s), spread(interaction.paint_s)
        times = [data.p50, data.p95, data.minimum, data.maximum]
        times += [paint.p50, paint.p95, paint.minimum, paint.maximum]
        pixels = "yes" if interaction.pixels_changed else "NO"
        cells = [
            str(interaction.query_len),
            interaction.control,
            *map(milliseconds, times),
            str(data.count),
        ]
        sliders.append([*cells, str(interaction.lost), pixels])
    starts = [
        ("`attnpanel serve` → its address", run.address_s),
        ("`attnpanel serve` → first heatmap", run.first_paint_s),
        *((f'`python -c "{statement}"`', seconds) for statement, seconds in run.import_s.items()),
    ]
    taps = []
    for patches, taken in run.picture_tap_s.items():
        tap = spread(taken)
        shown = [milliseconds(time) for time in (tap.p50, tap.p95, tap.minimum, tap.maximum)]
        taps.append([f"{int(patches):,}", *shown, str(tap.count)])
    times_s = [(name, spread(seconds)) for name, seconds in starts]
    return "\n\n".join(
        [
            markdown(
                ["T", "slider", *_heads("data"), *_heads("paint"), "n", "lost", "pixels"],
                sliders,
            ),
            "Milliseconds from the key press to the new data in the browser, and to the new "
            "picture on screen. Lost: presses that showed nothing. Pixels: seen to have changed by "
            "then.",
            *(
                [
                    markdown(["patches", *_heads("tap"), "n"], taps),
                    "Milliseconds from a tap on the picture to its heat on screen.",
                ]
                if taps
                else []
            ),
            markdown(
                ["seconds", "median", "min", "max", "n"],
                [
                    [name, f"{s.p50:.2f}", f"{s.minimum:.2f}", f"{s.maximum:.2f}", str(s.count)]
                    for name, s in times_s
                ],
            ),
            environment_lines(run.environment),
        ]
    )


def _heads(what: str) -> list[str]:
    return [f"{what} p50", "p95", "min", "max"]


def milliseconds(seconds: float) -> str:
    """Format seconds as whole milliseconds."""
    return f"{seconds * 1000:.0f}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table with right-aligned columns that line up as text too."""
    lines = [list(head), *map(list, rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = [f"{'-' * (width - 1)}:" for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in [lines[0], rule, *lines[1:]]
    )


def escape_cell(text: str) -> str:
    """Reduce untrusted text to one line of bounded length that does not break a table."""
    line = " ".join(text.split()).replace("|", "\\|")
    return line if len(line) <= MAX_LETTERS else f"{line[:MAX_LETTERS]}…"


def environment_lines(environment: Environment) -> str:
    """Format the environment of a run as a list."""
    memory = environment.memory_bytes
    before, after = (
        "unknown" if load is None else f"{load[0]:.2f}"
        for load in (environment.load_before, environment.load_after)
    )
    commit = (environment.commit or "no commit")[:12] + (" with changes" * bool(environment.dirty))
    lines = [
        f"{environment.cpu_model}, {environment.cores} cores"
        + ("" if memory is None else f", {memory / 2**30:.1f} GiB")
        + f"; {environment.os}; {environment.browser or 'no browser'}",
        f"{environment.python}; "
        + ", ".join(f"{name} {number}" for name, number in environment.versions.items()),
        f"{environment.date_utc}, {commit}; load {before} before, {after} after",
    ]
    if environment.noisy:
        lines.append("**Noisy**: the load was above the number of cores before the run began.")
    return "\n".join(f"- {line}" for line in lines)
