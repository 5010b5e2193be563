"""A kept run as what the page and the report show of it: words, curves, and its film's example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.lab.curves import Curve
from attnpanel.training.tasks import make_task
from attnpanel.training.training import fixed_example

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from attnpanel.training.run import Point, Run
    from attnpanel.training.store import RunStore

NO_BREAK: Final = "\N{NO-BREAK SPACE}"
STATES: Final = {
    "waiting": "starting",
    "training": "training",
    "paused": "paused",
    "done": "done",
    "stopped": "stopped",
    "failed": "failed",
    "lost": "interrupted: its process ended",
}


def run_name(run: Run) -> str:
    """Return a run's name with its number: runs of the same settings have the same name."""
    return f"#{run.id} {run.name}"


def run_words(run: Run, last: Point | None) -> str:
    """Say how far a run is, how good it is, and why it failed."""
    parts = [f"#{run.id}", STATES[run.state]]
    asked = {"pause": "pausing", "stop": "stopping"}
    if run.state == "training" and run.wanted in asked:
        parts[1] = asked[run.wanted]
    parts.append(f"step {run.step} of {run.settings.steps}")
    if last is not None:
        parts.append(f"accuracy {last.accuracy:.2f}")
    if run.step:
        parts.append(f"{run.seconds:.0f}{NO_BREAK}s")
    if run.state == "training" and run.step:
        left = run.seconds / run.step * (run.settings.steps - run.step)
        parts.append(f"about {left:.0f}{NO_BREAK}s left")
    return " · ".join(parts) + (f". {_sentence(run.reason)}" if run.reason else "")


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:].rstrip(".") + "."


def best_answers(pictures: Sequence[tuple[int, list[list[float]]]]) -> dict[int, float]:
    """Return by step the weight on the answer of the head that puts most there."""
    return {step: max(map(max, answers)) for step, answers in pictures if answers}


def make_curve(
    run: Run, values: Mapping[int, float], colours: Mapping[int, str], followed: int | None
) -> Curve:
    """Return a run's line: dashed for the baseline, strong for the run that is followed."""
    return Curve(
        run_name(run),
        colours[run.id],
        list(values.keys()),
        list(values.values()),
        dashed=not run.settings.attends,
        strong=run.id == followed,
    )


def point_values(points: Sequence[Point], chart: str) -> dict[int, float]:
    """Return by step what one picture shows of a run's points."""
    return {point.step: getattr(point, chart) for point in points}


def curves_of(
    store: RunStore, run: Run, chart: str, colours: Mapping[int, str], followed: int | None
) -> Curve:
    """Return a kept run's line in one picture."""
    if chart == "answer":
        values = best_answers(store.answers(run.id))
    else:
        values = point_values(store.points(run.id), chart)
    return make_curve(run, values, colours, followed)


def film_about(run: Run, text: str | None) -> dict[str, Any]:
    """Return what the film needs to know of a run: its example, and where the answers stand."""
    if not run.settings.attends:
        return {"empty": "This run is the baseline: it has no attention to look at."}
    task = make_task(run.settings.task, text)
    example = fixed_example(run.settings, task)
    tokens, scored = example.tokens[0], example.scored[0]
    answers = [] if task.answers is None else np.argwhere(task.answers(tokens, scored)).tolist()
    return {
        "run": run.id,
        "tokens": task.words(tokens[:-1]),
        "layers": run.settings.layers,
        "heads": run.settings.heads,
        "steps": run.settings.steps,
        "answers": answers,
        "empty": "Its first picture comes when PyTorch has started: some seconds.",
    }
