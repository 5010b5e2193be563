"""What the lab's page and report show of a stored run: name, status, curves, replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.pages.lab.curves import Curve
from attnpanel.training.live_weights import describe_model
from attnpanel.training.loop import fixed_example
from attnpanel.training.tasks import make_task
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from attnpanel.training.records import Point, Run
    from attnpanel.training.settings import TrainingSettings
    from attnpanel.training.store import RunStore
    from attnpanel.training.tasks import Task

NO_BREAK: Final = "\N{NO-BREAK SPACE}"
BASELINE: Final = "This run is the baseline: it has no attention to show."
FIRST_FRAME: Final = "The first frame appears when PyTorch has started, in some seconds."
# What a visitor may do with a run, by its state; a run that has ended: rename and delete.
ACTIONS: Final = {
    "waiting": ["stop", "rename"],
    "training": ["pause", "stop", "rename"],
    "paused": ["train", "stop", "rename"],
}
TEXT_START: Final = 24  # letters of a text that are enough to go on from
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
    parts = [f"#{run.id}", t(STATES[run.state])]
    requested = {"pause": "pausing", "stop": "stopping"}
    if run.state == "training" and run.requested in requested:
        parts[1] = t(requested[run.requested])
    parts.append(t("step {step} of {steps}", step=run.step, steps=run.settings.steps))
    if last is not None:
        parts.append(t("accuracy {number}", number=f"{last.accuracy:.2f}"))
    if run.step:
        parts.append(f"{run.seconds:.0f}{NO_BREAK}s")
    if run.state == "training" and run.step:
        left = run.seconds / run.step * (run.settings.steps - run.step)
        parts.append(t("about {time} left", time=f"{left:.0f}{NO_BREAK}s"))
    return " · ".join(parts) + (f". {capitalised(run.reason)}." if run.reason else "")


def run_row(
    run: Run, last: Point | None, colour: str, *, followed: bool, may_change: bool
) -> dict[str, Any]:
    """Return a run's row of the list; the colour of its curves is empty if none are drawn."""
    return {
        "id": run.id,
        "name": run.name,
        "words": run_status(run, last),
        "failed": run.state in ("failed", "interrupted"),
        "progress": None if run.ended else round(run.step / run.settings.steps, 3),
        "shown": bool(colour),
        "colour": colour,
        "dashed": not run.settings.attends,
        "followed": followed,
        "can": ACTIONS.get(run.state, ["rename", "delete"]) if may_change else [],
    }


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
    """Return what the replay needs to know of a run: its example, its answers, its model."""
    task = make_task(run.settings.task, text)
    example = fixed_example(run.settings, task)
    tokens, scored = example.tokens[0], example.scored[0]
    answers = [] if task.answers is None else np.argwhere(task.answers(tokens, scored)).tolist()
    attends = run.settings.attends
    return {
        "run": run.id,
        "tokens": task.labels(tokens[:-1]),
        "layers": run.settings.layers,
        "heads": run.settings.heads,
        "steps": run.settings.steps,
        "answers": answers,
        "empty": t(FIRST_FRAME if attends else BASELINE),
        "live": live_info(run.settings, task),
    }


def live_info(settings: TrainingSettings, task: Task) -> dict[str, Any]:
    """Return what the page needs to have a run's model read what a reader types.

    That is ``Live`` of js/lab/training_replay.js: the vocabulary, the task's examples, the model.
    """
    first = fixed_example(settings, task)
    others = task.draw_held_out(np.random.default_rng([settings.seed, 3]), 2)
    presets = [
        _preset(t("The run's example"), first.tokens[0, :-1], first.scored[0]),
        _preset(t("Another example"), others.tokens[0, :-1], others.scored[0]),
        _preset(t("A third"), others.tokens[1, :-1], others.scored[1]),
    ]
    start = int(np.argmax(others.scored[0])) + 1 if task.answers else TEXT_START
    if start < task.length:
        beginning = others.tokens[0, :start]
        presets.append(_preset(t("Only a beginning"), beginning, others.scored[0, :start]))
    return {
        "vocabulary": list(task.vocabulary),
        "labels": task.labels(np.arange(len(task.vocabulary))),
        "separated": task.separated,
        "slides": not task.separated,
        "limit": task.length,
        "presets": presets,
        "model": describe_model(settings, task),
    }


def _preset(label: str, ids: NDArray[np.int64], scored: NDArray[np.bool_]) -> dict[str, Any]:
    """Return an example; of its scored positions those whose next token is in it."""
    return {"label": label, "ids": ids.tolist(), "scored": np.flatnonzero(scored[:-1]).tolist()}


def kept_weights(store: RunStore, run: Run) -> dict[str, Any]:
    """Return the steps at which weights of a run are kept, and why there are none."""
    steps = store.checkpoint_steps(run.id)
    return {"run": run.id, "steps": steps, "reason": "" if steps else _no_weights(run)}


def _no_weights(run: Run) -> str:
    if run.ended:
        return t(
            "Nothing can be typed here: no weights of this run are kept. It ended before any were, "
            "an older version of attnpanel trained it, or they were deleted to make room for "
            "newer ones. The same settings in a new run give them again."
        )
    return t("A sequence can be typed here once the first weights of this run are kept.")
