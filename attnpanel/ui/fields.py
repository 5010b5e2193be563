"""Widgets and plots with a name for those who hear a page, whether or not it is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.ui.theme import stylesheet

if TYPE_CHECKING:
    from collections.abc import Sequence

# Hides a field's label from sight alone, where its place already says what it is.
UNSEEN_LABEL = "attn-unseen-label"


def field(
    make: Any, label: str, *, seen: bool = True, css: Sequence[str] = (), **options: Any
) -> Any:
    """Return a widget that has a name.

    Parameters
    ----------
    make : type
        A Panel widget's class.
    label : str
        Its name; required, since a placeholder or a heading beside it names nothing.
    seen : bool, optional
        Whether the label is shown. A group of buttons never shows its own.
    css : sequence of str, optional
        CSS classes.
    **options
        Of the widget.

    Raises
    ------
    ValueError
        If the label is blank.
    """
    if not label.strip():
        raise ValueError("a field needs a label; got a blank one")
    options = {"margin": 0, "stylesheets": [stylesheet()], **options}
    if issubclass(make, pn.widgets.RadioButtonGroup):
        options["tags"] = [name_tag(label)]
    return make(label=label, css_classes=[*css, *[UNSEEN_LABEL] * (not seen)], **options)


def name_tag(label: str) -> dict[str, str]:
    """Return the tag by which `js/bokeh_patches/accessible_names.js` names a group or a plot."""
    return {"label": label}
