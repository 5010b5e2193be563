"""The Node.js process that computes attention by attention.js: one, for all calls.

Starting it takes a tenth of a second, so it is kept until this process ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
import weakref
from collections import deque
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SCRIPT = Path(__file__).with_suffix(".mjs")
MODULE = Path(__file__).parents[1] / "browser" / "attention.js"


class JavaScriptError(RuntimeError):
    """What attention.js threw."""


class NodeProcess:
    """Node.js running `node_process.mjs`, which describes what is said to it."""

    def __init__(self) -> None:
        node = shutil.which("node")
        if node is None:
            raise FileNotFoundError("no `node` on PATH: install Node.js 20 or newer")
        process = subprocess.Popen(  # noqa: S603 - our own script, by the Node.js on PATH
            [node, SCRIPT, MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        # Typed as what they are: Popen's types allow for None, where there are no pipes.
        self._stdin: Any = process.stdin
        self._stdout: Any = process.stdout
        self._process = process
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._ids = count()
        self._dropped: deque[int] = deque()
        self.end = weakref.finalize(self, _end, process)

    @property
    def usable(self) -> bool:
        """Whether it runs, and belongs to this process rather than to the one it forked from."""
        return self.end.alive and self._process.poll() is None and self._owner == os.getpid()

    def load(self, sizes: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> int:
        """Hand it the sizes, options and arrays of a call; returns the call's number."""
        number = next(self._ids)
        with self._conversation():
            self._say({"load": number, **sizes})
            for array in arrays:
                self._send(np.ascontiguousarray(array).data)
        return number

    def compute(self, number: int, heads: Sequence[Sequence[NDArray[Any]]]) -> None:
        """Compute a loaded call into these arrays: output, weights and logsumexp of each head.

        Raises
        ------
        JavaScriptError
            With what attention.js threw.
        RuntimeError
            If Node.js ended.
        """
        with self._conversation():
            self._say({"compute": number})
            for arrays in heads:
                self._check()
                for array in arrays:
                    self._fill(array)

    def drop(self, number: int) -> None:
        """Forget a call with the next message; safe at any moment, within another's too."""
        self._dropped.append(number)

    @contextlib.contextmanager
    def _conversation(self) -> Any:
        with self._lock:
            try:
                if self._dropped:
                    self._say(
                        {"forget": [self._dropped.popleft() for _ in range(len(self._dropped))]}
                    )
                yield
            except JavaScriptError:
                raise
            except BaseException:
                # Half a message may be under way: nothing that follows it could be understood.
                self.end()
                raise

    def _say(self, message: dict[str, Any]) -> None:
        text = json.dumps(message, allow_nan=False).encode()
        self._send(np.uint32(len(text)).tobytes() + text)

    def _send(self, data: bytes | memoryview) -> None:
        try:
            self._stdin.write(data)
            self._stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise RuntimeError("Node.js ended: see its message on stderr") from error

    def _check(self) -> None:
        if self._read(np.uint8, 1)[0] == 0:
            return
        length = int(self._read(np.uint32, 1)[0])
        raise JavaScriptError(self._read(np.uint8, length).tobytes().decode())

    def _read(self, dtype: type[np.generic], size: int) -> NDArray[Any]:
        array = np.empty(size, dtype)
        self._fill(array)
        return array

    def _fill(self, array: NDArray[Any]) -> None:
        room = memoryview(array.data).cast("B")
        while room:
            got = self._stdout.readinto(room)
            if not got:
                raise RuntimeError("Node.js ended: see its message on stderr")
            room = room[got:]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        # What was written and never read is lost, and is meant to be.
        with contextlib.suppress(BrokenPipeError):
            if pipe is not None:
                pipe.close()


_starting = threading.Lock()
_running: list[NodeProcess] = []


def node_process() -> NodeProcess:
    """The process that runs, or a new one where there is none or it ended."""
    with _starting:
        if not (_running and _running[0].usable):
            _running[:] = [NodeProcess()]
        return _running[0]
