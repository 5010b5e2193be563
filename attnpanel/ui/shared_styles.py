"""Share equal stylesheets between the components of a page."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def share_page_styles(view: Any, root: Model) -> None:
    """Share equal stylesheets of a page to be served, which would be most of what is sent of it.

    Panel calls this after each change of a layout, too: a page that is open is left as it is. Only
    what Panel made has stylesheets; to look through all that it refers to costs ten times as much.
    """
    if root.document is None:
        key = root.ref["id"]
        made = [part._models for part in view.select()]  # noqa: SLF001 - Panel's own find them so
        share_stylesheets(models[key][0] for models in made if key in models)


def _style_text(sheet: object) -> str:
    if isinstance(sheet, ImportedStyleSheet):
        return _panel_sheet(re.sub(r"^.*?/dist/|\?.*$", "", sheet.url))
    return sheet.css if isinstance(sheet, InlineStyleSheet) else str(sheet)


@cache
def _panel_sheet(relative: str) -> str:
    """Return one of Panel's stylesheets, with the pictures that it names by file in it."""
    path = PANEL_DIST / relative

    def embedded(match: re.Match[str]) -> str:
        picture = b64encode((path.parent / match[1]).read_bytes()).decode("ascii")
        return f"url(data:image/svg+xml;base64,{picture})"

    return re.sub(
        r"""url\(['"]?([^'":)]+\.svg)['"]?\)""", embedded, path.read_text(encoding="utf-8")
    )
