"""Start trainings from a server, each in a process of its own, up to a limit at a time."""

from __future__ import annotations

import atexit
import contextlib
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnpanel.training.settings import TrainingSettings
    from attnpanel.training.store import RunStore

# How long all trainings together have to record where they stand, in seconds.
GRACE_S = 2.0


class Trainings:
    """The trainings that one server has started; shared by its visitors, safe from any thread.

    Parameters
    ----------
    store : RunStore
    max_running : int, optional
        How many may run at a time, paused ones included.
    """

    def __init__(self, store: RunStore, max_running: int = 2) -> None:
        self.store, self.max_running = store, max_running
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        # Why processes ended whose end is not recorded yet.
        self._reasons: dict[int, str] = {}
        self._lock = threading.Lock()
        atexit.register(self.close)

    def start(
        self,
        settings: TrainingSettings,
        name: str = "",
        text: str | None = None,
        owner: str = "",
    ) -> int:
        """Start a training and return its run's number.

        Raises
        ------
        ValueError
            If `max_running` trainings run already, or the store is full.
        OSError
            If the store cannot be written, or the process cannot be started.
        """
        with self._lock:
            self._collect_finished()
            if len(self._processes) >= self.max_running:
                raise ValueError(
                    f"{self.max_running} trainings run here, which is the most at a time; "
                    "wait for one to end, or stop it"
                )
            number = self.store.create(settings, name, text, owner)
            command = [sys.executable, "-m", "attnpanel.training.worker"]
            try:
                self._processes[number] = subprocess.Popen(  # noqa: S603 - our own module
                    [*command, str(self.store.path), str(number)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    # Finds the package where it is not installed.
                    cwd=Path(__file__).parents[2],
                )
            except OSError as error:
                self.store.end(number, "failed", f"no process could be started: {error}")
                raise
        return number

    def collect_finished(self) -> None:
        """Record the end of every training whose process ended without recording it."""
        with self._lock:
            self._collect_finished()

    def _collect_finished(self) -> None:
        for number, process in list(self._processes.items()):
            status = process.poll()
            if status is None:
                continue
            if number not in self._reasons:
                output = b"" if process.stderr is None else process.stderr.read()[-2000:]
                lines = output.decode(errors="replace").strip().splitlines()
                last = lines[-1] if lines else f"status {status}"
                self._reasons[number] = f"the training's process ended: {last}"
            # end() does nothing if the training has recorded its end itself; while the store is
            # busy it raises, and the next call records it.
            self.store.end(number, "failed", self._reasons[number])
            del self._reasons[number]
            del self._processes[number]
            for pipe in (process.stdin, process.stderr):
                if pipe is not None:
                    pipe.close()

    def close(self) -> None:
        """End every training; each keeps what it has recorded."""
        with self._lock:
            for process in self._processes.values():
                if process.stdin is not None:
                    process.stdin.close()
            deadline = time.monotonic() + GRACE_S
            for number, process in self._processes.items():
                try:
                    process.wait(timeout=max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                if process.stderr is not None:
                    process.stderr.close()
                with contextlib.suppress(OSError, ValueError):  # a server that ends can't say it
                    self.store.end(number, "stopped")
            self._processes.clear()
