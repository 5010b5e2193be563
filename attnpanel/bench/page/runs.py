"""Load the runs of a folder, newest first; report invalid files as messages."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from attnpanel.bench.plots.format import bounded, size
from attnpanel.bench.run.records import BenchRun
from attnpanel.bench.run.serialization import ResultFileError, read

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 64_000_000
MAX_RUNS: Final = 60


def load_run(path: Path) -> BenchRun:
    """Load a run from its file.

    Raises
    ------
    ValueError
        If it is damaged, of another schema or larger than `MAX_BYTES`.
    OSError
        If it can't be read.
    """
    status = path.stat()
    length = status.st_size
    if length > MAX_BYTES:
        raise ResultFileError(
            f"{path} is not a result of the bench: a run may have at most {size(MAX_BYTES)}; "
            f"got {size(length)}"
        )
    return _read(path, length, status.st_mtime_ns)


@lru_cache(MAX_RUNS)
def _read(path: Path, _length: int, _written_ns: int) -> BenchRun:
    """Read a run, once while its file is as it was: a full one takes a second."""
    return read(path, BenchRun)


def runs_in(folder: Path) -> tuple[dict[str, BenchRun], list[str]]:
    """Return the runs of a folder by file name, newest first, and messages on invalid files.

    Loads at most the last `MAX_RUNS` ``*.json`` files by name. The folder also holds other
    measurements, so only invalid files named ``run-*.json`` are reported.
    """
    found: list[tuple[str, BenchRun]] = []
    problems = []
    for path in sorted(folder.glob("*.json"))[-MAX_RUNS:]:
        try:
            found.append((path.name, load_run(path)))
        except (ValueError, OSError) as error:
            if not path.name.startswith("run-"):
                continue
            # Do not reveal the server's paths to visitors.
            problems.append(bounded(str(error).replace(str(path), path.name), 300))
    found.sort(key=lambda item: item[1].environment.date_utc, reverse=True)
    return dict(found), problems
