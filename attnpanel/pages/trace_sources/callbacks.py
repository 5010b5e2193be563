"""Callbacks that a page hands to its trace sources, and the row of a source's widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.trace import Trace
from attnpanel.ui.theme import stylesheet

if TYPE_CHECKING:
    from attnpanel.models.prompts import PromptChange

# Shows a trace with some choices set; returns whether it is on screen now.
ShowTrace = Callable[[Trace, Mapping[str, Any]], bool]
# Shows a message: tone ("plain", "busy" or "error") and text.
Notify = Callable[[str, str], None]
# Shows a run with changed attention beside the unchanged one: both, and what was changed.
ShowChange = Callable[["PromptChange", str], None]


def widget_row(*widgets: Any) -> Any:
    """Return the widgets of a source side by side."""
    return pn.Row(
        *widgets,
        css_classes=["attn-source"],
        stylesheets=[stylesheet()],
        sizing_mode="stretch_width",
        margin=0,
    )
