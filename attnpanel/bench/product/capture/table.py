"""Format a run of `python -m bench capture` as Markdown."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from attnpanel.bench.product.tables import environment_lines, markdown, milliseconds, spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from attnpanel.bench.product.capture.results import CaptureRun, Size, Way

HEAD = (
    "B × T",
    "way",
    "wall ms",
    "× plain",
    "quartiles",
    "CPU × plain",
    "stored MB",
    "+ peak MB",
    "beyond stored",
    "n",
)
CAPTION = (
    "Medians. × plain: of the ratios to the plain run of the same round, with their quartiles; "
    "CPU × plain: the same of CPU seconds, all threads. + peak MB: the peak of memory above the "
    "plain run's; beyond stored: how much of that is more than what is stored, as a share of it. "
    "malloc maps large blocks one by one meanwhile, so that what it keeps of freed ones does not "
    "count. MB are 1,000,000 bytes."
)
NONE = "–"


def capture_table(run: CaptureRun) -> str:
    """Return the tables of a run: the ways at each size, and the environment."""
    rows = [cells for size in run.sizes for cells in _rows(size)]
    machine = f"{environment_lines(run.environment)}\n- {run.model}, {run.threads} threads of torch"
    return "\n\n".join([markdown(HEAD, rows), CAPTION, machine])


def _rows(size: Size) -> Iterator[list[str]]:
    plain = size.ways[0]
    for way in size.ways:
        wall = ratios(way.wall_s, plain.wall_s)
        stored, peak = way.stored_bytes, peak_above(way, plain)
        yield [
            f"{size.batch} × {size.query_len}",
            way.name,
            milliseconds(spread(way.wall_s).p50),
            f"{median(wall):.3f}",
            _quartiles(wall),
            f"{median(ratios(way.cpu_s, plain.cpu_s)):.3f}",
            f"{stored / 1e6:.1f}" if stored else NONE,
            NONE if peak is None or way is plain else f"{peak / 1e6:.1f}",
            NONE if peak is None or not stored else f"{(peak - stored) / stored:.0%}",
            str(len(way.wall_s)),
        ]


def ratios(samples: Sequence[float], plain: Sequence[float]) -> list[float]:
    """Return the ratio to the plain run in each round."""
    return [sample / other for sample, other in zip(samples, plain, strict=True)]


def peak_above(way: Way, plain: Way) -> float | None:
    """Return the peak memory above that of the plain run in bytes; None if unknown."""
    if not way.peak_bytes or not plain.peak_bytes:
        return None
    return median(way.peak_bytes) - median(plain.peak_bytes)


def _quartiles(numbers: Sequence[float]) -> str:
    ordered = sorted(numbers)
    low, high = (ordered[round(part * (len(ordered) - 1))] for part in (0.25, 0.75))
    return f"{low:.3f}–{high:.3f}"
