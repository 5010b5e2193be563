"""A child process that computes with one implementation, seen from its parent.

Whatever happens in it (an exception, a crash, no memory left, no end) is one
:class:`ChildFailure` here, and the process is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from multiprocessing.connection import Connection, Pipe
from typing import TYPE_CHECKING, Any

from bench.environment import ROOT, THREAD_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.bench_run import Status

# Not `-m bench.worker`: what it sends would then be of classes of its `__main__`.
START = "import sys; from bench.worker import main; main(sys.argv[1:])"
START_LIMIT_S = 60.0
# How soon a request to stop is heard; waking more often would disturb what is timed.
HEARD_EVERY_S = 0.2
MOST_WORDS = 1500


class ChildFailure(Exception):  # noqa: N818 - a status that was found, not a mistake
    """Why there is no answer: the status of the row, and the reason in words."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


class Cancelled(Exception):  # noqa: N818 - wished for, not a mistake
    """Somebody asked the run to stop."""


class Child:
    """A fresh process for one implementation; it ends with its parent, whatever ends that.

    Parameters
    ----------
    implementation : str
        Name, or ``module:NAME``.
    threads : int
        What the arithmetic in it may use: set before the process begins.
    memory_limit_bytes : int
        Further allocations fail beyond it.
    stopped : function
        Once it says True, :meth:`ask` ends the process and raises Cancelled.

    Raises
    ------
    ChildFailure
        If it does not start.
    """

    def __init__(
        self,
        implementation: str,
        *,
        threads: int,
        memory_limit_bytes: int,
        stopped: Callable[[], bool],
    ) -> None:
        self._stopped = stopped
        self._said: deque[str] = deque(maxlen=16)
        self._connection, theirs = Pipe()
        try:
            self._process = _start(theirs, implementation, threads, memory_limit_bytes)
        except OSError as error:
            self._connection.close()
            raise ChildFailure("error", f"its process does not start: {error}") from None
        finally:
            theirs.close()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._answer(START_LIMIT_S)

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return not self._connection.closed

    def ask(self, order: str, *arguments: Any, limit_s: float) -> Any:
        """Let it do something and return its answer.

        Raises
        ------
        ChildFailure
            If there is none. The process is gone, unless it answered with an exception.
        Cancelled
        """
        try:
            self._connection.send((order, arguments))
        except OSError:  # it ended since its last answer
            raise self._ended() from None
        return self._answer(limit_s)

    def close(self) -> None:
        """End the process and all that it started."""
        if self._connection.closed:
            return
        # The group outlives its first process where that left others behind.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._connection.close()
        self._listener.join(timeout=1)

    def _answer(self, limit_s: float) -> Any:
        deadline = time.monotonic() + limit_s
        while not self._connection.poll(max(0.0, min(HEARD_EVERY_S, deadline - time.monotonic()))):
            if self._stopped():
                self.close()
                raise Cancelled
            # Not told by the connection's end alone: what the child started may hold it open.
            if self._process.poll() is not None and not self._connection.poll():
                raise self._ended()
            if time.monotonic() > deadline:
                self.close()
                raise ChildFailure("timed out", f"no answer within {limit_s:g} s")
        try:
            status, answer = self._connection.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        if status != "ok":
            raise ChildFailure(status, answer)
        return answer

    def _ended(self) -> ChildFailure:
        """Say why it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.returncode
        self.close()
        words = "".join(self._said).strip()[-MOST_WORDS:]
        tail = f"; its last words: {words}" if words else ""
        if code == -signal.SIGKILL:
            return ChildFailure(
                "out of memory",
                f"killed by the system (signal 9), as Linux does when memory runs out{tail}",
            )
        if code is not None and code < 0:
            return ChildFailure("crashed", f"ended by {_signal_name(-code)}{tail}")
        return ChildFailure("crashed", f"ended by itself with exit status {code}{tail}")

    def _listen(self) -> None:
        """Keep the last of what it writes: a full pipe stops it, a file may fill the disk."""
        assert self._process.stderr is not None  # noqa: S101 - for mypy: it was asked for
        with self._process.stderr as stream:
            while chunk := os.read(stream.fileno(), 4096):
                self._said.append(chunk.decode(errors="replace"))


def _start(
    connection: Connection, implementation: str, threads: int, memory_limit_bytes: int
) -> subprocess.Popen[bytes]:
    arguments = [str(connection.fileno()), implementation, str(threads), str(memory_limit_bytes)]
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
    # The size of XLA's thread pool (xla/pjrt/utils.cc).
    variables["NPROC"] = str(threads)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-c", START, *arguments],
        pass_fds=[connection.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **variables, "PYTHONPATH": path},
        # A group of its own: Ctrl-C is the parent's to hear, and all it started can be ended.
        start_new_session=True,
    )


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
