"""The box that the pages' parts lie in, and the words in it."""

from __future__ import annotations

from typing import Any

import panel as pn

from attnpanel.browser.components import Words
from attnpanel.theme import stylesheet


def box(*children: Any, css: str) -> Any:
    """Return a column as wide as there is room, in the page's styles and these CSS classes."""
    return pn.Column(
        *children,
        css_classes=css.split(),
        stylesheets=[stylesheet()],
        sizing_mode="stretch_width",
        margin=0,
    )


def caption(css: str, **options: Any) -> Words:
    """Return words as wide as there is room, of this CSS class."""
    return Words(sizing_mode="stretch_width", margin=0, css_classes=[css], **options)
