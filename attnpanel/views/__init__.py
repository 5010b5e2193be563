"""Views: one function each from the state to a picture, and the table of them."""

from __future__ import annotations

from attnpanel.views.drawing import Colours, Drawing
from attnpanel.views.table import EMPTY_VIEWS, VIEWS, View

__all__ = ["EMPTY_VIEWS", "VIEWS", "Colours", "Drawing", "View"]
