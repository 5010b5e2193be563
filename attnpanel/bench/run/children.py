"""The child processes of a run, one for each implementation, started on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnpanel.bench.measure.clocks import (
    cpu_seconds_of,
    main_thread_seconds,
    processes_below,
)
from attnpanel.bench.measure.memory import available_bytes
from attnpanel.bench.run.child import Child, ChildFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.bench.run.planning import Plan

# After this many lost processes in a row an implementation is not tried again: each hang takes
# the whole time limit.
MAX_LOSSES = 3


class Children:
    """Sends requests to each implementation's child process, restarting it after a failure.

    Threads may call :meth:`ask` concurrently for different implementations. On Linux a child dies
    with the thread that started it.

    Parameters
    ----------
    plan : Plan
    is_cancelled : function
        Returns True once the run is cancelled.
    """

    def __init__(self, plan: Plan, is_cancelled: Callable[[], bool]) -> None:
        self._plan = plan
        self._is_cancelled = is_cancelled
        self._children: dict[str, Child] = {}
        self._losses: dict[tuple[str, str], int] = {}
        self._memory = plan.memory_limit_bytes or available_bytes() * 4 // 5

    def ask(self, name: str, method: str, *arguments: Any) -> Any:
        """Call a method of a child's worker and return its result.

        Raises
        ------
        ChildFailure
            If there is no result.
        Cancelled
            If the run was cancelled meanwhile.
        """
        if self._losses.get((name, method), 0) >= MAX_LOSSES:
            raise ChildFailure(
                "error", f"not tried: its process was lost {MAX_LOSSES} times in a row at this"
            )
        try:
            child = self._children.get(name)
            if child is None or not child.alive:
                child = self._children[name] = Child(
                    name,
                    threads=self._plan.threads,
                    memory_limit_bytes=self._memory,
                    is_cancelled=self._is_cancelled,
                )
            answer = child.ask(method, *arguments, limit_s=self._plan.time_limit_s)
        except ChildFailure:
            child = self._children.get(name)
            if child is None or not child.alive:
                self._losses[name, method] = self._losses.get((name, method), 0) + 1
            raise
        self._losses[name, method] = 0
        return answer

    def alive(self, name: str) -> bool:
        """Whether the child is running and so still holds its prepared cases."""
        child = self._children.get(name)
        return child is not None and child.alive

    def main_thread_seconds(self, name: str) -> float:
        """Return the CPU seconds of the child's main thread, by the kernel; 0 if unknown."""
        child = self._children.get(name)
        return 0.0 if child is None else main_thread_seconds(child.pid)

    def cpu_seconds(self, name: str) -> float:
        """Return the CPU seconds of the child and its descendants, by the kernel; 0 if unknown."""
        child = self._children.get(name)
        if child is None:
            return 0.0
        return cpu_seconds_of([child.pid, *processes_below(child.pid)])

    def end(self, name: str) -> None:
        """End the child of an implementation, if there is one."""
        child = self._children.pop(name, None)
        if child is not None:
            child.close()

    def close(self) -> None:
        """End all children."""
        for name in list(self._children):
            self.end(name)
