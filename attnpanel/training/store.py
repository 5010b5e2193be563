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
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from attnpanel.rules import check_choice
from attnpanel.training.frames import unpack_frame
from attnpanel.training.run import (
    COLUMNS,
    MOST_REASON,
    Picture,
    Point,
    Run,
    RunStoreError,
    State,
    Wanted,
    checked_name,
    read_answers,
    read_run,
    reading,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from attnpanel.trace import Trace
    from attnpanel.training.settings import TrainingSettings

VARIABLE: Final = "ATTNPANEL_RUNS"
# Written into the file's header, so that another program's database is told apart.
APPLICATION: Final = 0x61747472
VERSION: Final = 2
MOST_RUNS: Final = 200
MOST_POINTS, MOST_PICTURES = 1000, 200  # of one run, read at a time
MOST_TRACE: Final = 16_000_000
# The largest settings make a model of 20 MB; the default's has 0.4.
MOST_MODEL: Final = 32_000_000
# All models together: beyond it the oldest go, their runs stay.
MOST_MODELS: Final = 512_000_000
WAIT_S: Final = 20.0  # for another process' transaction

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
)
# What version 2 has beyond version 1, whose files are brought up to it.
SECOND: Final = (
    "ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
    """CREATE TABLE models (
      run INTEGER PRIMARY KEY REFERENCES runs(id) ON DELETE CASCADE,
      step INTEGER NOT NULL, weights BLOB NOT NULL
    )""",
    f"PRAGMA user_version = {VERSION}",
)


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
            found = self._kind(database)
            empty = not database.execute("SELECT 1 FROM sqlite_master").fetchone()
            fresh = empty and found[0] == 0
            if fresh or found == (APPLICATION, 1):
                for statement in (*SCHEMA * fresh, *SECOND):
                    database.execute(statement)
                found = self._kind(database)
        if found[0] != APPLICATION:
            raise RunStoreError(f"{self.path} is a database of another program, not of runs")
        if found[1] != VERSION:
            raise RunStoreError(
                f"{self.path} was written by another version of attnpanel "
                f"(runs {found[1]}; this one reads {VERSION})"
            )

    # -- for readers -------------------------------------------------------------------------

    def create(
        self,
        settings: TrainingSettings,
        name: str = "",
        text: str | None = None,
        owner: str = "",
    ) -> int:
        """Keep a run that waits for its training; return its number."""
        name = checked_name(name or settings.title)
        with self._open() as database:
            count = database.execute("SELECT count(*) FROM runs").fetchone()[0]
            if count >= MOST_RUNS:
                raise RunStoreError(
                    f"{count} runs are kept, which is the most there may be; delete some first"
                )
            row = database.execute(
                "INSERT INTO runs (name, settings, text, created, state, wanted, reason, step, "
                "seconds, owner, heard) VALUES (?, ?, ?, ?, 'waiting', 'train', '', 0, 0, ?, ?)",
                (
                    name,
                    settings.to_json(),
                    text,
                    datetime.now(UTC).isoformat(timespec="seconds"),
                    owner,
                    time.time(),
                ),
            )
            return int(row.lastrowid or 0)

    def runs(self) -> list[Run]:
        """Return all runs, the newest first."""
        with self._open() as database:
            rows = database.execute(
                f"SELECT {COLUMNS} FROM runs ORDER BY id DESC LIMIT ?",  # noqa: S608 - our own names
                (MOST_RUNS,),
            )
            return [read_run(row) for row in rows]

    def run(self, number: int) -> Run:
        """Return one run.

        Raises
        ------
        RunStoreError
            If it is not there, as when somebody deleted it.
        """
        with self._open() as database:
            row = database.execute(
                f"SELECT {COLUMNS} FROM runs WHERE id = ?",  # noqa: S608 - our own names
                (number,),
            ).fetchone()
        if row is None:
            raise RunStoreError(f"there is no run {number}; it may have been deleted")
        return read_run(row)

    def text(self, number: int) -> str | None:
        """Return the text a run learns, None for the task's own."""
        with self._open() as database:
            row = database.execute("SELECT text FROM runs WHERE id = ?", (number,)).fetchone()
        return None if row is None or row[0] is None else str(row[0])

    def points(self, number: int, after: int = -1) -> list[Point]:
        """Return a run's measurements after a step, in order."""
        with self._after("points", "step, train_loss, loss, accuracy", number, after) as rows:
            return [
                Point(int(step), math.nan if train is None else float(train), *map(float, rest))
                for step, train, *rest in rows
            ]

    def pictures(self, number: int, after: int = -1) -> list[Picture]:
        """Return the attention of a run's example after a step, in order."""
        with self._after("pictures", "step, answers, frame", number, after) as rows:
            return [
                Picture(int(step), read_answers(answers), unpack_frame(bytes(frame)))
                for step, answers, frame in rows
            ]

    def answers(self, number: int, after: int = -1) -> list[tuple[int, list[list[float]]]]:
        """Return step and weights on the answer of a run's pictures after a step, in order."""
        with self._after("pictures", "step, answers", number, after) as rows:
            return [(int(step), read_answers(answers)) for step, answers in rows]

    @contextmanager
    def _after(self, table: str, columns: str, number: int, after: int) -> Iterator[Any]:
        """Give a run's rows after a step, in order; what can't be read of them is told."""
        most = {"points": MOST_POINTS, "pictures": MOST_PICTURES}[table]
        with self._open() as database, reading(number):
            yield database.execute(
                f"SELECT {columns} FROM {table} WHERE run = ? AND step > ? "  # noqa: S608 - our own names
                "ORDER BY step LIMIT ?",
                (number, after, most),
            )

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

    def model_bytes(self, number: int) -> bytes:
        """Return the weights that a run ended with, as the content of a safetensors file.

        Raises
        ------
        RunStoreError
            If none are kept.
        """
        with self._open() as database:
            row = database.execute(
                "SELECT weights FROM models WHERE run = ? AND length(weights) <= ?",
                (number, MOST_MODEL),
            ).fetchone()
        if row is None:
            self.run(number)  # or it is not there at all
            raise RunStoreError(
                f"no weights of run {number} are kept: it hasn't ended, failed, is an older "
                "version's, or newer runs needed the room"
            )
        return bytes(row[0])

    def rename(self, number: int, name: str) -> None:
        """Give a run another name."""
        with self._open() as database:
            database.execute("UPDATE runs SET name = ? WHERE id = ?", (checked_name(name), number))

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

    def keep_model(self, number: int, step: int, weights: bytes) -> None:
        """Keep the weights that a run ended with; the oldest go where all need too much room."""
        with self._open() as database:
            # A run that somebody has deleted meanwhile keeps nothing.
            database.execute(
                "INSERT OR REPLACE INTO models SELECT id, ?, ? FROM runs WHERE id = ?",
                (step, weights, number),
            )
            database.execute(
                "DELETE FROM models WHERE run IN (SELECT run FROM (SELECT run, "
                "sum(length(weights)) OVER (ORDER BY run DESC) AS room FROM models) "
                "WHERE room > ?)",
                (MOST_MODELS,),
            )

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

    def _kind(self, database: sqlite3.Connection) -> tuple[int, int]:
        """Return which program's file it is, and in which version."""
        names = ("application_id", "user_version")
        whose, version = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
        return int(whose), int(version)
