"""Views that follow the state by themselves, to be composed by `+` and `*`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
from bokeh.models import Title

from attnpanel.state import ExplorerState
from attnpanel.trace import AttentionCall, Trace
from attnpanel.views.table import VIEWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attnpanel.views.table import View


class LiveViews:
    """The views of a state, each as an `hv.DynamicMap` made when it is first asked for.

    HoloViews draws such a view anew at each change of the state, which takes 74 to 107 ms where
    the explorer's own pictures take a few.

    Parameters
    ----------
    state : ExplorerState

    Examples
    --------
    >>> explorer = ap.Explorer(ap.toy_trace())                   # doctest: +SKIP
    >>> explorer.views.scores + explorer.views.weights           # doctest: +SKIP
    """

    def __init__(self, state: ExplorerState) -> None:
        self._state = state
        self._made: dict[str, Any] = {}

    def __iter__(self) -> Iterator[str]:
        """Name the views, in the order in which the explorer shows them."""
        return (view.name for view in VIEWS)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __getattr__(self, name: str) -> Any:
        view = next((view for view in VIEWS if view.name == name), None)
        if view is None:
            raise AttributeError(f"a view must be one of {', '.join(self)}; got {name!r}")
        if name not in self._made:
            self._made[name] = live(view, self._state)
        return self._made[name]


def live(view: View, state: ExplorerState) -> Any:
    """Return a view as an `hv.DynamicMap` of the state; its title says what can't be drawn."""
    drawn: list[Any] = []

    def draw(**_values: object) -> Any:
        # What a DynamicMap's function raises passes Panel's handler by, and nobody would see it.
        try:
            element = view.element(state)
        except ValueError as error:
            shown = drawn[0] if drawn else view.element(_nothing())
            return _saying(shown, f"This can't be shown: {error}")
        drawn[:] = [element]
        return _saying(element, None)

    names = dict.fromkeys((*view.depends, *view.moves))
    return hv.DynamicMap(draw, streams=[hv.streams.Params(state, list(names))])


def _nothing() -> ExplorerState:
    """A state of one cell: the same kind of picture, whatever could not be drawn."""
    one = np.zeros((1, 1, 1, 1), dtype=np.float32)
    return ExplorerState(Trace([AttentionCall("", 0, query=one, key=one, value=one)]))


def _saying(element: Any, sentence: str | None) -> Any:
    """Return an element with the sentence as its title, and without one where there is none."""

    def say(plot: Any, _element: Any) -> None:
        plot.state.title = Title(text=sentence) if sentence else None

    hooks = hv.Store.lookup_options("bokeh", element, "plot").kwargs.get("hooks", [])
    return element.opts(hooks=[*hooks, say], clone=True)
