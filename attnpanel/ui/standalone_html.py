"""A Bokeh document as one HTML file: no server, no network."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from bokeh.embed.util import OutputDocumentFor, standalone_docs_json_and_render_items
from bokeh.resources import Resources
from panel.io.state import state

from attnpanel.ui.common_texts import take_out_texts
from attnpanel.ui.components import bundle
from attnpanel.ui.libraries import deflated, licence_comments
from attnpanel.ui.shared_styles import PANEL_DIST, share_stylesheets
from attnpanel.ui.theme import BODY_CSS
from attnpanel.ui.words import current_language, t, words_for_module

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bokeh.document import Document

# panel.min.js fails to load without Bokeh's widgets and tables.
BOKEH_PARTS = ["bokeh", "bokeh-widgets", "bokeh-tables"]
# Shown while the libraries unpack on a slow machine, and permanently if they cannot.
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
# Second line of defence: the file makes no request, whatever it contains, and of scripts in it only
# its own run. Bokeh evaluates code from text, Panel imports modules from blobs, a saved plot is a
# blob, and attention is computed by WebAssembly.
POLICY = (
    "default-src 'none'; script-src {hashes} 'unsafe-eval' 'wasm-unsafe-eval' blob:; "
    "worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; connect-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
PAGE = """<!DOCTYPE html>
<html lang="{language}">
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
<script>{start}</script>
{libraries}
<script type="application/octet-stream" id="attnpanel-texts">{texts}</script>
<script type="application/json" id="attnpanel-roots">{items}</script>
<script type="application/json" id="attnpanel-document">"""
# The page opens when the parser comes to this mark.
MARK = """</script>
<script type="text/plain" id="attnpanel-end"></script>
"""
END = """</body>
</html>
"""


def standalone_html(
    document: Document,
    layout: Any,
    title: str,
    texts: Mapping[str, str] | None = None,
    appendix: Iterable[str] = (),
    css: str = BODY_CSS,
) -> list[str]:
    """Render a layout as HTML with all scripts, styles and data inlined.

    Parameters
    ----------
    document : Document
        An empty document, to which the layout is added.
    layout : Panel object
    title : str
        The page's title.
    texts : mapping of str to str, optional
        Large base64 texts by their placeholders in the layout, in the order of the layout. They
        bypass JSON encoding, which would copy 100 MB several times.
    appendix : iterable of str, optional
        Elements at the end of the file, which the page does not wait for.
    css : str, optional
        Style of the page around the layout.

    Returns
    -------
    list of str
        Pieces of the file, in order.
    """
    parts = document_parts(document, layout)
    common = take_out_texts(parts.document)
    notices, libraries, policy = _libraries(current_language())
    page = PAGE.format(
        language=current_language(),
        version=version("attnpanel"),
        title=html.escape(title),
        policy=policy,
        css=css + OPENING_CSS,
        opening=html.escape(t(OPENING)),
        notices=notices,
        roots=parts.roots,
        start=_start(current_language()),
        libraries=libraries,
        texts=deflated(json.dumps(common)),
        items=parts.items,
    )
    return [page, *_filled(script_json(parts.document), texts or {}), MARK, *appendix, END]


@dataclass(frozen=True)
class DocumentParts:
    """A Bokeh document as parts of an HTML page.

    Attributes
    ----------
    roots : str
        The elements that it is drawn into.
    items : str
        As JSON, which root goes into which element: Bokeh's render items.
    document : dict
        The document by its id, as data for JSON.
    """

    roots: str
    items: str
    document: dict[str, Any]


def document_parts(document: Document, layout: Any) -> DocumentParts:
    """Add a layout to an empty document and return it as parts of a page.

    Panel would keep the models of the layout for good: a session that ends drops them, and a file
    has none.
    """
    root = layout.get_root(document)
    try:
        document.add_root(root)
        with document.models.freeze():  # or Bokeh walks the whole document after every change
            share_stylesheets(list(document.models))
        with OutputDocumentFor([root], always_new=False):
            (docs, (item,)) = standalone_docs_json_and_render_items(
                [root], suppress_callback_warning=True
            )
    finally:
        layout._cleanup(root)  # noqa: SLF001 - what Panel calls when a session ends
        state._views.pop(root.ref["id"], None)  # noqa: SLF001 - as above
    elements = item.roots.to_json().values()
    return DocumentParts(
        roots="\n".join(f'<div id="{element}"></div>' for element in elements),
        items=script_json([item.to_json()]),
        document=dict(docs),
    )


def script_json(data: Any) -> str:
    """Encode as JSON that cannot end the script element around it."""
    return json.dumps(data).replace("<", "\\u003c")


def _filled(text: str, texts: Mapping[str, str]) -> list[str]:
    """Split a text at its placeholders and insert the large texts."""
    pieces = []
    for placeholder, large in texts.items():
        before, _, text = text.partition(placeholder)
        pieces += [before, large]
    return [*pieces, text]


@cache
def _libraries(language: str) -> tuple[str, str, str]:
    """Return Bokeh's and Panel's licences as a comment, their code deflated, and the policy.

    Deflating takes the code from 2.7 MB to 1.0 MB. The policy lets these scripts run by their
    hashes, and no other that a file may come to contain.
    """
    resources = Resources(mode="inline", components=BOKEH_PARTS)
    # js_raw ends with a call of `set_log_level`, which the file does without.
    codes = dict(zip(BOKEH_PARTS, resources.js_raw, strict=False))
    codes["panel"] = (PANEL_DIST / "panel.min.js").read_text(encoding="utf-8")
    elements = (
        f'<script type="application/octet-stream" data-attnpanel-library="{name}">'
        f"{deflated(code)}</script>"
        for name, code in codes.items()
    )
    hashes = " ".join(map(_hash, (_start(language), *codes.values())))
    return _notices(codes), "\n".join(elements), POLICY.format(hashes=hashes)


def _start(language: str) -> str:
    module = bundle("start_report")
    return f"\n{words_for_module(module, language)}{module}"


def _hash(script: str) -> str:
    """Return a script as a Content-Security-Policy names it."""
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode('ascii')}'"


def _notices(codes: dict[str, str]) -> str:
    comments = [comment for code in codes.values() for comment in licence_comments(code)]
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
