"""The children of a run, one for each implementation: started when asked, ended together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.child import Child, ChildFailure
from bench.memory import available_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.planning import Plan

# An implementation whose process was lost this often in a row is not asked again: each hang
# costs the whole time limit.
MOST_LOSSES = 3


class Children:
    """Asks each implementation's child, and starts a new one where the last was lost.

    Several threads may ask at once, each for another implementation. A child ends with the
    thread that started it.

    Parameters
    ----------
    plan : Plan
    stopped : function
        True when somebody wants the run to stop.
    """

    def __init__(self, plan: Plan, stopped: Callable[[], bool]) -> None:
        self._plan = plan
        self._stopped = stopped
        self._children: dict[str, Child] = {}
        self._losses: dict[tuple[str, str], int] = {}
        self._memory = plan.memory_limit_bytes or available_bytes() * 4 // 5

    def ask(self, name: str, order: str, *arguments: Any) -> Any:
        """Let a child do something and return its answer.

        Raises
        ------
        ChildFailure
            If there is none.
        Cancelled
        """
        if self._losses.get((name, order), 0) >= MOST_LOSSES:
            raise ChildFailure(
                "error", f"not tried: its process was lost {MOST_LOSSES} times in a row at this"
            )
        try:
            child = self._children.get(name)
            if child is None or not child.alive:
                child = self._children[name] = Child(
                    name,
                    threads=self._plan.threads,
                    memory_limit_bytes=self._memory,
                    stopped=self._stopped,
                )
            answer = child.ask(order, *arguments, limit_s=self._plan.time_limit_s)
        except ChildFailure:
            child = self._children.get(name)
            if child is None or not child.alive:
                self._losses[name, order] = self._losses.get((name, order), 0) + 1
            raise
        self._losses[name, order] = 0
        return answer

    def alive(self, name: str) -> bool:
        """Whether an implementation's child still holds what it was asked to prepare."""
        child = self._children.get(name)
        return child is not None and child.alive

    def end(self, name: str) -> None:
        """End an implementation's child, if there is one."""
        child = self._children.pop(name, None)
        if child is not None:
            child.close()

    def close(self) -> None:
        """End all of them."""
        for name in list(self._children):
            self.end(name)
