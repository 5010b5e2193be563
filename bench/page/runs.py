"""The runs in a folder, newest first; a file that is none is a sentence, never a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.bench_run import BenchRun
from bench.plots.words import bounded, size
from bench.results import ResultFileError, read

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES: Final = 64_000_000
MOST_RUNS: Final = 60


def load_run(path: Path) -> BenchRun:
    """Read a run's file.

    Raises
    ------
    ValueError
        If it is damaged, of another schema, or larger than any run is.
    OSError
        If it can't be read.
    """
    length = path.stat().st_size
    if length > MOST_BYTES:
        raise ResultFileError(
            f"{path} is not a result of the bench: a run may have at most {size(MOST_BYTES)}; "
            f"got {size(length)}"
        )
    return read(path, BenchRun)


def runs_in(folder: Path) -> tuple[dict[str, BenchRun], list[str]]:
    """Return the runs of a folder by file name, newest first, and what is wrong with others.

    Every ``*.json`` that is a run, at most `MOST_RUNS`, the last by name. Other measurements lie
    beside them, so that only a file named ``run-*.json`` that is none is told.
    """
    found: list[tuple[str, BenchRun]] = []
    problems = []
    for path in sorted(folder.glob("*.json"))[-MOST_RUNS:]:
        try:
            found.append((path.name, load_run(path)))
        except (ValueError, OSError) as error:
            if not path.name.startswith("run-"):
                continue
            # A visitor learns the file's name, not where the server keeps it.
            problems.append(bounded(str(error).replace(str(path), path.name), 300))
    found.sort(key=lambda one: one[1].environment.date_utc, reverse=True)
    return dict(found), problems
