"""Share equal stylesheets between the components of a page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import panel as pn
from bokeh.models import ImportedStyleSheet, InlineStyleSheet, UIElement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bokeh.model import Model

PANEL_DIST = Path(pn.__file__).parent / "dist"


def share_stylesheets(models: Iterable[Model]) -> None:
    """Inline every component's stylesheets, with one model for equal texts.

    Otherwise Panel writes the same stylesheets for each of some 200 components of a page.
    Stylesheets that would be fetched from a server are inlined too.
    """
    shared: dict[str, InlineStyleSheet] = {}
    for model in models:
        if not isinstance(model, UIElement):  # faster than hasattr, which is slow on Bokeh models
            continue
        # One style element per component: each has its own shadow root.
        text = "\n".join(filter(None, map(_style_text, model.stylesheets)))
        model.stylesheets = [shared.setdefault(text, InlineStyleSheet(css=text))] if text else []


def _style_text(sheet: object) -> str:
    if isinstance(sheet, ImportedStyleSheet):
        relative = re.sub(r"^.*?/dist/|\?.*$", "", sheet.url)
        return (PANEL_DIST / relative).read_text(encoding="utf-8")
    return sheet.css if isinstance(sheet, InlineStyleSheet) else str(sheet)
