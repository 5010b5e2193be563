"""save_report(): the explorer as one HTML file, every control live, no server and no network."""

from __future__ import annotations

import html
import json
import os
import re
import tempfile
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nh3
import panel as pn
from bokeh.document import Document
from bokeh.embed.util import OutputDocumentFor, standalone_docs_json_and_render_items
from bokeh.models import ImportedStyleSheet, InlineStyleSheet
from bokeh.resources import Resources
from markdown_it import MarkdownIt
from panel.io.state import set_curdoc

from attnpanel.annotations import given_notes, merge_notes
from attnpanel.browser import ThemeButton, Words
from attnpanel.browser.browser_driver import BrowserDriver
from attnpanel.explorer import Explorer
from attnpanel.feed import settings
from attnpanel.payload import make_payload
from attnpanel.theme import BODY_CSS, stylesheet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from attnpanel.annotations import Note
    from attnpanel.payload import Payload, Values
    from attnpanel.trace import Trace

# panel.min.js fails to load without Bokeh's widgets and tables.
BOKEH_PARTS = ["bokeh", "bokeh-widgets", "bokeh-tables"]
PANEL_DIST = Path(pn.__file__).parent / "dist"
# Panel loads a component's module by es-module-shims, which it would fetch; every browser that can
# open the file imports modules by itself.
MODULE_LOADER = """
window.importShim = Object.assign((url) => import(url), { addImportMap() {} });
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="attnpanel {version}">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
{root}
{scripts}
<script type="application/json" id="attnpanel-document">{document}</script>
<script>
Bokeh.set_log_level("error");
// Parsed here: given a text, Bokeh undoes HTML escapes in it first, and so runs what was escaped.
Bokeh.embed.embed_items(
  JSON.parse(document.getElementById("attnpanel-document").textContent), {items});
</script>
</body>
</html>
"""


def save_report(
    trace: Trace | Explorer,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    notes: str | Mapping[str, Any] | os.PathLike[str] | None = None,
    values: Values = "auto",
    dtype: Literal["float16", "float32"] = "float16",
    **choices: Any,
) -> Path:
    """Write the explorer of a trace as one HTML file that needs no server and no network.

    Every control stays live: attention is computed in the browser from the stored queries and
    keys.

    Parameters
    ----------
    trace : Trace or Explorer
        What to show. An explorer's own choices are where the report opens.
    path : path
        Written to; the folder must exist. An older file stays as it was until the new one is
        complete on disk.
    title : str, optional
        The page's title; by default what the trace is of.
    notes : str, mapping or path, optional
        A str is Markdown shown below the explorer; HTML in it is shown as text. A mapping is a
        document of notes as the page exports it: their marks and words open with the report,
        beside an explorer's own. A path is that of a file of either; ``.json`` is a document.
    values : "auto" or bool, optional
        Whether values go in; without them there is no mix, and the paint seed is fixed. "auto"
        keeps them while all arrays fit 8 MB.
    dtype : {"float16", "float32"}, optional
        How queries, keys and values are stored: weights recomputed from float16 are within
        2e-3 of the model's.
    **choices
        Where the report opens, e.g. ``layer=3, head=1``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the trace holds no call, a choice does not exist in it, or the notes are none on it.
    OSError
        If the file can't be written; an older one at the path survives.
    """
    own: tuple[Note, ...] = ()
    if isinstance(trace, Explorer):
        state = trace.state
        opened = {name: getattr(state, name) for name in _remembered(state)}
        own, trace, choices = trace.notes, state.trace, {**opened, **choices}
    text, marks = given_notes(notes, trace)
    page = render_report(
        trace,
        title=title,
        notes=text,
        marks=merge_notes(own, marks),
        values=values,
        dtype=dtype,
        choices=choices,
    )
    return _write(Path(path), page)


def render_report(
    trace: Trace,
    *,
    title: str | None,
    notes: str,
    marks: tuple[Note, ...] = (),
    values: Values,
    dtype: Literal["float16", "float32"],
    choices: dict[str, Any],
) -> str:
    """Return the report's HTML; parameters as in :func:`save_report`."""
    document = Document()
    # A document of its own: made while a page is served, it would share that page's styles.
    with set_curdoc(document):
        explorer = Explorer(trace, whole_page=True, **choices)
        explorer.interaction.param.update(driver="browser", writes_address=False)
        explorer.tokens.driver = explorer.annotations.driver = "browser"
        explorer.notes = marks
        seed = explorer.state.color_seed
        payload = make_payload(trace, dtype=dtype, values=values, color_seed=seed)
        shown = title or f"Attention of {trace.model or trace.source or 'a model'}"
        layout = explorer.__panel__()
        layout.insert(1, _header(shown, explorer.uid))
        layout.append(_footer(trace, payload, notes))
        layout.append(_driver(explorer, payload))
        return _page(document, layout, shown)


