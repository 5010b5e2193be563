"""What the lab's page and report show of a stored run: name, status, curves, replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.pages.lab.curves import Curve
from attnpanel.training.loop import fixed_example
from attnpanel.training.tasks import make_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from attnpanel.training.records import Point, Run
    from attnpanel.training.store import RunStore

NO_BREAK: Final = "\N{NO-BREAK SPACE}"
STATES: Final = {
    "waiting": "starting",
    "training": "training",
    "paused": "paused",
    "done": "done",
    "stopped": "stopped",
    "failed": "failed",
    "interrupted": "interrupted: its process ended",
}


def run_name(run: Run) -> str:
    """Return a run's name with its number; runs with the same settings have the same name."""
    return f"#{run.id} {run.name}"


def run_status(run: Run, last: Point | None) -> str:
    """Return a run's state, progress and accuracy, and the reason if it failed."""
    parts = [f"#{run.id}", STATES[run.state]]
    requested = {"pause": "pausing", "stop": "stopping"}
    if run.state == "training" and run.requested in requested:
        parts[1] = requested[run.requested]
    parts.append(f"step {run.step} of {run.settings.steps}")
    if last is not None:
        parts.append(f"accuracy {last.accuracy:.2f}")
    if run.step:
        parts.append(f"{run.seconds:.0f}{NO_BREAK}s")
    if run.state == "training" and run.step:
        left = run.seconds / run.step * (run.settings.steps - run.step)
        parts.append(f"about {left:.0f}{NO_BREAK}s left")
    return " · ".join(parts) + (f". {capitalised(run.reason)}." if run.reason else "")


def capitalised(text: str) -> str:
    """Return a text with a capital and without its full stop."""
    return text[:1].upper() + text[1:].rstrip(".")


def best_answers(frames: Sequence[tuple[int, list[list[float]]]]) -> dict[int, float]:
    """Return the largest weight on the answer over all heads, by step."""
    return {step: max(map(max, answers)) for step, answers in frames if answers}


def make_curve(
    run: Run, values: Mapping[int, float], colours: Mapping[int, str], followed: int | None
) -> Curve:
    """Return a run's line: dashed for the baseline, strong for the followed run."""
    return Curve(
        run_name(run),
        colours[run.id],
        list(values.keys()),
        list(values.values()),
        dashed=not run.settings.attends,
        strong=run.id == followed,
    )


def point_values(points: Sequence[Point], chart: str) -> dict[int, float]:
    """Return the values of a run's points in one chart, by step."""
    return {point.step: getattr(point, chart) for point in points}


def curve_of(
    store: RunStore, run: Run, chart: str, colours: Mapping[int, str], followed: int | None
) -> Curve:
    """Return a stored run's line in one chart."""
    if chart == "answer":
        values = best_answers(store.answers(run.id))
    else:
        values = point_values(store.points(run.id), chart)
    return make_curve(run, values, colours, followed)


def replay_info(run: Run, text: str | None) -> dict[str, Any]:
    """Return what the replay needs to know of a run: its example, and the answers' positions."""
    if not run.settings.attends:
        return {"empty": "This run is the baseline: it has no attention to show."}
    task = make_task(run.settings.task, text)
    example = fixed_example(run.settings, task)
    tokens, scored = example.tokens[0], example.scored[0]
    answers = [] if task.answers is None else np.argwhere(task.answers(tokens, scored)).tolist()
    return {
        "run": run.id,
        "tokens": task.labels(tokens[:-1]),
        "layers": run.settings.layers,
        "heads": run.settings.heads,
        "steps": run.settings.steps,
        "answers": answers,
        "empty": "The first frame appears when PyTorch has started, in some seconds.",
    }
