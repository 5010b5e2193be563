"""Report on three tiny transformers that learn induction: four heads, one head, none."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from attnpanel.pages.lab.report import save_training_report
from attnpanel.pages.lab.run_summary import best_answers
from attnpanel.training.runner import run_training
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Sequence

STEPS = 400
RUNS = (
    ("four heads a layer", TrainingSettings(steps=STEPS)),
    ("one head a layer", TrainingSettings(steps=STEPS, heads=1)),
    ("no attention", TrainingSettings(steps=STEPS, attends=False)),
)
HALF = 0.5
NOTES = """\
What they learn: a row of different letters comes again and again, A B … A, and after the second A the right letter is what followed the first. How long the row is differs from sequence to sequence, so no fixed distance tells the answer: it must be looked up.

{results}

Move the slider below the curves through {moment}. In the first layer heads learn to look at the token before; in the second they find the place after which the present token stood before (outlined in orange). The loss falls in the moment that both are there, not before: one is of no use without the other.

Questions. Does one head a layer learn it sooner or later than four, and why might that be? What can the run without attention still know, and what accuracy does that give? In which layer does a head look at the token before, and at which step does it begin to?
"""


def build(path: Path, title: str) -> Path:
    """Train the runs, on one core in about a minute, and write the report."""
    with TemporaryDirectory() as folder:
        store = RunStore(Path(folder) / "runs.sqlite3")
        numbers = [store.create(settings, name) for name, settings in RUNS]
        for number in numbers:
            run_training(store, number)
        return save_training_report(store, numbers, path, title=title, notes=notes(store, numbers))


def notes(store: RunStore, numbers: Sequence[int]) -> str:
    """Return the text, with numbers read from the runs."""
    first = _formed(store, numbers[0])
    moment = "the run" if first is None else f"step {first}"
    return NOTES.format(results="\n".join(_result(store, n) for n in numbers), moment=moment)


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
