"""save_report(): the explorer as one HTML file, every control live, no server and no network."""

from __future__ import annotations

import uuid
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nh3
import panel as pn
from bokeh.document import Document
from markdown_it import MarkdownIt
from panel.io.state import set_curdoc

from attnpanel.annotations import given_notes, merge_notes
from attnpanel.browser import ThemeButton, Words
from attnpanel.browser.boxes import box
from attnpanel.browser.browser_driver import BrowserDriver
from attnpanel.explorer import Explorer
from attnpanel.feed import choices_of, settings
from attnpanel.offline import offline_page
from attnpanel.payload import make_payload
from attnpanel.stills import check_stills, stills_pane
from attnpanel.theme import stylesheet
from attnpanel.trace import Trace
from attnpanel.trace_choice import spans
from attnpanel.whole_file import write_whole

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import Literal

    from attnpanel.annotations import Note
    from attnpanel.payload import Payload, Values
    from attnpanel.state import ExplorerState
    from attnpanel.trace_choice import Layers, Numbers


# What the pointer and a zoom show is of the moment.
PASSING = ("pair", "viewport")
# What means nothing once the layer it was chosen in is not there.
WITHIN = ("layer", "head", "batch", "query_index", "pad_len", "window")


def save_report(
    trace: Trace | Explorer,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    notes: str | Mapping[str, Any] | os.PathLike[str] | None = None,
    values: Values = "auto",
    dtype: Literal["float16", "float32"] = "float16",
    layers: Layers | None = None,
    heads: Numbers | None = None,
    foreword: str = "",
    stills: Mapping[str, bytes] | None = None,
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
    layers : int, slice, iterable of int, or str, optional
        Which layers go in, by number or by a pattern of names; see :meth:`Trace.select`. They
        keep their numbers, and the report says what was left out; notes on that are left out, too.
    heads : int, slice or iterable of int, optional
        Which heads of each layer go in.
    foreword : str, optional
        Markdown shown above the explorer; HTML in it is shown as text.
    stills : mapping of str to bytes, optional
        PNG pictures by what they show, such as screenshots: they stand below the foreword and
        stay as they are, whatever a reader moves.
    **choices
        Where the report opens, e.g. ``layer=3, head=1``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the trace holds no call, a choice does not exist in what goes in, the notes are none
        on it, or a still picture is no PNG.
    OSError
        If the file can't be written; an older one at the path survives.
    """
    path = _writable(Path(path))
    opened: dict[str, Any] = {}
    own: tuple[Note, ...] = ()
    if isinstance(trace, Explorer):
        opened, own, trace = _opened(trace.state), trace.notes, trace.state.trace
    if not isinstance(trace, Trace) or not trace.calls:
        got = "none" if isinstance(trace, Trace) else type(trace).__name__
        raise ValueError(f"a report shows a Trace of at least one attention call; got {got}")
    check_stills(stills or {})
    text, marks = given_notes(notes, trace)
    part = trace.select(layers, heads)
    marks = _kept_marks(merge_notes(own, marks), trace, part)
    choices = _places(part, opened, choices)
    page = render_report(
        part,
        title=title,
        notes=text,
        marks=marks,
        values=values,
        dtype=dtype,
        choices=choices,
        first=_first(foreword, stills or {}),
    )
    write_whole(path, page)
    return path


def render_report(
    trace: Trace,
    *,
    title: str | None,
    notes: str,
    marks: tuple[Note, ...] = (),
    values: Values,
    dtype: Literal["float16", "float32"],
    choices: dict[str, Any],
    first: tuple[Any, ...] = (),
) -> list[str]:
    """Return the report's HTML in pieces; parameters as in :func:`save_report`.

    `first` are parts of the page that stand above the explorer.
    """
    document = Document()
    # A document of its own: made while a page is served, it would share that page's styles.
    with set_curdoc(document):
        explorer = Explorer(trace, whole_page=True, drawn_by="file", **choices)
        explorer.notes = marks
        explorer.reading.read_all()
        seed = explorer.state.color_seed
        payload = make_payload(trace, dtype=dtype, values=values, color_seed=seed)
        shown = title or f"Attention of {trace.model or trace.source or 'a model'}"
        layout = explorer.__panel__()
        layout.insert(1, _header(shown, explorer.uid))
        layout[2:2] = first
        layout.append(_footer(trace, payload, notes))
        texts = {uuid.uuid4().hex: text for text in payload.calls}
        layout.append(_driver(explorer, replace(payload, calls=list(texts))))
        return offline_page(document, layout, shown, texts)


def _opened(state: ExplorerState) -> dict[str, Any]:
    """An explorer's choices, with layer and head by their numbers."""
    call, trace = state.call, state.trace
    lasting = {name: choice for name, choice in choices_of(state).items() if name not in PASSING}
    return lasting | {
        "layer": trace.layer_numbers[state.layer],
        "head": trace.head_numbers(call)[state.head],
    }


def _places(trace: Trace, opened: dict[str, Any], choices: dict[str, Any]) -> dict[str, Any]:
    """Where a report opens: numbers of layer and head become places in what goes in."""
    if opened and "layer" not in choices and opened["layer"] not in trace.layer_numbers:
        # The layer that was looked at stays out: what was chosen within it may not exist elsewhere.
        opened = {name: opened[name] for name in opened if name not in WITHIN}
    places = {**opened, **choices}
    if "layer" in places:
        places["layer"] = _place("layer", places["layer"], trace.layer_numbers)
    numbers = trace.head_numbers(trace.calls[places.get("layer", 0)])
    if "head" not in choices and places.get("head") not in numbers:
        places.pop("head", None)
    if "head" in places:
        places["head"] = _place("head", places["head"], numbers)
    return places


def _kept_marks(marks: tuple[Note, ...], whole: Trace, part: Trace) -> tuple[Note, ...]:
    """The notes on what goes in, at their places there; a mean over fewer heads is another one."""
    kept = []
    for mark in marks:
        number = whole.layer_numbers[mark.layer]
        if number not in part.layer_numbers:
            continue
        layer, head = part.layer_numbers.index(number), mark.head
        numbers = part.head_numbers(part.calls[layer])
        if mark.head is not None:
            its = whole.head_numbers(whole.calls[mark.layer])[mark.head]
            head = numbers.index(its) if its in numbers else None
        same = len(numbers) == whole.calls[mark.layer].heads
        if head is not None or (mark.head is None and same):
            kept.append(replace(mark, layer=layer, head=head))
    return tuple(kept)


def _place(name: str, number: Any, numbers: tuple[int, ...]) -> int:
    if number not in numbers:
        raise ValueError(f"{name} must be among {spans(numbers)}; got {number!r}")
    return numbers.index(number)


def _writable(path: Path) -> Path:
    """Say what is wrong with a path before a report is made for it."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"a report needs a folder that exists; got {path}")
    if path.is_dir():
        raise IsADirectoryError(f"a report needs the name of a file; {path} is a folder")
    return path


def _header(title: str, uid: str) -> Any:
    return pn.Column(
        Words(text=title, heading=True, margin=0, css_classes=["attn-slot"]),
        ThemeButton(uid=uid, driver="browser", margin=0),
        css_classes=["attn-header"],
        stylesheets=[stylesheet()],
        sizing_mode="stretch_width",
        margin=0,
    )


def _first(foreword: str, stills: Mapping[str, bytes]) -> tuple[Any, ...]:
    """What stands above the explorer: words, and pictures below them."""
    parts = [notes_pane(foreword)] if foreword else []
    parts += [stills_pane(stills)] if stills else []
    return (box(box(*parts, css="attn-card"), css="attn-above"),) if parts else ()


def _footer(trace: Trace, payload: Payload, notes: str) -> Any:
    parts: list[Any] = []
    if notes:
        parts.append(notes_pane(notes))
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


def notes_pane(notes: str) -> Any:
    """Return Markdown that anybody may have written as a part of a page."""
    # HTML in the notes becomes text; what remains is cleaned again before it is trusted.
    # A picture would be fetched when the file is opened: its Markdown stays text.
    markdown = MarkdownIt("commonmark", {"html": False}).disable("image")
    safe = nh3.clean(markdown.render(notes), tags=nh3.ALLOWED_TAGS - {"img"})
    # The space, which browsers ignore, keeps Panel from looking for an element of that name: a
    # link such as #head=2 restores a state.
    safe = safe.replace('href="#', 'href=" #')
    return pn.pane.HTML(
        safe,
        disable_math=True,  # a formula would ask a CDN for MathJax
        css_classes=["attn-notes"],
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
    return [*lines, line, *_left_out(trace)]


def _left_out(trace: Trace) -> list[str]:
    """Which layers and heads are not in the file, in a sentence."""
    if trace.chosen is None:
        return []
    parts = [
        f"{name} {spans(sorted(set(range(count)) - set(kept)))} of {count}"
        for name, kept, count in (
            ("layers", trace.chosen.layers, trace.chosen.layer_count),
            ("heads", trace.chosen.heads, trace.chosen.head_count),
        )
        if kept is not None and len(kept) < count
    ]
    if not parts:
        return []
    return [f"Left out, as the one who made this report chose: {'; '.join(parts)}."]


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
