"""Train a stored run and record its points, keyframes and model in the store."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.training.checkpoint import pack_checkpoint
from attnpanel.training.frames import pack_frame
from attnpanel.training.live_weights import pack_model, weight_steps
from attnpanel.training.loop import answer_weights, fixed_example, train
from attnpanel.training.records import Checkpoint, Point
from attnpanel.training.tasks import make_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.trace import Trace
    from attnpanel.training.loop import Step
    from attnpanel.training.records import State
    from attnpanel.training.settings import TrainingSettings
    from attnpanel.training.store import RunStore
    from attnpanel.training.tasks import Task

WRITE_EVERY_S: Final = 0.3
# Longer than any run within the settings' bounds takes on a core of its own.
LIMIT_S: Final = 3600.0
# A forgotten paused run must not keep others from training.
PAUSE_LIMIT_S: Final = 3600.0


def run_training(
    store: RunStore,
    number: int,
    *,
    on_progress: Callable[[int, Point | None], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    limit_s: float = LIMIT_S,
) -> State:
    """Train a run that waits in the store; record and return how it ended.

    Parameters
    ----------
    store : RunStore
    number : int
        The run.
    on_progress : function of a step and a Point or None, optional
        Called after each write to the store.
    cancelled : function, optional
        Returns whether to stop; called as often as the store is written.
    limit_s : float, optional
        The longest training time, without pauses.

    Raises
    ------
    OSError
        If the store cannot be written, as on a full disk; what was written before stays.
    Exception
        Any other error of the training, after its reason is recorded.
    """
    try:
        return _run(store, number, on_progress, cancelled, limit_s)
    except KeyboardInterrupt:
        store.end(number, "stopped")
        raise
    except OSError:
        raise
    except Exception as error:
        expected = isinstance(error, (ValueError, ImportError))
        reason = str(error) if expected else f"{type(error).__name__}: {error}"
        store.end(number, "failed", reason)
        raise


def _run(
    store: RunStore,
    number: int,
    on_progress: Callable[[int, Point | None], None] | None,
    cancelled: Callable[[], bool],
    limit_s: float,
) -> State:
    settings = store.run(number).settings
    task = make_task(settings.task, store.text(number))
    pending = _Pending(settings, task)
    seconds, began, written = 0.0, 0.0, -math.inf
    for step in train(settings, task):
        if not step.number:
            began = time.monotonic()  # loading PyTorch does not count as training
        pending.add(step)
        now = time.monotonic()
        last = step.number == settings.steps
        if now - written < WRITE_EVERY_S and not last:
            continue
        seconds += now - began
        requested = store.record(
            number,
            "training",
            step.number,
            seconds,
            pending.points,
            pending.keyframes,
            pending.checkpoints,
        )
        if on_progress is not None:
            on_progress(step.number, pending.points[-1] if pending.points else None)
        pending.clear()
        reason = ""
        while requested == "pause" and not last and not cancelled():
            if time.monotonic() - now > PAUSE_LIMIT_S:
                requested, reason = "stop", f"It was paused for {PAUSE_LIMIT_S / 60:.0f} minutes."
                break
            time.sleep(WRITE_EVERY_S)
            requested = store.record(number, "paused", step.number, seconds)
        if not last and (requested == "stop" or cancelled()):
            pending.add_checkpoint(step)
            store.record(number, "training", step.number, seconds, checkpoints=pending.checkpoints)
            _save_model(store, number, settings, task, step)
            store.end(number, "stopped", reason)
            return "stopped"
        _check_time(seconds, limit_s, step.number, settings.steps)
        if last:
            _save_model(store, number, settings, task, step)
        began = written = time.monotonic()
    store.end(number, "done")
    return "done"


def _save_model(
    store: RunStore, number: int, settings: TrainingSettings, task: Task, step: Step
) -> None:
    """Save the model; called before the end is recorded, so that an ended run has its model."""
    if step.model is not None:
        store.save_model(number, step.number, pack_checkpoint(step.model, settings, task))


def _check_time(seconds: float, limit_s: float, step: int, steps: int) -> None:
    if seconds > limit_s and step < steps:
        raise ValueError(
            f"a run may train for {limit_s / 60:.0f} minutes; this one reached step {step} of "
            f"{steps}. Choose fewer steps or a smaller model"
        )


class _Pending:
    """Measurements, keyframes and weights that are not written to the store yet."""

    def __init__(self, settings: TrainingSettings, task: Task) -> None:
        self._settings, self._task = settings, task
        self._example = example = fixed_example(settings, task)
        self._weight_steps = weight_steps(settings, task)
        self._answers = (
            None if task.answers is None else task.answers(example.tokens[0], example.scored[0])
        )
        self._losses: list[float] = []
        self.clear()

    def clear(self) -> None:
        self.points: list[Point] = []
        self.keyframes: list[tuple[int, list[list[float]], bytes, bytes]] = []
        self.checkpoints: list[Checkpoint] = []

    def add(self, step: Step) -> None:
        self._losses.append(step.loss)
        if step.held_out is not None:
            mean = float(np.mean(self._losses)) if step.number else math.nan
            self.points.append(Point(step.number, mean, step.held_out.loss, step.held_out.accuracy))
            self._losses = []
        if step.trace is not None:
            self.keyframes.append((step.number, *_keyframe(step.trace, self._answers)))
        if step.number in self._weight_steps:
            self.add_checkpoint(step)

    def add_checkpoint(self, step: Step) -> None:
        """Keep the model's weights at this step, unless one is beyond float16."""
        if step.model is None:
            return
        tokens = self._example.tokens[:, :-1]
        with suppress(ValueError):
            error, weights = pack_model(step.model, self._settings, self._task, tokens)
            self.checkpoints.append(Checkpoint(step.number, error, weights))


def _keyframe(
    trace: Trace, answers: NDArray[np.bool_] | None
) -> tuple[list[list[float]], bytes, bytes]:
    """Return the weights on the answer, the frame, and the trace file of one step."""
    weights = [] if answers is None else np.round(answer_weights(trace, answers), 4).tolist()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "step.safetensors"
        trace.save(path)
        return weights, pack_frame(trace), path.read_bytes()
