"""A Bokeh document as one HTML file: no server, no network."""

from __future__ import annotations

import base64
import html
import json
import re
import zlib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import panel as pn
from bokeh.embed.util import OutputDocumentFor, standalone_docs_json_and_render_items
from bokeh.models import ImportedStyleSheet, InlineStyleSheet, UIElement
from bokeh.resources import Resources

from attnpanel.theme import BODY_CSS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bokeh.document import Document

BROWSER = Path(__file__).parent / "browser"
START = (BROWSER / "share_styles.js", BROWSER / "start_report.js")
# panel.min.js fails to load without Bokeh's widgets and tables.
BOKEH_PARTS = ["bokeh", "bokeh-widgets", "bokeh-tables"]
PANEL_DIST = Path(pn.__file__).parent / "dist"
LICENCE_WORDS = re.compile("licen[cs]e|copyright", re.IGNORECASE)
# What a reader sees while the libraries unpack on a slow machine, and for good where they can't.
OPENING = (
    "This report is drawn by JavaScript. If nothing else appears: allow JavaScript for this file, "
    "or open it in a browser of 2023 or later (Chrome or Edge 93, Firefox 113, Safari 16.4)."
)
OPENING_CSS = """
#attnpanel-opening { margin: 2em; font: 16px/1.5 system-ui, sans-serif; color: #667085;
  visibility: hidden; animation: attnpanel-late 0s 3s forwards; }
#attnpanel-opening.attnpanel-failed { visibility: visible; animation: none; }
@keyframes attnpanel-late { to { visibility: visible; } }
"""
# A second barrier: whatever slips through, nothing is asked of anybody. Bokeh makes code from text,
# Panel imports modules from blobs, and a picture saved is a blob.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; connect-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="attnpanel {version}">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{css}</style>
<noscript><style>#attnpanel-opening {{ visibility: visible; animation: none; }}</style></noscript>
{notices}
</head>
<body>
<p id="attnpanel-opening">{opening}</p>
{roots}
<script>
{start}</script>
{libraries}
<script type="application/json" id="attnpanel-roots">{items}</script>
<script type="application/json" id="attnpanel-document">"""
END = """</script>
<script type="text/plain" id="attnpanel-end"></script>
</body>
</html>
"""


def offline_page(
    document: Document, layout: Any, title: str, texts: Mapping[str, str] | None = None
) -> list[str]:
    """Return the HTML of a layout: scripts, styles and data inside, nothing to fetch.

    In pieces, which one writes one after another: the data may be large.

    Parameters
    ----------
    document : Document
        An empty one; the layout goes in.
    layout : Panel object
    title : str
        The page's title.
    texts : mapping of str to str, optional
        Large base64 texts by the placeholders that stand for them in the layout, in their order
        there: JSON of 100 MB would be copied several times on its way into the file.

    Returns
    -------
    list of str
    """
    root = layout.get_root(document)
    document.add_root(root)
    with document.models.freeze():  # or Bokeh walks the whole document after every change
        _inline_styles(document)
    with OutputDocumentFor([root], always_new=False):
        (docs, (item,)) = standalone_docs_json_and_render_items(
            [root], suppress_callback_warning=True
        )
    notices, libraries = _libraries()
    page = PAGE.format(
        version=version("attnpanel"),
        title=html.escape(title),
        policy=POLICY,
        css=BODY_CSS + OPENING_CSS,
        opening=OPENING,
        notices=notices,
        roots="\n".join(f'<div id="{element}"></div>' for element in item.roots.to_json().values()),
        start="".join(path.read_text(encoding="utf-8") for path in START),
        libraries=libraries,
        items=_json([item.to_json()]),
    )
    return [page, *_filled(_json(docs), texts or {}), END]


def _json(data: Any) -> str:
    """JSON in which nothing can end the script element it lies in."""
    return json.dumps(data).replace("<", "\\u003c")


def _filled(text: str, texts: Mapping[str, str]) -> list[str]:
    """Cut a text at its placeholders and put in what they stand for."""
    pieces = []
    for placeholder, large in texts.items():
        before, _, text = text.partition(placeholder)
        pieces += [before, large]
    return [*pieces, text]


def _inline_styles(document: Document) -> None:
    """Give every component its styles as text, each text once in the file."""
    shared: dict[str, InlineStyleSheet] = {}
    for model in list(document.models):
        if not isinstance(model, UIElement):  # what hasattr would ask, Bokeh answers slowly
            continue
        # One element a component: a report has two hundred, each in a shadow root of its own.
        text = "\n".join(filter(None, map(_style_text, model.stylesheets)))
        model.stylesheets = [shared.setdefault(text, InlineStyleSheet(css=text))] if text else []


def _style_text(sheet: Any) -> str:
    if isinstance(sheet, ImportedStyleSheet):
        relative = re.sub(r"^.*?/dist/|\?.*$", "", sheet.url)
        return (PANEL_DIST / relative).read_text(encoding="utf-8")
    return sheet.css if isinstance(sheet, InlineStyleSheet) else str(sheet)


@cache
def _libraries() -> tuple[str, str]:
    """Bokeh and Panel: their licences as an HTML comment, their code deflated (2.7 MB to 1.0)."""
    resources = Resources(mode="inline", components=BOKEH_PARTS)
    codes = dict(zip(BOKEH_PARTS, resources.js_raw, strict=False))  # last, a call that we make
    codes["panel"] = (PANEL_DIST / "panel.min.js").read_text(encoding="utf-8")
    elements = (
        f'<script type="application/octet-stream" data-attnpanel-library="{name}">'
        f"{base64.b64encode(zlib.compress(code.encode(), 6)).decode('ascii')}</script>"
        for name, code in codes.items()
    )
    return _notices(codes), "\n".join(elements)


def _notices(codes: dict[str, str]) -> str:
    comments = [
        comment
        for code in codes.values()
        for comment in re.findall(r"/\*.*?\*/", code, re.DOTALL)
        if comment.startswith("/*!") or LICENCE_WORDS.search(comment)
    ]
    text = "\n\n".join(
        [
            f"Made by attnpanel {version('attnpanel')} (MIT). In this file, deflated:",
            f"Bokeh {version('bokeh')}, BSD-3-Clause: "
            "Copyright (c) Anaconda, Inc., and Bokeh Contributors\n"
            f"Panel {version('panel')}, BSD-3-Clause: Copyright (c) HoloViz team (holoviz.org)\n"
            "The conditions of both, and the notices of what they contain:",
            *dict.fromkeys(comments),
        ]
    )
    return f"<!--\n{text.replace('--', '- -')}\n-->"
