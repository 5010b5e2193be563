"""Training a kept run: from its settings in the store to its points and pictures there."""

from __future__ import annotations

import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.training.frames import pack_frame
from attnpanel.training.kept_model import pack_model
from attnpanel.training.run import Point
from attnpanel.training.tasks import make_task
from attnpanel.training.training import answer_weights, fixed_example, train

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.trace import Trace
    from attnpanel.training.run import State
    from attnpanel.training.settings import TrainingSettings
    from attnpanel.training.store import RunStore
    from attnpanel.training.tasks import Task
    from attnpanel.training.training import Step

WRITE_EVERY_S: Final = 0.3
# Longer than any run that the settings' bounds allow takes on a core that is its own.
LIMIT_S: Final = 3600.0
# Nor does a run that somebody has forgotten keep others from training.
PAUSE_LIMIT_S: Final = 3600.0


def carry_out(
    store: RunStore,
    number: int,
    *,
    told: Callable[[int, Point | None], None] | None = None,
    left: Callable[[], bool] = lambda: False,
    limit_s: float = LIMIT_S,
) -> State:
    """Train a run that waits in the store; return how it ended, which stands there too.

    Parameters
    ----------
    store : RunStore
    number : int
        The run.
    told : function of a step and a Point or None, optional
        Called whenever something was written.
    left : function, optional
        Whether nobody wants the run any more, asked as often as the store is.
    limit_s : float, optional
        The longest it may train, pauses left out.

    Raises
    ------
    OSError
        If the store can't be written, as on a full disk; what was written before stays.
    Exception
        Whatever else stops the training, after its reason stands in the store.
    """
    try:
        return _carry_out(store, number, told, left, limit_s)
    except KeyboardInterrupt:
        store.end(number, "stopped")
        raise
    except OSError:
        raise
    except Exception as error:
        known = isinstance(error, (ValueError, ImportError))
        store.end(number, "failed", str(error) if known else f"{type(error).__name__}: {error}")
        raise


def _carry_out(
    store: RunStore,
    number: int,
    told: Callable[[int, Point | None], None] | None,
    left: Callable[[], bool],
    limit_s: float,
) -> State:
    settings = store.run(number).settings
    task = make_task(settings.task, store.text(number))
    news = _News(settings, task)
    seconds, began, written = 0.0, 0.0, -math.inf
    for step in train(settings, task):
        if not step.number:
            began = time.monotonic()  # what it took to load PyTorch is no training
        news.take(step)
        now = time.monotonic()
        last = step.number == settings.steps
        if now - written < WRITE_EVERY_S and not last:
            continue
        seconds += now - began
        wanted = store.record(number, "training", step.number, seconds, news.points, news.pictures)
        if told is not None:
            told(step.number, news.points[-1] if news.points else None)
        news.forget()
        reason = ""
        while wanted == "pause" and not last and not left():
            if time.monotonic() - now > PAUSE_LIMIT_S:
                wanted, reason = "stop", f"It was paused for {PAUSE_LIMIT_S / 60:.0f} minutes."
                break
            time.sleep(WRITE_EVERY_S)
            wanted = store.record(number, "paused", step.number, seconds)
        if not last and (wanted == "stop" or left()):
            _keep_model(store, number, settings, task, step)
            store.end(number, "stopped", reason)
            return "stopped"
        _check_time(seconds, limit_s, step.number, settings.steps)
        if last:
            _keep_model(store, number, settings, task, step)
        began = written = time.monotonic()
    store.end(number, "done")
    return "done"


def _keep_model(
    store: RunStore, number: int, settings: TrainingSettings, task: Task, step: Step
) -> None:
    """Keep the weights before the end stands there: who sees that finds them."""
    if step.model is not None:
        store.keep_model(number, step.number, pack_model(step.model, settings, task))


def _check_time(seconds: float, limit_s: float, step: int, steps: int) -> None:
    if seconds > limit_s and step < steps:
        raise ValueError(
            f"a run may train for {limit_s / 60:.0f} minutes; this one came to step {step} of "
            f"{steps}. Choose fewer steps or a smaller model"
        )


class _News:
    """What a training has brought since it was last written."""

    def __init__(self, settings: TrainingSettings, task: Task) -> None:
        example = fixed_example(settings, task)
        self._wanted = (
            None if task.answers is None else task.answers(example.tokens[0], example.scored[0])
        )
        self._losses: list[float] = []
        self.forget()

    def forget(self) -> None:
        self.points: list[Point] = []
        self.pictures: list[tuple[int, list[list[float]], bytes, bytes]] = []

    def take(self, step: Step) -> None:
        self._losses.append(step.loss)
        if step.held_out is not None:
            mean = float(np.mean(self._losses)) if step.number else math.nan
            self.points.append(Point(step.number, mean, step.held_out.loss, step.held_out.accuracy))
            self._losses = []
        if step.trace is not None:
            self.pictures.append((step.number, *_picture(step.trace, self._wanted)))


def _picture(
    trace: Trace, wanted: NDArray[np.bool_] | None
) -> tuple[list[list[float]], bytes, bytes]:
    """Return weights on the answer, the weights as bytes, and the whole trace as a file has it."""
    answers = [] if wanted is None else np.round(answer_weights(trace, wanted), 4).tolist()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "step.safetensors"
        trace.save(path)
        return answers, pack_frame(trace), path.read_bytes()
