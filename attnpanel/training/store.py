"""The store of training runs, shared by the page, the shell and the trainings.

Everything read from its file is checked, because anybody may have written it.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from attnpanel.attention.validation import check_choice
from attnpanel.training.database import (
    WAIT_S,
    BusyError,
    default_path,
    open_database,
    prepare_database,
)
from attnpanel.training.frames import unpack_frame
from attnpanel.training.records import (
    COLUMNS,
    MAX_REASON,
    Checkpoint,
    Keyframe,
    Point,
    Request,
    Run,
    RunStoreError,
    State,
    damage_reported,
    normalise_name,
    parse_answers,
    parse_run,
)
from attnpanel.training.tasks import make_task

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Iterator, Sequence

    from attnpanel.trace import Trace
    from attnpanel.training.settings import TrainingSettings

# Seconds without a try, after another process held the file for longer than the store waits.
BUSY_S: Final = 2.0
MAX_RUNS: Final = 200
MAX_POINTS, MAX_KEYFRAMES = 1000, 200  # of one run, read at a time
MAX_TRACE: Final = 16_000_000
# The largest settings give a model of 20 MB, the defaults one of 0.4 MB.
MAX_MODEL: Final = 32_000_000
# Bytes of all models, and of all checkpoints: beyond them those of the oldest runs are deleted, and
# the runs stay.
MAX_MODELS: Final = 512_000_000
MAX_CHECKPOINTS: Final = 512_000_000


class RunStore:
    """The runs in one file.

    Parameters
    ----------
    path : path, optional
        Created with its folder if missing. Defaults to :func:`default_path`.
    wait_s : float, optional
        How long to wait for a transaction of another process, in seconds. A server's event loop
        can't wait: after a transaction that lasts longer, the store is not tried again for
        `BUSY_S`, so that visitors do not wait one after another.

    Raises
    ------
    RunStoreError
        If the file is not a store of runs, or is damaged.
    OSError
        If it cannot be read or created.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, wait_s: float = WAIT_S
    ) -> None:
        self.path = default_path() if path is None else Path(path)
        self._wait_s, self._busy_until = wait_s, 0.0
        with self._busy_noted():
            prepare_database(self.path, wait_s)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction."""
        with self._busy_noted(), open_database(self.path, self._wait_s) as database:
            yield database

    @contextmanager
    def _busy_noted(self) -> Iterator[None]:
        if self._wait_s < WAIT_S and time.monotonic() < self._busy_until:
            raise BusyError(self.path)
        try:
            yield
        except BusyError:
            self._busy_until = time.monotonic() + BUSY_S
            raise

    def create(
        self,
        settings: TrainingSettings,
        name: str = "",
        text: str | None = None,
        owner: str = "",
    ) -> int:
        """Store a run that waits for its training; return its number."""
        name = normalise_name(name or settings.title)
        with self._open() as database:
            count = database.execute("SELECT count(*) FROM runs").fetchone()[0]
            if count >= MAX_RUNS:
                raise RunStoreError(
                    f"the store holds {count} runs, which is the most; delete some first"
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
                (MAX_RUNS,),
            )
            return [parse_run(row) for row in rows]

    def run(self, number: int) -> Run:
        """Return one run.

        Raises
        ------
        RunStoreError
            If it does not exist, for example because it was deleted.
        """
        with self._open() as database:
            row = database.execute(
                f"SELECT {COLUMNS} FROM runs WHERE id = ?",  # noqa: S608 - our own names
                (number,),
            ).fetchone()
        if row is None:
            raise RunStoreError(f"there is no run {number}; it may have been deleted")
        return parse_run(row)

    def text(self, number: int) -> str | None:
        """Return the text that a run learns; None for the task's own."""
        with self._open() as database:
            row = database.execute("SELECT text FROM runs WHERE id = ?", (number,)).fetchone()
        return None if row is None or row[0] is None else str(row[0])

    def points(self, number: int, after: int = -1) -> list[Point]:
        """Return a run's measurements after a step, in order."""
        with self._rows_after("points", "step, train_loss, loss, accuracy", number, after) as rows:
            return [
                Point(int(step), math.nan if train is None else float(train), *map(float, rest))
                for step, train, *rest in rows
            ]

    def keyframes(self, number: int, after: int = -1) -> list[Keyframe]:
        """Return the attention of a run's example after a step, in order."""
        with self._rows_after("pictures", "step, answers, frame", number, after) as rows:
            return [
                Keyframe(int(step), parse_answers(answers), unpack_frame(bytes(frame)))
                for step, answers, frame in rows
            ]

    def answers(self, number: int, after: int = -1) -> list[tuple[int, list[list[float]]]]:
        """Return step and weights on the answer of a run's keyframes after a step, in order."""
        with self._rows_after("pictures", "step, answers", number, after) as rows:
            return [(int(step), parse_answers(answers)) for step, answers in rows]

    @contextmanager
    def _rows_after(self, table: str, columns: str, number: int, after: int) -> Iterator[Any]:
        """Yield a run's rows after a step, in order; report damaged ones."""
        limit = {"points": MAX_POINTS, "pictures": MAX_KEYFRAMES}[table]
        with self._open() as database, damage_reported(number):
            yield database.execute(
                f"SELECT {columns} FROM {table} WHERE run = ? AND step > ? "  # noqa: S608 - our own names
                "ORDER BY step LIMIT ?",
                (number, after, limit),
            )

    def trace(self, number: int, step: int) -> Trace:
        """Return the attention of a run's example at one step, for the explorer.

        Raises
        ------
        RunStoreError
            If there is no such keyframe.
        """
        from attnpanel.trace import Trace

        return Trace.from_bytes(self.trace_bytes(number, step), f"run {number}, step {step}")

    def trace_bytes(self, number: int, step: int) -> bytes:
        """Return the same trace as the content of a trace file."""
        with self._open() as database:
            row = database.execute(
                "SELECT trace FROM pictures WHERE run = ? AND step = ? AND length(trace) <= ?",
                (number, step, MAX_TRACE),
            ).fetchone()
        if row is None:
            raise RunStoreError(f"run {number} has no attention at step {step}")
        return bytes(row[0])

    def model_bytes(self, number: int) -> bytes:
        """Return the weights of a finished run as the content of a safetensors file.

        Raises
        ------
        RunStoreError
            If no weights are stored.
        """
        with self._open() as database:
            row = database.execute(
                "SELECT weights FROM models WHERE run = ? AND length(weights) <= ?",
                (number, MAX_MODEL),
            ).fetchone()
        if row is None:
            self.run(number)  # raises if the run itself does not exist
            raise RunStoreError(
                f"no weights of run {number} are kept: it has not ended, has failed, is of an "
                "older version, or its weights were deleted to make room for newer ones"
            )
        return bytes(row[0])

    def checkpoint_steps(self, number: int) -> list[int]:
        """Return the steps at which weights of a run are kept, in order.

        A run of an older version has those that it ended with, at most.
        """
        with self._open() as database:
            rows = database.execute(
                "SELECT step FROM checkpoints WHERE run = ? ORDER BY step LIMIT ?",
                (number, MAX_KEYFRAMES),
            ).fetchall()
            rows = (
                rows
                or database.execute(
                    "SELECT step FROM models WHERE run = ? AND length(weights) <= ?",
                    (number, MAX_MODEL),
                ).fetchall()
            )
            return [int(step) for (step,) in rows]

    def checkpoint(self, number: int, step: int) -> Checkpoint:
        """Return the weights of a run's model at a step.

        Raises
        ------
        RunStoreError
            If none are kept, or they are damaged.
        """
        from attnpanel.training.live_weights import check_weights, weights_of_file

        settings = self.run(number).settings
        task = make_task(settings.task, self.text(number))
        with self._open() as database:
            row = database.execute(
                "SELECT error, weights FROM checkpoints WHERE run = ? AND step = ? "
                "AND length(weights) <= ?",
                (number, step, MAX_MODEL),
            ).fetchone()
        if row is None and step not in self.checkpoint_steps(number):
            raise RunStoreError(f"no weights of run {number} are kept at step {step}")
        with damage_reported(number):
            if row is None:
                weights = weights_of_file(self.model_bytes(number), settings, task)
                return Checkpoint(step, None, weights)
            return Checkpoint(step, float(row[0]), check_weights(bytes(row[1]), settings, task))

    def rename(self, number: int, name: str) -> None:
        """Rename a run."""
        with self._open() as database:
            database.execute(
                "UPDATE runs SET name = ? WHERE id = ?", (normalise_name(name), number)
            )

    def delete(self, number: int) -> None:
        """Delete a run with everything stored of it; if it is being trained, its training stops.

        Raises
        ------
        RunStoreError
            If it does not exist.
        """
        with self._open() as database:
            deleted = database.execute("DELETE FROM runs WHERE id = ?", (number,)).rowcount
        if not deleted:
            raise RunStoreError(f"there is no run {number}; it may have been deleted")

    def request(self, number: int, requested: Request) -> None:
        """Ask a run's training to continue, pause or stop; it responds within a second."""
        check_choice("requested", requested, get_args(Request))
        with self._open() as database:
            database.execute("UPDATE runs SET wanted = ? WHERE id = ?", (requested, number))

    def record(
        self,
        number: int,
        state: State,
        step: int,
        seconds: float,
        points: Sequence[Point] = (),
        keyframes: Sequence[tuple[int, list[list[float]], bytes, bytes]] = (),
        checkpoints: Sequence[Checkpoint] = (),
    ) -> Request:
        """Write a training's progress since its last write, in one transaction.

        Returns
        -------
        str
            What the training is asked to do; ``stop`` if the run was deleted.
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
                [
                    (number, point.step, point.train_loss, point.loss, point.accuracy)
                    for point in points
                ],
            )
            database.executemany(
                "INSERT INTO pictures VALUES (?, ?, ?, ?, ?)",
                [
                    (number, step, json.dumps(answers), frame, trace)
                    for step, answers, frame, trace in keyframes
                ],
            )
            if checkpoints:
                self._write_checkpoints(database, number, checkpoints)
        requested: Request = row[0] if row[0] in get_args(Request) else "stop"
        return requested

    def _write_checkpoints(
        self, database: sqlite3.Connection, number: int, checkpoints: Sequence[Checkpoint]
    ) -> None:
        """Write weights, and delete those of the oldest runs beyond `MAX_CHECKPOINTS`."""
        database.executemany(
            "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?)",
            [(number, each.step, each.error, each.weights) for each in checkpoints],
        )
        database.execute(
            "DELETE FROM checkpoints WHERE run IN (SELECT run FROM (SELECT run, "
            "sum(sum(length(weights))) OVER (ORDER BY run DESC) AS room FROM checkpoints "
            "GROUP BY run) WHERE room > ?)",
            (MAX_CHECKPOINTS,),
        )

    def save_model(self, number: int, step: int, weights: bytes) -> None:
        """Store the weights of a run; delete the oldest models if all exceed `MAX_MODELS`."""
        with self._open() as database:
            # Inserts nothing if the run was deleted meanwhile.
            database.execute(
                "INSERT OR REPLACE INTO models SELECT id, ?, ? FROM runs WHERE id = ?",
                (step, weights, number),
            )
            database.execute(
                "DELETE FROM models WHERE run IN (SELECT run FROM (SELECT run, "
                "sum(length(weights)) OVER (ORDER BY run DESC) AS room FROM models) "
                "WHERE room > ?)",
                (MAX_MODELS,),
            )

    def end(self, number: int, state: State, reason: str = "") -> None:
        """Record how a run ended, unless its end is recorded already."""
        with self._open() as database:
            database.execute(
                "UPDATE runs SET state = ?, reason = ? WHERE id = ? "
                "AND state IN ('waiting', 'training', 'paused')",
                (state, reason[:MAX_REASON], number),
            )
