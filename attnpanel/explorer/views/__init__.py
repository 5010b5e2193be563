"""Views: one function each from the state to a plot, and the table of them."""

from __future__ import annotations

from attnpanel.explorer.views.drawing import Colours, Drawing
from attnpanel.explorer.views.table import VIEWS, View

__all__ = ["VIEWS", "Colours", "Drawing", "View"]
