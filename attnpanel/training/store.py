"""Where runs are kept: one SQLite file that a page, a shell and the training share.

SQLite writes whole transactions or nothing, lets several processes in, and says when a disk is
full. What is read is checked as if somebody else had written it.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from attnpanel.rules import check_choice, check_text
from attnpanel.training.frames import Frame, pack_frame, unpack_frame
from attnpanel.training.settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from attnpanel.trace import Trace

VARIABLE: Final = "ATTNPANEL_RUNS"
# Written into the file's header, so that another program's database is told apart.
APPLICATION: Final = 0x61747472
VERSION: Final = 1
MOST_RUNS: Final = 200
MOST_NAME: Final = 80
MOST_REASON: Final = 400
MOST_TRACE: Final = 16_000_000
WAIT_S: Final = 20.0  # for another process' transaction
# A training writes more often than this, paused or not; one that is silent for longer has ended.
SILENT_S: Final = 60.0

State = Literal["waiting", "training", "paused", "done", "stopped", "failed", "lost"]
Wanted = Literal["train", "pause", "stop"]
ENDED: Final = ("done", "stopped", "failed", "lost")
SCHEMA: Final = (
    """CREATE TABLE runs (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      name TEXT NOT NULL, settings TEXT NOT NULL, text TEXT,
      created TEXT NOT NULL, state TEXT NOT NULL, wanted TEXT NOT NULL, reason TEXT NOT NULL,
      step INTEGER NOT NULL, seconds REAL NOT NULL, heard REAL NOT NULL
    )""",
    """CREATE TABLE points (
      run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE, step INTEGER NOT NULL,
      train_loss REAL, loss REAL NOT NULL, accuracy REAL NOT NULL, PRIMARY KEY (run, step)
    )""",
    """CREATE TABLE pictures (
      run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE, step INTEGER NOT NULL,
      answers TEXT NOT NULL, frame BLOB NOT NULL, trace BLOB NOT NULL, PRIMARY KEY (run, step)
    )""",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)


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


def default_path() -> Path:
    """Return where runs are kept unless somebody says otherwise.

    That is ``ATTNPANEL_RUNS``, or a file in the user's folder for application data.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    if os.name == "nt":
        data = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "attnpanel" / "runs.sqlite3"


