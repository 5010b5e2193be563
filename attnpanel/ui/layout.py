"""Layout helpers shared by all pages: a styled column and a caption."""

from __future__ import annotations

from typing import Any, Final

import panel as pn

from attnpanel.ui.components import Caption, Legend
from attnpanel.ui.theme import stylesheet

# Styles of a Bokeh plot. Bokeh clears a canvas from half a pixel on: after a second layout, as of a
# plot that was hidden at first, the leftmost column keeps a trace of the old one. Only that column
# is clipped, which ends in the second pixel where a plot begins within one; a tooltip may reach
# beyond every other side.
CLIP: Final = {"clip-path": "inset(-999px -999px -999px 2px)"}


def box(*children: Any, css: str) -> Any:
    """Return a full-width column with the page's stylesheet and these CSS classes."""
    return pn.Column(
        *children,
        css_classes=css.split(),
        stylesheets=[stylesheet()],
        sizing_mode="stretch_width",
        margin=0,
    )


def legend(name: str) -> Legend:
    """Return the place of a plot's colour bar, by the plot's name."""
    css = ["attn-legend-place", f"attn-legend-{name}"]
    return Legend(sizing_mode="stretch_width", margin=0, css_classes=css)


def caption(css: str, **options: Any) -> Caption:
    """Return a full-width caption with this CSS class."""
    return Caption(sizing_mode="stretch_width", margin=0, css_classes=[css], **options)
