"""Parse stored runs, measurements and keyframes; the data in a file is not trusted."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from attnpanel.attention.validation import check_text
from attnpanel.training.settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attnpanel.training.frames import Frame

MAX_NAME: Final = 80
MAX_REASON: Final = 400
MAX_OWNER: Final = 64
# A training writes more often than this, paused or not; if it has not, its process has ended.
SILENT_S: Final = 60.0

# "interrupted" is never stored: see _parse_run.
State = Literal["waiting", "training", "paused", "done", "stopped", "failed", "interrupted"]
Request = Literal["train", "pause", "stop"]
ENDED: Final = ("done", "stopped", "failed", "interrupted")


class RunStoreError(ValueError):
    """A file holds no runs, or a run does not exist or is damaged; the message says which."""


@dataclass(frozen=True)
class Run:
    """One stored run.

    Attributes
    ----------
    id : int
    name : str
    settings : TrainingSettings
    created : str
        ISO 8601, UTC.
    state : str
        One of `State`. ``interrupted``: its process ended without recording it.
    requested : str
        What a visitor last asked for.
    reason : str
        Why it failed or was stopped; otherwise empty.
    step : int
        Steps taken.
    seconds : float
        Training time, without pauses.
    owner : str
        Digest that identifies the browser that started it; empty for a run from the command line.
    """

    id: int
    name: str
    settings: TrainingSettings
    created: str
    state: State
    requested: Request
    reason: str
    step: int
    seconds: float
    owner: str = ""

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.state in ENDED


@dataclass(frozen=True)
class Point:
    """One measurement of a run.

    Attributes
    ----------
    step : int
    train_loss : float
        Mean over the steps since the previous point, in nats; nan at step 0.
    loss, accuracy : float
        On the held-out sequences.
    """

    step: int
    train_loss: float
    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Keyframe:
    """The attention of the run's example at one step.

    Attributes
    ----------
    step : int
    answers : list of list of float
        Weight on the answer, by layer and head; empty for a task without answers.
    frame : Frame
        The weights of all heads, as bytes.
    """

    step: int
    answers: list[list[float]]
    frame: Frame


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The weights of a run's model at one step.

    Attributes
    ----------
    step : int
    error : float or None
        Largest change of a next-token probability, 0 to 1, by rounding the weights to 16 bits, on
        the run's example. None if it was not measured, as by an older version.
    weights : bytes
        As `attnpanel.training.live_weights` packs them.
    """

    step: int
    error: float | None
    weights: bytes


COLUMNS: Final = "id, name, settings, created, state, wanted, reason, step, seconds, owner, heard"


@contextmanager
def damage_reported(number: object) -> Iterator[None]:
    """Turn an error from a run's data into a RunStoreError that says how to delete the run."""
    try:
        yield
    except (TypeError, ValueError, RecursionError) as error:
        raise RunStoreError(
            f"run {number} is damaged ({error}); `attnpanel runs --delete {number}` removes it"
        ) from None


def parse_run(row: tuple[Any, ...]) -> Run:
    """Parse a row of `COLUMNS`."""
    with damage_reported(row[0]):
        return _parse_run(row)


def _parse_run(row: tuple[Any, ...]) -> Run:
    number, name, settings, created, state, requested, reason, step, seconds, owner, heard = row
    if state not in get_args(State) or requested not in get_args(Request):
        raise ValueError(f"its state is {str(state)[:40]!r}")
    if state not in ENDED and time.time() - float(heard) > SILENT_S:
        state = "interrupted"
    return Run(
        int(number),
        str(name)[:MAX_NAME],
        TrainingSettings.from_json(str(settings)),
        str(created)[:40],
        state,
        requested,
        str(reason)[:MAX_REASON],
        int(step),
        float(seconds),
        str(owner)[:MAX_OWNER],
    )


def parse_answers(text: str) -> list[list[float]]:
    """Parse the weights on the answer of a keyframe."""
    parsed = json.loads(text) if len(text) < 100_000 else None
    if not isinstance(parsed, list) or not all(isinstance(row, list) for row in parsed):
        raise ValueError("its weights on the answer are no table")
    return [[float(value) for value in row] for row in parsed]


def normalise_name(name: str) -> str:
    """Return a run's name on one line; raise ValueError if it is empty or too long."""
    check_text("a run's name", name)
    name = " ".join(name.split())
    if not 1 <= len(name) <= MAX_NAME:
        raise ValueError(f"a run's name must have 1 to {MAX_NAME} characters; got {len(name)}")
    return name
