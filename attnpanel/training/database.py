"""The SQLite file of the run store: its path, schema and transactions.

SQLite writes atomically, lets several processes in, and reports a full disk.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attnpanel.training.records import RunStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE: Final = "ATTNPANEL_RUNS"
# SQLite's application_id: distinguishes the file from other programs' databases.
APPLICATION: Final = 0x61747472
VERSION: Final = 3
WAIT_S: Final = 20.0  # for another process's transaction

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
# What each later version added; applied to older files when they are opened.
UPGRADES: Final = {
    2: (
        "ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
        """CREATE TABLE models (
          run INTEGER PRIMARY KEY REFERENCES runs(id) ON DELETE CASCADE,
          step INTEGER NOT NULL, weights BLOB NOT NULL
        )""",
    ),
    3: (
        """CREATE TABLE checkpoints (
          run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE, step INTEGER NOT NULL,
          error REAL NOT NULL, weights BLOB NOT NULL, PRIMARY KEY (run, step)
        )""",
    ),
}


def default_path() -> Path:
    """Return the default path of the store.

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


class BusyError(OSError):
    """Another process keeps the file locked."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"the runs in {path} are in use by another program that does not let go of them; "
            "nothing is lost, and they are tried again"
        )


def prepare_database(path: Path, wait_s: float = WAIT_S) -> None:
    """Create the file with its folder if missing, and upgrade it from an older version.

    A new file can be read by its owner alone: it holds what visitors have typed.

    Raises
    ------
    RunStoreError
        If the file is not a store of runs, or is damaged.
    OSError
        If it cannot be read or created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    with open_database(path, wait_s) as database:
        # Two processes may open an empty file at once: the second one waits here.
        database.execute("BEGIN IMMEDIATE")
        found = _identify(database)
        empty = not database.execute("SELECT 1 FROM sqlite_master").fetchone()
        if empty and found[0] == 0:
            for statement in SCHEMA:
                database.execute(statement)
            found = (APPLICATION, 1)
        if found[0] == APPLICATION and 1 <= found[1] < VERSION:
            for version in range(found[1] + 1, VERSION + 1):
                for statement in UPGRADES[version]:
                    database.execute(statement)
            database.execute(f"PRAGMA user_version = {VERSION}")
            found = _identify(database)
    if found[0] != APPLICATION:
        raise RunStoreError(f"{path} is a database of another program, not of runs")
    if found[1] != VERSION:
        raise RunStoreError(
            f"{path} was written by another version of attnpanel "
            f"(runs {found[1]}; this one reads {VERSION})"
        )


@contextmanager
def open_database(path: Path, wait_s: float = WAIT_S) -> Iterator[sqlite3.Connection]:
    """Open the file for one transaction; turn SQLite's errors into sentences."""
    try:
        with closing(sqlite3.connect(path, timeout=wait_s)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute("PRAGMA foreign_keys = ON")
            with database:
                yield database
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise BusyError(path) from error
        raise OSError(f"the runs in {path} cannot be used: {error}") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError, OverflowError) as error:
        raise RunStoreError(f"{path} is no store of runs, or is damaged: {error}") from error


def _identify(database: sqlite3.Connection) -> tuple[int, int]:
    """Return the file's application id and version."""
    names = ("application_id", "user_version")
    application, version = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return int(application), int(version)
