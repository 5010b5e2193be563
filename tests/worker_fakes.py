"""Faults of Dask workers, put into their processes by ``client.run(use, name)``."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin

from attnpanel import __version__
from attnpanel.attention.errors import MissingDependencyError
from attnpanel.models.cluster import worker
from attnpanel.models.cluster.answers import Answer

REAL = {"calls": dict(worker.CALLS), "pack": worker.pack, "pack_error": worker.pack_error}


class Pickled:
    """Makes a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def use(name: str, path: str = "") -> None:
    """Have this worker fail in one way; "none" has it work."""
    worker.CALLS = dict(REAL["calls"])
    worker.pack, worker.pack_error = REAL["pack"], REAL["pack_error"]
    if name in GARBAGE:
        worker.CALLS |= {"trace": lambda *_, **__: Answer()}
        worker.pack = lambda _answer: GARBAGE[name](path)
    elif name != "none":
        worker.CALLS |= {"trace": lambda *a, **options: FAULTS[name](path, *a, **options)}


class Dying(WorkerPlugin):
    """Has every worker die of its prompt, those too that start later."""

    name = "dying"

    def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask passes it by name
        """Have this worker die."""
        use("dies")

    def teardown(self, worker: Any) -> None:  # noqa: ARG002 - as above
        """Have it work again."""
        use("none")


def running() -> int:
    """How many prompts run on this worker."""
    return len(worker._running)


def _raise(_path: str) -> bytes:
    worker.pack_error = None  # the task itself raises then
    raise RuntimeError("broken")


def _missing(_path: str, *_: Any, **__: Any) -> Answer:
    raise MissingDependencyError("a model needs PyTorch and transformers")


def _endless(path: str, number: str, say: Callable[[str, Any], None], **options: Any) -> Answer:
    """Go on until cancelled or stopped; a second one, after a first was lost, works."""
    if path and Path(path).exists():
        return REAL["calls"]["trace"](number, say, **options)
    if path:
        Path(path).touch()
    pause = threading.Event()
    while not worker._running[number]:
        say(worker.PROGRESS, [0.5, "Half"])
        pause.wait(0.02)
    raise ValueError("stopped")


def _hung(_path: str, _number: str, say: Callable[[str, Any], None], **_: Any) -> Answer:
    say(worker.PROGRESS, [0.5, "Half"])
    threading.Event().wait(3)
    return Answer()


def _dies(_path: str, *_: Any, **__: Any) -> Answer:
    threading.Event().wait(0.5)  # as when memory runs out, not at once
    os.kill(os.getpid(), signal.SIGKILL)
    return Answer()


DOCUMENT = REAL["pack"](Answer())
FAULTS = {"missing": _missing, "endless": _endless, "hung": _hung, "dies": _dies}
GARBAGE: dict[str, Callable[[str], Any]] = {
    "a number": lambda _path: 5,
    "a pickle": Pickled,
    "nothing": lambda _path: b"",
    "cut": lambda _path: DOCUMENT[:-3],
    "long": lambda _path: b"\xff" * 7 + b"\x00" + DOCUMENT,
    "deep": lambda _path: (10_000).to_bytes(8, "little") + b"[" * 10_000,
    "no trace": lambda _path: DOCUMENT,
    "another version": lambda _path: DOCUMENT.replace(__version__.encode(), b"9.9.9"),
    "raises": _raise,
}
