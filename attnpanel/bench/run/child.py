"""The parent's side of a child process that runs one implementation.

An exception, a crash, lack of memory or a time-out in the child is raised here as a
:class:`ChildFailure`; :mod:`attnpanel.bench.run.worker` is the child's side.
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

import psutil  # type: ignore[import-untyped]

from attnpanel.bench.measure.environment import ROOT, THREAD_VARIABLES, in_checkout
from attnpanel.bench.measure.memory import out_of_memory_kills

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.bench.run.records import Status

# Not `-m` with its name: its classes would belong to `__main__` and could not be unpickled here.
START = "import sys; from attnpanel.bench.run.worker import main; main(sys.argv[1:])"
START_LIMIT_S = 60.0
# Time to notice cancellation; waking up more often would disturb the timings.
POLL_INTERVAL_S = 0.2
MAX_STDERR_CHARS = 1500
# Otherwise glibc maps blocks of some MB anew in one process and reuses them in another, as their
# order has it, and a call takes 12 or 26 ms (torch-eager, T = 512; 0 or 6,368 page faults). 32 MiB
# is the largest threshold that it accepts.
ALLOCATOR_VARIABLES = {
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_TOP_PAD_": str(2**26),
}


class ChildFailure(Exception):  # noqa: N818 - an outcome, not an error
    """The child gave no answer: the status of its row, and the reason."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


class Cancelled(Exception):  # noqa: N818 - requested, not an error
    """The run was cancelled."""


class Child:
    """A process for one implementation; it dies with its parent, even if that is killed.

    Parameters
    ----------
    implementation : str
        Name, or ``module:NAME``.
    threads : int
        Passed in environment variables, since libraries read them when they are loaded.
    memory_limit_bytes : int
        Allocations fail beyond it.
    is_cancelled : function
        Once it returns True, :meth:`ask` ends the process and raises Cancelled.

    Raises
    ------
    ChildFailure
        If the process does not start.
    """

    def __init__(
        self,
        implementation: str,
        *,
        threads: int,
        memory_limit_bytes: int,
        is_cancelled: Callable[[], bool],
    ) -> None:
        self._is_cancelled = is_cancelled
        self._stderr_tail: deque[str] = deque(maxlen=16)
        self._kills_before = out_of_memory_kills()
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
        """Whether the process still answers requests."""
        return not self._connection.closed

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def ask(self, method: str, *arguments: Any, limit_s: float) -> Any:
        """Call a method of the child's worker and return its result.

        Raises
        ------
        ChildFailure
            If there is no result. The process has ended, unless the method raised an exception.
        Cancelled
            If the run was cancelled meanwhile.
        """
        try:
            self._connection.send((method, arguments))
        except OSError:  # it ended since its last answer
            raise self._ended() from None
        return self._answer(limit_s)

    def close(self) -> None:
        """Kill the process and every process that it started."""
        if self._connection.closed:
            return
        # What left the group, which it can by a session of its own.
        descendants = _descendants(self._process.pid)
        # The group still exists if the process has ended but left children behind.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in descendants:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()
        self._connection.close()
        self._listener.join(timeout=1)

    def _answer(self, limit_s: float) -> Any:
        deadline = time.monotonic() + limit_s
        while not self._connection.poll(
            max(0.0, min(POLL_INTERVAL_S, deadline - time.monotonic()))
        ):
            if self._is_cancelled():
                self.close()
                raise Cancelled
            # The connection may stay open after the process ends: its children inherit it.
            if self._process.poll() is not None and not self._connection.poll():
                raise self._ended()
            if time.monotonic() > deadline:
                self.close()
                raise ChildFailure("timed out", f"no answer within {limit_s:g} s")
        try:
            status, answer, ends = self._connection.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        if ends:  # it lost its device: the next request needs a new process
            self.close()
        if status != "ok":
            raise ChildFailure(status, answer)
        return answer

    def _ended(self) -> ChildFailure:
        """Return why the process ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.returncode
        self.close()
        stderr = "".join(self._stderr_tail).strip()[-MAX_STDERR_CHARS:]
        tail = f"; stderr ended with: {stderr}" if stderr else ""
        if code == -signal.SIGKILL and out_of_memory_kills() > self._kills_before:
            return ChildFailure(
                "out of memory", f"killed by the kernel, which had run out of memory{tail}"
            )
        if code == -signal.SIGKILL:
            return ChildFailure(
                "killed", f"by signal 9; the kernel reports no lack of memory{tail}"
            )
        if code is not None and code < 0:
            return ChildFailure("crashed", f"ended by {_signal_name(-code)}{tail}")
        return ChildFailure("crashed", f"ended by itself with exit status {code}{tail}")

    def _listen(self) -> None:
        """Keep the tail of stderr: an unread pipe would block the child, a file fill the disk."""
        assert self._process.stderr is not None  # noqa: S101 - for mypy: stderr=PIPE
        with self._process.stderr as stream:
            while chunk := os.read(stream.fileno(), 4096):
                self._stderr_tail.append(chunk.decode(errors="replace"))


def _descendants(process: int) -> list[psutil.Process]:
    """Return a process's children, and theirs."""
    try:
        return list(psutil.Process(process).children(recursive=True))
    except psutil.Error:
        return []


def _start(
    connection: Connection, implementation: str, threads: int, memory_limit_bytes: int
) -> subprocess.Popen[bytes]:
    arguments = [str(connection.fileno()), implementation, str(threads), str(memory_limit_bytes)]
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
    # The size of XLA's thread pool (xla/pjrt/utils.cc).
    variables["NPROC"] = str(threads)
    own = str(ROOT) if in_checkout() else None  # what is installed is found without it
    path = os.pathsep.join(filter(None, [own, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-c", START, *arguments],
        pass_fds=[connection.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **ALLOCATOR_VARIABLES, **variables, "PYTHONPATH": path},
        # A process group of its own: Ctrl-C reaches the parent only, and the group can be killed.
        start_new_session=True,
    )


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