def _remembered(state: Any) -> list[str]:
    kept = {"trace", "pair", "viewport", "name"}
    return [name for name in state.param if name not in kept]


def _header(title: str, uid: str) -> Any:
    return pn.Column(
        Words(text=title, heading=True, margin=0, css_classes=["attn-slot"]),
        ThemeButton(uid=uid, driver="browser", margin=0),
        css_classes=["attn-header"],
        stylesheets=[stylesheet()],
        sizing_mode="stretch_width",
        margin=0,
    )


def _footer(trace: Trace, payload: Payload, notes: str) -> Any:
    parts: list[Any] = []
    if notes:
        # HTML in the notes becomes text; what remains is cleaned again before it is trusted.
        safe = nh3.clean(MarkdownIt("commonmark", {"html": False}).render(notes))
        parts.append(
            pn.pane.HTML(
                safe,
                disable_math=True,  # a formula would ask a CDN for MathJax
                css_classes=["attn-notes"],
                stylesheets=[stylesheet()],
                sizing_mode="stretch_width",
                margin=0,
            )
        )
    parts += [
        Words(text=line, tone="muted", margin=0, sizing_mode="stretch_width")
        for line in provenance(trace, payload)
    ]
    card = pn.Column(
        *parts,
        css_classes=["attn-card"],
        stylesheets=[stylesheet()],
        sizing_mode="stretch_width",
        margin=0,
    )
    return pn.Column(
        card,
        css_classes=["attn-footer"],
        stylesheets=[stylesheet()],
        sizing_mode="stretch_width",
        margin=0,
    )


def provenance(trace: Trace, payload: Payload) -> list[str]:
    """Where the report's numbers come from and what was left out, in sentences."""
    calls = payload.meta["calls"]
    lines = [
        f"Source: {trace.source or 'unknown'} · model: {trace.model or 'none'}"
        f" · traced {trace.created} · attnpanel {version('attnpanel')}",
    ]
    stored = sorted({call["dtype"] for call in calls})
    line = (
        f"Stored as {', '.join(stored)}; attention is computed in this page from queries and keys."
    )
    if any(call["hasColours"] and not call["hasValue"] for call in calls):
        line += " Values were left out to keep the file small: no mix, and one paint seed."
    if not all(call["live"] for call in calls):
        line += " Some layers hold recorded weights only: mask and temperature can't be live there."
    return [*lines, line]


def _driver(explorer: Explorer, payload: Payload) -> BrowserDriver:
    return BrowserDriver(
        uid=explorer.uid,
        meta=payload.meta,
        payloads=payload.calls,
        width=0,
        height=0,
        margin=0,
        **settings(explorer.state),
    )


# -- one file --------------------------------------------------------------------------------


def _page(document: Document, layout: Any, title: str) -> str:
    root = layout.get_root(document)
    document.add_root(root)
    with document.models.freeze():  # or Bokeh walks the whole document after every change
        _inline_styles(document)
    with OutputDocumentFor([root], always_new=False):
        (docs, (item,)) = standalone_docs_json_and_render_items(
            [root], suppress_callback_warning=True
        )
    ids = list(item.roots.to_json().values()) if hasattr(item.roots, "to_json") else []
    return PAGE.format(
        version=version("attnpanel"),
        title=html.escape(title),
        css=BODY_CSS,
        root="\n".join(f'<div id="{element}"></div>' for element in ids),
        scripts=_scripts(),
        # Nothing in the data can end the script element it lies in.
        document=json.dumps(docs).replace("<", "\\u003c"),
        items=json.dumps([item.to_json()]).replace("<", "\\u003c"),
    )


def _inline_styles(document: Document) -> None:
    """Give every component its styles as text, each text once in the file."""
    shared: dict[str, InlineStyleSheet] = {}
    for model in list(document.models):
        if not hasattr(model, "stylesheets"):
            continue
        texts = [_style_text(sheet) for sheet in model.stylesheets]
        model.stylesheets = [
            shared.setdefault(text, InlineStyleSheet(css=text)) for text in texts if text
        ]


def _style_text(sheet: Any) -> str:
    if isinstance(sheet, ImportedStyleSheet):
        relative = re.sub(r"^.*?/dist/|\?.*$", "", sheet.url)
        return (PANEL_DIST / relative).read_text(encoding="utf-8")
    return sheet.css if isinstance(sheet, InlineStyleSheet) else str(sheet)


@cache
def _scripts() -> str:
    resources = Resources(mode="inline", components=BOKEH_PARTS)
    panel = (PANEL_DIST / "panel.min.js").read_text(encoding="utf-8")
    scripts = [MODULE_LOADER, *resources.js_raw, panel]
    return "\n".join(f"<script>\n{text}\n</script>" for text in scripts)


def _write(path: Path, text: str) -> Path:
    """Write whole or not at all."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"a report needs a folder that exists; got {path}")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".attnpanel-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
    return path
