"""Results as Markdown, for the README and the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

# Of a name or a reason in a table's cell.
MOST_LETTERS = 200

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.environment import Environment
    from bench.results import UiRun


@dataclass(frozen=True)
class Spread:
    """How samples lie, in the samples' unit."""

    p50: float
    p95: float
    least: float
    most: float
    count: int


def spread(samples: Sequence[float]) -> Spread:
    """Return median, 95th percentile, ends and number of the samples.

    A percentile between two samples is interpolated linearly (NumPy's default).
    """
    p50, p95 = (float(np.percentile(samples, percent)) for percent in (50, 95))
    return Spread(p50, p95, min(samples), max(samples), len(samples))


def ui_table(run: UiRun) -> str:
    """Return a run of `python -m bench ui` as Markdown."""
    sliders = []
    for one in run.interactions:
        data, paint = spread(one.data_s), spread(one.paint_s)
        times = [data.p50, data.p95, data.least, data.most]
        times += [paint.p50, paint.p95, paint.least, paint.most]
        pixels = "yes" if one.pixels_changed else "NO"
        cells = [str(one.query_len), one.control, *map(milliseconds, times), str(data.count)]
        sliders.append([*cells, str(one.lost), pixels])
    starts = [
        ("`attnpanel serve` → its address", run.address_s),
        ("`attnpanel serve` → first heatmap", run.first_paint_s),
        *((f'`python -c "{statement}"`', seconds) for statement, seconds in run.import_s.items()),
    ]
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
            markdown(
                ["seconds", "median", "min", "max", "n"],
                [
                    [name, f"{s.p50:.2f}", f"{s.least:.2f}", f"{s.most:.2f}", str(s.count)]
                    for name, s in times_s
                ],
            ),
            environment_lines(run.environment),
        ]
    )


def _heads(what: str) -> list[str]:
    return [f"{what} p50", "p95", "min", "max"]


def milliseconds(seconds: float) -> str:
    """Return whole milliseconds."""
    return f"{seconds * 1000:.0f}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose columns line up as text too, all right-aligned."""
    lines = [list(head), *map(list, rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = [f"{'-' * (width - 1)}:" for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in [lines[0], rule, *lines[1:]]
    )


def plain(words: str) -> str:
    """Return one bounded line that is no table of its own: names and reasons may hold anything."""
    line = " ".join(words.split()).replace("|", "\\|")
    return line if len(line) <= MOST_LETTERS else f"{line[:MOST_LETTERS]}…"


def environment_lines(environment: Environment) -> str:
    """Return where a run was made, as a list."""
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
