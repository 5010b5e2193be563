"""Reports on runs that are trained when the report is built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from attnpanel.pages.lab.report import save_training_report
from attnpanel.pages.lab.run_summary import best_answers
from attnpanel.training.runner import run_training
from attnpanel.training.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attnpanel.training.settings import TrainingSettings

HALF = 0.5


@dataclass(frozen=True)
class TrainingReport:
    """A report on some runs.

    Attributes
    ----------
    runs : tuple of (str, TrainingSettings)
        Name and settings of each run.
    notes : str
        Text in which ``{results}`` is a line a run, ``{moment}`` the step at which a head of the
        first run has formed, and ``{heads}`` what `heads` returns.
    heads : callable or None
        Describes the heads of a trained run, whose store and number it takes.
    """

    runs: tuple[tuple[str, TrainingSettings], ...]
    notes: str
    heads: Callable[[RunStore, int], str] | None = None

    def build(self, path: Path, title: str) -> Path:
        """Train the runs, each on one core in half a minute or less, and write the report."""
        with TemporaryDirectory() as folder:
            store = RunStore(Path(folder) / "runs.sqlite3")
            numbers = [store.create(settings, name) for name, settings in self.runs]
            for number in numbers:
                run_training(store, number)
            notes = self.notes_of(store, numbers)
            return save_training_report(store, numbers, path, title=title, notes=notes)

    def notes_of(self, store: RunStore, numbers: Sequence[int]) -> str:
        """Return the text, with numbers read from the runs."""
        first = _formed(store, numbers[0])
        return self.notes.format(
            results="\n".join(_result(store, number) for number in numbers),
            moment="the run" if first is None else f"step {first}",
            heads=self.heads(store, numbers[0]) if self.heads else "",
        )


def _result(store: RunStore, number: int) -> str:
    run, last = store.run(number), store.points(number)[-1]
    text = f"{run.name}: accuracy {last.accuracy:.2f} after {last.step} steps"
    formed = _formed(store, number)
    if formed is None:
        return f"{text}."
    return f"{text}; from step {formed} on a head puts half of its weight on the answer."


def _formed(store: RunStore, number: int) -> int | None:
    """Return the first kept step at which a head puts half of its weight on the answer."""
    weights = best_answers(store.answers(number))
    return next((step for step, weight in weights.items() if weight >= HALF), None)
