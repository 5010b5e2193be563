"""The runs whose curves are drawn: their colours, and their points as read from the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnpanel.pages.lab.curves import COLOURS
from attnpanel.pages.lab.run_summary import best_answers, make_curve, point_values

if TYPE_CHECKING:
    from collections.abc import Collection

    from attnpanel.pages.lab.curves import Curve
    from attnpanel.training.records import Point, Run
    from attnpanel.training.store import RunStore


class DrawnRuns:
    """Choose colours of the drawn runs and read their new points; every point is read once.

    Parameters
    ----------
    store : RunStore

    Attributes
    ----------
    colours : dict of int to str
        Colour of each drawn run by its number; at most one run per colour.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self.colours: dict[int, str] = {}
        # A run that is drawn again gets its former colour if that is free.
        self._former_colours: dict[int, str] = {}
        self._points: dict[int, list[Point]] = {}
        self._answers: dict[int, dict[int, float]] = {}

    def show(self, number: int) -> None:
        """Draw a run; with all colours taken it replaces the oldest drawn run."""
        if number in self.colours:
            return
        if len(self.colours) == len(COLOURS):
            self.colours.pop(min(self.colours))
        start = (number - 1) % len(COLOURS)
        candidates = (self._former_colours.get(number), *COLOURS[start:], *COLOURS[:start])
        taken = self.colours.values()
        colour = next(colour for colour in candidates if colour and colour not in taken)
        self.colours[number] = self._former_colours[number] = colour

    def hide(self, number: int) -> None:
        """Stop drawing a run."""
        self.colours.pop(number, None)

    def keep_only(self, numbers: Collection[int]) -> None:
        """Stop drawing runs that are not among these."""
        for number in set(self.colours) - set(numbers):
            del self.colours[number]

    def read_points(self, number: int) -> bool:
        """Read a run's new points; return whether there are any."""
        points = self._points.setdefault(number, [])
        new = self._store.points(number, points[-1].step if points else -1)
        points += new
        return bool(new)

    def read_points_once(self, number: int) -> None:
        """Read a run's points if none have been read; enough for a run that has ended."""
        if number not in self._points:
            self.read_points(number)

    def last_point(self, number: int) -> Point | None:
        """Return the newest point read of a run."""
        points = self._points.get(number)
        return points[-1] if points else None

    def forget_answers(self, number: int) -> None:
        """Read a run's weights on the answer again from its first step."""
        self._answers[number] = {}

    def curve(self, run: Run, chart: str, followed: int | None) -> Curve:
        """Return a run's line in one chart."""
        if chart == "answer":
            known = self._answers.setdefault(run.id, {})
            known |= best_answers(self._store.answers(run.id, max(known, default=-1)))
            values = known
        else:
            values = point_values(self._points[run.id], chart)
        return make_curve(run, values, self.colours, followed)
