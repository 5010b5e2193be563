"""Starting trainings from a server: each in a process of its own, a bounded number at a time."""

from __future__ import annotations

import atexit
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnpanel.training.settings import TrainingSettings
    from attnpanel.training.store import RunStore


class Trainings:
    """The trainings that one server has started; shared by its visitors, safe from any thread.

    Parameters
    ----------
    store : RunStore
    most : int, optional
        How many may go on at a time, paused ones included.
    """

    def __init__(self, store: RunStore, most: int = 2) -> None:
        self.store, self.most = store, most
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
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
            If as many as may go on already do, or the store is full.
        OSError
            If the store can't be written, or no process started.
        """
        with self._lock:
            self._look_after()
            if len(self._processes) >= self.most:
                raise ValueError(
                    f"{self.most} trainings go on here, which is the most at a time; "
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
                    # So that the package is found where it isn't installed.
                    cwd=Path(__file__).parents[2],
                )
            except OSError as error:
                self.store.end(number, "failed", f"no process could be started: {error}")
                raise
        return number

    def look_after(self) -> None:
        """Write down the end of every training that ended without saying so."""
        with self._lock:
            self._look_after()

    def _look_after(self) -> None:
        for number, process in list(self._processes.items()):
            status = process.poll()
            if status is None:
                continue
            del self._processes[number]
            said = b"" if process.stderr is None else process.stderr.read()[-2000:]
            for pipe in (process.stdin, process.stderr):
                if pipe is not None:
                    pipe.close()
            last = said.decode(errors="replace").strip().splitlines()[-1:] or [f"status {status}"]
            # Nothing happens where the training has said how it ended.
            self.store.end(number, "failed", f"the training's process ended: {last[0]}")

    def close(self) -> None:
        """End every training; each keeps what it has done."""
        with self._lock:
            for process in self._processes.values():
                if process.stdin is not None:
                    process.stdin.close()
            for number, process in self._processes.items():
                try:
                    process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                if process.stderr is not None:
                    process.stderr.close()
                self.store.end(number, "stopped")
            self._processes.clear()