class RunStore:
    """The runs in one file.

    Parameters
    ----------
    path : path, optional
        Made if it is missing, with its folder; by default :func:`default_path`.

    Raises
    ------
    RunStoreError
        If the file holds something else, or is damaged.
    OSError
        If it can't be read or made.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = default_path() if path is None else Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as database:
            # Two processes may come upon an empty file at once: the second waits here.
            database.execute("BEGIN IMMEDIATE")
            empty = not database.execute("SELECT 1 FROM sqlite_master").fetchone()
            if empty and self._pragma(database, "application_id") == 0:
                for statement in SCHEMA:
                    database.execute(statement)
            found = self._pragma(database, "application_id"), self._pragma(database, "user_version")
        if found[0] != APPLICATION:
            raise RunStoreError(f"{self.path} is a database of another program, not of runs")
        if found[1] != VERSION:
            raise RunStoreError(
                f"{self.path} was written by another version of attnpanel "
                f"(runs {found[1]}; this one reads {VERSION})"
            )

    # -- for readers -------------------------------------------------------------------------

    def create(self, settings: TrainingSettings, name: str = "", text: str | None = None) -> int:
        """Keep a run that waits for its training; return its number."""
        name = _checked_name(name or settings.title)
        with self._open() as database:
            count = database.execute("SELECT count(*) FROM runs").fetchone()[0]
            if count >= MOST_RUNS:
                raise RunStoreError(
                    f"{count} runs are kept, which is the most there may be; delete some first"
                )
            row = database.execute(
                "INSERT INTO runs (name, settings, text, created, state, wanted, reason, step, "
                "seconds, heard) VALUES (?, ?, ?, ?, 'waiting', 'train', '', 0, 0, ?)",
                (
                    name,
                    settings.to_json(),
                    text,
                    datetime.now(UTC).isoformat(timespec="seconds"),
                    time.time(),
                ),
            )
            return int(row.lastrowid or 0)

    def runs(self) -> list[Run]:
        """Return all runs, the newest first."""
        with self._open() as database:
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM runs ORDER BY id DESC LIMIT ?",  # noqa: S608 - our own names
                (MOST_RUNS,),
            )
            return [_read_run(row) for row in rows]

    def run(self, number: int) -> Run:
        """Return one run.

        Raises
        ------
        RunStoreError
            If it is not there, as when somebody deleted it.
        """
        with self._open() as database:
            row = database.execute(
                f"SELECT {_COLUMNS} FROM runs WHERE id = ?",  # noqa: S608 - our own names
                (number,),
            ).fetchone()
        if row is None:
            raise RunStoreError(f"there is no run {number}; it may have been deleted")
        return _read_run(row)

    def text(self, number: int) -> str | None:
        """Return the text a run learns, None for the task's own."""
        with self._open() as database:
            row = database.execute("SELECT text FROM runs WHERE id = ?", (number,)).fetchone()
        return None if row is None or row[0] is None else str(row[0])

    def points(self, number: int, after: int = -1) -> list[Point]:
        """Return a run's measurements after a step, in order."""
        with self._open() as database:
            rows = database.execute(
                "SELECT step, train_loss, loss, accuracy FROM points WHERE run = ? AND step > ? "
                "ORDER BY step LIMIT 1000",
                (number, after),
            )
            with _reading(number):
                return [
                    Point(int(step), math.nan if train is None else float(train), *map(float, rest))
                    for step, train, *rest in rows
                ]

    def pictures(self, number: int, after: int = -1) -> list[Picture]:
        """Return the attention of a run's example after a step, in order."""
        with self._open() as database:
            rows = database.execute(
                "SELECT step, answers, frame FROM pictures WHERE run = ? AND step > ? "
                "ORDER BY step LIMIT 200",
                (number, after),
            )
            with _reading(number):
                return [
                    Picture(int(step), _answers(answers), unpack_frame(bytes(frame)))
                    for step, answers, frame in rows
                ]

    def answers(self, number: int, after: int = -1) -> list[tuple[int, list[list[float]]]]:
        """Return step and weights on the answer of a run's pictures after a step, in order."""
        with self._open() as database:
            rows = database.execute(
                "SELECT step, answers FROM pictures WHERE run = ? AND step > ? "
                "ORDER BY step LIMIT 200",
                (number, after),
            )
            with _reading(number):
                return [(int(step), _answers(answers)) for step, answers in rows]

    def trace(self, number: int, step: int) -> Trace:
        """Return the attention of a run's example at one step, for the explorer.

        Raises
        ------
        RunStoreError
            If it is not there.
        """
        from attnpanel.trace import Trace

        return Trace.from_bytes(self.trace_bytes(number, step), f"run {number}, step {step}")

    def trace_bytes(self, number: int, step: int) -> bytes:
        """Return that trace as the content of a trace file."""
        with self._open() as database:
            row = database.execute(
                "SELECT trace FROM pictures WHERE run = ? AND step = ? AND length(trace) <= ?",
                (number, step, MOST_TRACE),
            ).fetchone()
        if row is None:
            raise RunStoreError(f"there is no attention of run {number} at step {step}")
        return bytes(row[0])

    def rename(self, number: int, name: str) -> None:
        """Give a run another name."""
        with self._open() as database:
            database.execute("UPDATE runs SET name = ? WHERE id = ?", (_checked_name(name), number))

    def delete(self, number: int) -> None:
        """Forget a run and everything of it; a training that goes on for it ends.

        Raises
        ------
        RunStoreError
            If it is not there any more.
        """
        with self._open() as database:
            deleted = database.execute("DELETE FROM runs WHERE id = ?", (number,)).rowcount
        if not deleted:
            raise RunStoreError(f"there is no run {number}; it may have been deleted")

    def ask(self, number: int, wanted: Wanted) -> None:
        """Ask a run's training to go on, to pause or to stop; it answers within a second."""
        check_choice("wanted", wanted, get_args(Wanted))
        with self._open() as database:
            database.execute("UPDATE runs SET wanted = ? WHERE id = ?", (wanted, number))

    # -- for the training --------------------------------------------------------------------

    def record(
        self,
        number: int,
        state: State,
        step: int,
        seconds: float,
        points: Sequence[Point] = (),
        pictures: Sequence[tuple[int, list[list[float]], bytes, bytes]] = (),
    ) -> Wanted:
        """Write what a training has done since it last wrote, in one transaction.

        Returns
        -------
        str
            What is wanted of it now; ``stop`` where the run was deleted.
        """
        with self._open() as database:
            row = database.execute(
                "UPDATE runs SET state = ?, step = ?, seconds = ?, heard = ? WHERE id = ? "
                "RETURNING wanted",
                (state, step, seconds, time.time(), number),
            ).fetchone()
            if row is None:
                return "stop"
            database.executemany(
                "INSERT INTO points VALUES (?, ?, ?, ?, ?)",
                [(number, one.step, one.train_loss, one.loss, one.accuracy) for one in points],
            )
            database.executemany(
                "INSERT INTO pictures VALUES (?, ?, ?, ?, ?)",
                [
                    (number, step, json.dumps(answers), frame, trace)
                    for step, answers, frame, trace in pictures
                ],
            )
        wanted: Wanted = row[0] if row[0] in get_args(Wanted) else "stop"
        return wanted

    def end(self, number: int, state: State, reason: str = "") -> None:
        """Write how a run ended, unless that stands there already."""
        with self._open() as database:
            database.execute(
                "UPDATE runs SET state = ?, reason = ? WHERE id = ? "
                "AND state IN ('waiting', 'training', 'paused')",
                (state, reason[:MOST_REASON], number),
            )

    # -- the file ----------------------------------------------------------------------------

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction; say what is wrong with it in a sentence."""
        try:
            with closing(sqlite3.connect(self.path, timeout=WAIT_S)) as database:
                database.execute("PRAGMA trusted_schema = OFF")
                database.execute("PRAGMA foreign_keys = ON")
                with database:
                    yield database
        except sqlite3.OperationalError as error:
            raise OSError(f"the runs in {self.path} can't be used: {error}") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError, OverflowError) as error:
            raise RunStoreError(
                f"{self.path} is no file of runs, or is damaged: {error}"
            ) from error

    def _pragma(self, database: sqlite3.Connection, name: str) -> int:
        return int(database.execute(f"PRAGMA {name}").fetchone()[0])


_COLUMNS: Final = "id, name, settings, created, state, wanted, reason, step, seconds, heard"


@contextmanager
def _reading(number: object) -> Iterator[None]:
    """Say of what somebody else may have written that it is damaged, and what helps."""
    try:
        yield
    except (TypeError, ValueError, RecursionError) as error:
        raise RunStoreError(
            f"run {number} is damaged ({error}); `attnpanel runs --delete {number}` removes it"
        ) from None


def _read_run(row: tuple[Any, ...]) -> Run:
    with _reading(row[0]):
        return _run(row)


def _run(row: tuple[Any, ...]) -> Run:
    number, name, settings, created, state, wanted, reason, step, seconds, heard = row
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
    )


def _answers(text: str) -> list[list[float]]:
    read = json.loads(text) if len(text) < 100_000 else None
    if not isinstance(read, list) or not all(isinstance(row, list) for row in read):
        raise ValueError("its weights on the answer are no table")
    return [[float(value) for value in row] for row in read]


def _checked_name(name: str) -> str:
    check_text("a run's name", name)
    name = " ".join(name.split())
    if not 1 <= len(name) <= MOST_NAME:
        raise ValueError(f"a run's name must have 1 to {MOST_NAME} characters; got {len(name)}")
    return name


__all__ = ["Picture", "Point", "Run", "RunStore", "RunStoreError", "default_path", "pack_frame"]
