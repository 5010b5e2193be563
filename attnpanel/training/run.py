"""A kept run, its measurements and pictures, read as if somebody else had written them."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from attnpanel.rules import check_text
from attnpanel.training.settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attnpanel.training.frames import Frame

MOST_NAME: Final = 80
MOST_REASON: Final = 400
MOST_OWNER: Final = 64
# A training writes more often than this, paused or not; one that is silent for longer has ended.
SILENT_S: Final = 60.0

State = Literal["waiting", "training", "paused", "done", "stopped", "failed", "lost"]
Wanted = Literal["train", "pause", "stop"]
ENDED: Final = ("done", "stopped", "failed", "lost")


class RunStoreError(ValueError):
    """A file that holds no runs, or a run that is not in it; the message says which."""


@dataclass(frozen=True)
class Run:
    """One kept run.

    Attributes
    ----------
    id : int
    name : str
    settings : TrainingSettings
    created : str
        ISO 8601, UTC.
    state : str
        One of `State`. ``lost``: its training has ended without saying so.
    wanted : str
        What the reader last asked for.
    reason : str
        Why it failed; else empty.
    step : int
        Steps taken.
    seconds : float
        Spent on training, pauses left out.
    owner : str
        Which browser started it, as a digest; empty for a run from the shell.
    """

    id: int
    name: str
    settings: TrainingSettings
    created: str
    state: State
    wanted: Wanted
    reason: str
    step: int
    seconds: float
    owner: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ENDED


@dataclass(frozen=True)
class Point:
    """One measurement of a run.

    Attributes
    ----------
    step : int
    train_loss : float
        Mean of the steps since the point before, in nats; nan at step 0.
    loss, accuracy : float
        On the held-out sequences.
    """

    step: int
    train_loss: float
    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Picture:
    """The attention of the run's example at one step.

    Attributes
    ----------
    step : int
    answers : list of list of float
        Weight on the answer, by layer and head; empty where the task has no such thing.
    frame : Frame
        The weights of all heads, as bytes.
    """

    step: int
    answers: list[list[float]]
    frame: Frame


COLUMNS: Final = "id, name, settings, created, state, wanted, reason, step, seconds, owner, heard"


@contextmanager
def reading(number: object) -> Iterator[None]:
    """Say of what somebody else may have written that it is damaged, and what helps."""
    try:
        yield
    except (TypeError, ValueError, RecursionError) as error:
        raise RunStoreError(
            f"run {number} is damaged ({error}); `attnpanel runs --delete {number}` removes it"
        ) from None


def read_run(row: tuple[Any, ...]) -> Run:
    """Return the run that a row of `COLUMNS` holds."""
    with reading(row[0]):
        return _run(row)


def _run(row: tuple[Any, ...]) -> Run:
    number, name, settings, created, state, wanted, reason, step, seconds, owner, heard = row
    if state not in get_args(State) or wanted not in get_args(Wanted):
        raise ValueError(f"its state is {str(state)[:40]!r}")
    if state not in ENDED and time.time() - float(heard) > SILENT_S:
        state = "lost"
    return Run(
        int(number),
        str(name)[:MOST_NAME],
        TrainingSettings.from_json(str(settings)),
        str(created)[:40],
        state,
        wanted,
        str(reason)[:MOST_REASON],
        int(step),
        float(seconds),
        str(owner)[:MOST_OWNER],
    )


def read_answers(text: str) -> list[list[float]]:
    """Return the weights on the answer that a picture was kept with."""
    read = json.loads(text) if len(text) < 100_000 else None
    if not isinstance(read, list) or not all(isinstance(row, list) for row in read):
        raise ValueError("its weights on the answer are no table")
    return [[float(value) for value in row] for row in read]


def checked_name(name: str) -> str:
    """Return a run's name on one line, or say why it is none."""
    check_text("a run's name", name)
    name = " ".join(name.split())
    if not 1 <= len(name) <= MOST_NAME:
        raise ValueError(f"a run's name must have 1 to {MOST_NAME} characters; got {len(name)}")
    return name
