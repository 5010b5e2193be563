"""Views: one function each from the state to a picture, and the table of them."""

from __future__ import annotations

from attnpanel.views.drawing import Colours, Drawing
from attnpanel.views.table import VIEWS, View

__all__ = ["VIEWS", "Colours", "Drawing", "View"]
