"""Calls that are made without a clock of their process, while the kernel counts its CPU time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from attnpanel.bench.run.fresh_inputs import Variation
    from attnpanel.bench.run.timed_results import ResultObserver


@dataclass(eq=False)
class CountedCalls:
    """Calls of a warm case, each with inputs of its own.

    Attributes
    ----------
    fresh : function
        Prepares a call.
    observer : function
        Makes what keeps results.
    context : function
        Returns the implementation's context.
    judge : function
        Judges what an observer kept; raises RefusedError if it is wrong.
    """

    fresh: Callable[[], tuple[Callable[[], Any], Variation]]
    observer: Callable[[], ResultObserver[Any]]
    context: Callable[[], AbstractContextManager[Any]]
    judge: Callable[[ResultObserver[Any], list[Variation]], int]
    _prepared: list[tuple[Callable[[], Any], Variation]] = field(default_factory=list)
    _observed: list[ResultObserver[Any]] = field(default_factory=list)

    def prepare(self, count: int) -> None:
        """Prepare calls."""
        self._prepared = [self.fresh() for _ in range(count)]

    def make(self) -> None:
        """Make the prepared calls, and nothing else."""
        observer = self.observer()
        self._observed = [observer]
        with self.context():
            for call, _ in self._prepared:
                observer(call())
        observer.freeze()

    def check(self) -> None:
        """Judge the results.

        Raises
        ------
        RefusedError
            If one is wrong.
        """
        for observer in self._observed:
            self.judge(observer, [variation for _, variation in self._prepared])
        self._prepared, self._observed = [], []
