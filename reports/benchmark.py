"""Report of the newest recorded run of the bench, with the earlier ones."""

from __future__ import annotations

from pathlib import Path

from attnpanel.bench.page.export import save_run_report
from attnpanel.bench.page.runs import runs_in

FOLDER = Path(__file__).parents[1] / "bench" / "results"


def build(path: Path, title: str) -> Path:
    """Write the report of the newest run."""
    runs, _ = runs_in(FOLDER)
    if not runs:
        raise ValueError(f"{FOLDER} holds no run of the bench: make one with `make bench`")
    newest, *others = runs.values()
    return save_run_report(newest, path, history=others, title=title)
