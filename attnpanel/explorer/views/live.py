"""Views as HoloViews DynamicMaps that follow the state and compose by `+` and `*`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
from bokeh.models import Title

from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views.table import VIEWS
from attnpanel.trace import AttentionCall, Trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attnpanel.explorer.views.table import View


class LiveViews:
    """The views of a state, each as an `hv.DynamicMap` created on first access.

    HoloViews redraws such a view at each change of the state, which takes 74 to 107 ms; the
    explorer's own plots take a few.

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
        # Exceptions of a DynamicMap's function do not reach Panel's handler and would go unnoticed.
        try:
            element = view.element(state)
        except ValueError as error:
            shown = drawn[0] if drawn else view.element(one_cell())
            return _with_title(shown, f"This can't be shown: {error}")
        drawn[:] = [element]
        return _with_title(element, None)

    names = dict.fromkeys((*view.depends, *view.moves))
    return hv.DynamicMap(draw, streams=[hv.streams.Params(state, list(names))])


def one_cell() -> ExplorerState:
    """Return a state of one cell, to create plots without computing a layer."""
    one = np.zeros((1, 1, 1, 1), dtype=np.float32)
    return ExplorerState(Trace([AttentionCall("", 0, query=one, key=one, value=one)]))


def _with_title(element: Any, sentence: str | None) -> Any:
    """Return an element with a sentence as its title, or without a title."""

    def set_title(plot: Any, _element: Any) -> None:
        plot.state.title = Title(text=sentence) if sentence else None

    hooks = hv.Store.lookup_options("bokeh", element, "plot").kwargs.get("hooks", [])
    return element.opts(hooks=[*hooks, set_title], clone=True)
