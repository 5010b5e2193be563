"""save_report(): the explorer as one HTML file with live controls, without a server."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nh3
import panel as pn
from bokeh.document import Document
from markdown_it import MarkdownIt
from panel.io.state import set_curdoc

from attnpanel.attention.mask_table import mask_parameters
from attnpanel.attention.progress import no_progress, progress_bar
from attnpanel.explorer.explorer import Explorer
from attnpanel.explorer.transport import choices_of, settings
from attnpanel.explorer.wire_format import make_payload
from attnpanel.pages.explorer.live_model import prompt_card, stored_model
from attnpanel.pages.explorer.provenance import provenance
from attnpanel.trace import Trace
from attnpanel.trace.atomic_write import atomic_write_text
from attnpanel.trace.notes import merge_notes, report_notes
from attnpanel.trace.subset import spans
from attnpanel.ui import Caption, ThemeButton
from attnpanel.ui.explorer_component import BrowserDriver
from attnpanel.ui.layout import box
from attnpanel.ui.live_model_component import model_elements
from attnpanel.ui.snapshots import check_snapshots, snapshots_pane
from attnpanel.ui.standalone_html import standalone_html
from attnpanel.ui.theme import stylesheet
from attnpanel.ui.words import t, use_language

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from attnpanel.attention.progress import Progress
    from attnpanel.explorer.state import ExplorerState
    from attnpanel.explorer.wire_format import Payload, Values
    from attnpanel.models.live_model import StoredModel
    from attnpanel.models.loading import LoadedModel
    from attnpanel.trace.notes import Note
    from attnpanel.trace.subset import Layers, Numbers


# State of the pointer and of a zoom, which a report does not keep.
TRANSIENT = ("pair", "viewport", "line_token")
# Choices that depend on the chosen layer, and are dropped if it is left out.
WITHIN_LAYER = ("layer", "head", "batch", "query_index", *mask_parameters())


@dataclass(frozen=True)
class ExplorerSnapshot:
    """What an explorer shows at one moment, for a report that another thread writes.

    Attributes
    ----------
    trace : Trace
    choices : dict
        With layer and head by their numbers in the model.
    notes : tuple of Note
    language : str
    """

    trace: Trace
    choices: dict[str, Any]
    notes: tuple[Note, ...]
    language: str


def snapshot(explorer: Explorer) -> ExplorerSnapshot:
    """Return what an explorer shows now."""
    state = explorer.state
    return ExplorerSnapshot(state.trace, _opened(state), explorer.notes, explorer.language)


def save_report(
    trace: Trace | Explorer | ExplorerSnapshot,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    notes: str | Mapping[str, Any] | os.PathLike[str] | None = None,
    values: Values = "auto",
    dtype: Literal["float16", "float32"] = "float16",
    layers: Layers | None = None,
    heads: Numbers | None = None,
    foreword: str | Sequence[tuple[str, Mapping[str, bytes]]] = "",
    stills: Mapping[str, bytes] | None = None,
    model: bool | str | LoadedModel = False,
    language: str | None = None,
    progress: Progress | None = None,
    **choices: Any,
) -> Path:
    """Write the explorer of a trace as one HTML file that needs no server and no network.

    Every control stays live: attention is computed in the browser from the stored queries and
    keys.

    Parameters
    ----------
    trace : Trace, Explorer or ExplorerSnapshot
        What to show. The report opens with an explorer's choices.
    path : path
        Written atomically; its folder must exist.
    title : str, optional
        The page's title; by default it names the trace's model or source.
    notes : str, mapping or path, optional
        A str is Markdown shown below the explorer; HTML in it is shown as text. A mapping is a
        notes document as the page exports it; its notes are added to an explorer's own. A path
        is a file with either; ``.json`` means a document.
    values : "auto" or bool, optional
        Whether to include values; without them there is no mix, and the paint seed is fixed.
        "auto" includes them if all arrays fit 8 MB.
    dtype : {"float16", "float32"}, optional
        How queries, keys and values are stored: weights recomputed from float16 are within
        2e-3 of the model's.
    layers : int, slice, iterable of int, or str, optional
        Layers to include, by number or by a pattern of names; see :meth:`Trace.select`. They keep
        their numbers, and the report says what was left out. Notes on other layers are left out.
    heads : int, slice or iterable of int, optional
        Heads of each layer to include.
    foreword : str or sequence of (str, mapping), optional
        Markdown shown above the explorer; HTML in it is shown as text. Of several parts, each has
        its own snapshots beside it.
    stills : mapping of str to bytes, optional
        PNG snapshots by caption, shown below the foreword; they do not follow the controls.
    model : bool, str or LoadedModel, optional
        Whether the file holds the model itself, so that a reader may type another text and see its
        attention, without a network; a decoder also writes on. True is the model that computed
        the trace; a trace read from a file knows only its name. A str names a model or its
        folder. A model of 22 million weights takes 59 MB.
    language : str, optional
        The page's language: "en", "de" or "zh"; by default an explorer's own, else English.
    progress : callable, optional
        Called with the fraction done, 0 to 1, and a message; by default a bar in a terminal or
        notebook, where it takes more than a second.
    **choices
        Choices that the report opens with, e.g. ``layer=3, head=1``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the trace holds no call, a choice does not exist in the included part, the notes do not
        belong to the trace, a snapshot is not a PNG, or the model can't be stored (see
        :func:`attnpanel.models.live_model.store_model`) or did not compute the trace.
    OSError
        If the file can't be written; an existing file stays as it was.
    """
    path = _writable(Path(path))
    opened: dict[str, Any] = {}
    own: tuple[Note, ...] = ()
    if isinstance(trace, Explorer):
        trace = snapshot(trace)
    if isinstance(trace, ExplorerSnapshot):
        language = language or trace.language
        opened, own, trace = trace.choices, trace.notes, trace.trace
    if not isinstance(trace, Trace) or not trace.calls:
        got = "none" if isinstance(trace, Trace) else type(trace).__name__
        raise ValueError(f"a report shows a Trace of at least one attention call; got {got}")
    parts = [(foreword, {})] if isinstance(foreword, str) else list(foreword)
    for pictures in (stills or {}, *(pictures for _, pictures in parts)):
        check_snapshots(pictures)
    text, marks = report_notes(notes, trace)
    part = trace.select(layers, heads)
    left_out = {"layers": layers, "heads": heads, "values": None if values else values}
    stored = stored_model(model, trace, **left_out)
    marks = _kept_marks(merge_notes(own, marks), trace, part)
    choices = _opening_choices(part, opened, choices)
    on_progress = progress or progress_bar("Writing the report")
    with use_language(language):
        page = render_report(
            part,
            title=title,
            notes=text,
            marks=marks,
            values=values if stored is None else True,
            dtype=dtype,
            choices=choices,
            stored=stored,
            first=_first(parts, stills or {}),
            progress=on_progress,
        )
    atomic_write_text(path, page)
    on_progress(1.0, "Done")
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
    stored: StoredModel | None = None,
    first: tuple[Any, ...] = (),
    progress: Progress = no_progress,
) -> list[str]:
    """Return the report's HTML in pieces; parameters as in :func:`save_report`.

    `first` are elements above the explorer. `progress` hears of 0.9 of the work: the numbers of the
    heads, which take longest.
    """
    document = Document()
    # In its own document: one made while a page is served would share that page's stylesheets.
    with set_curdoc(document):
        explorer = Explorer(trace, whole_page=True, drawn_by="file", **choices)
        explorer.notes = marks
        explorer.head_maps.read_all(lambda done, text: progress(0.9 * done, text))
        seed = explorer.state.color_seed
        payload = make_payload(trace, dtype=dtype, values=values, color_seed=seed)
        source = trace.model or trace.source or t("a model")
        shown = title or t("Attention of {source}", source=source)
        layout = explorer.__panel__()
        layout.insert(1, _header(shown, explorer.explorer_id))
        layout[2:2] = [*first, *([prompt_card(stored, explorer.explorer_id)] if stored else [])]
        layout.append(_footer(trace, payload, notes, stored))
        texts = {uuid.uuid4().hex: text for text in payload.calls}
        layout.append(_driver(explorer, replace(payload, calls=list(texts))))
        appendix = model_elements(stored.description, stored.data) if stored else ()
        return standalone_html(document, layout, shown, texts, appendix)


def _opened(state: ExplorerState) -> dict[str, Any]:
    """Return an explorer's choices, with layer and head by their numbers in the model."""
    call, trace = state.call, state.trace
    lasting = {name: choice for name, choice in choices_of(state).items() if name not in TRANSIENT}
    return lasting | {
        "layer": trace.layer_numbers[state.layer],
        "head": trace.head_numbers(call)[state.head],
    }


def _opening_choices(
    trace: Trace, opened: dict[str, Any], choices: dict[str, Any]
) -> dict[str, Any]:
    """Return the choices to open with: numbers of layer and head become indices in the part."""
    if opened and "layer" not in choices and opened["layer"] not in trace.layer_numbers:
        opened = {name: opened[name] for name in opened if name not in WITHIN_LAYER}
    indices = {**opened, **choices}
    if "layer" in indices:
        indices["layer"] = _index("layer", indices["layer"], trace.layer_numbers)
    numbers = trace.head_numbers(trace.calls[indices.get("layer", 0)])
    if "head" not in choices and indices.get("head") not in numbers:
        indices.pop("head", None)
    if "head" in indices:
        indices["head"] = _index("head", indices["head"], numbers)
    return indices


def _kept_marks(marks: tuple[Note, ...], whole: Trace, part: Trace) -> tuple[Note, ...]:
    """Return the notes on the part, with its indices; a mean over fewer heads is dropped."""
    kept = []
    for mark in marks:
        number = whole.layer_numbers[mark.layer]
        if number not in part.layer_numbers:
            continue
        layer, head = part.layer_numbers.index(number), mark.head
        numbers = part.head_numbers(part.calls[layer])
        if mark.head is not None:
            head_number = whole.head_numbers(whole.calls[mark.layer])[mark.head]
            head = numbers.index(head_number) if head_number in numbers else None
        all_heads = len(numbers) == whole.calls[mark.layer].heads
        if head is not None or (mark.head is None and all_heads):
            kept.append(replace(mark, layer=layer, head=head))
    return tuple(kept)


def _index(name: str, number: Any, numbers: tuple[int, ...]) -> int:
    if number not in numbers:
        raise ValueError(f"{name} must be among {spans(numbers)}; got {number!r}")
    return numbers.index(number)


def _writable(path: Path) -> Path:
    """Check a path before the report is rendered."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"a report needs a folder that exists; got {path}")
    if path.is_dir():
        raise IsADirectoryError(f"a report needs the name of a file; {path} is a folder")
    return path


def _header(title: str, explorer_id: str) -> Any:
    return pn.Column(
        Caption(text=title, heading=True, margin=0, css_classes=["attn-report-title"]),
        ThemeButton(explorer_id=explorer_id, driver="browser", margin=0),
        css_classes=["attn-header"],
        stylesheets=[stylesheet()],
        sizing_mode="stretch_width",
        margin=0,
    )


def _first(
    parts: Sequence[tuple[str, Mapping[str, bytes]]], stills: Mapping[str, bytes]
) -> tuple[Any, ...]:
    """Return the elements above the explorer: the foreword, and snapshots beside and below it."""
    shown = [
        box(notes_pane(text), snapshots_pane(pictures), css="attn-foreword-part")
        if pictures
        else notes_pane(text)
        for text, pictures in parts
        if text
    ]
    shown += [snapshots_pane(stills)] if stills else []
    return (box(box(*shown, css="attn-card attn-foreword"), css="attn-above"),) if shown else ()


def _footer(trace: Trace, payload: Payload, notes: str, stored: StoredModel | None) -> Any:
    parts: list[Any] = []
    if notes:
        parts.append(notes_pane(notes))
    parts += [
        Caption(text=line, tone="muted", margin=0, sizing_mode="stretch_width")
        for line in [*provenance(trace, payload), *([stored.sentence] if stored else [])]
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
    """Render untrusted Markdown as an element of a page."""
    # HTML in the notes becomes text, and the result is sanitised again. Images stay Markdown text:
    # one would be fetched when the file is opened.
    markdown = MarkdownIt("commonmark", {"html": False}).disable("image")
    safe = nh3.clean(markdown.render(notes), tags=nh3.ALLOWED_TAGS - {"img"})
    # A link such as #head=2 restores a state. Browsers ignore the space, and it keeps Panel from
    # looking for an element with that name.
    safe = safe.replace('href="#', 'href=" #')
    return pn.pane.HTML(
        safe,
        disable_math=True,  # a formula would ask a CDN for MathJax
        css_classes=["attn-markdown"],
        stylesheets=[stylesheet()],
        sizing_mode="stretch_width",
        margin=0,
    )


def _driver(explorer: Explorer, payload: Payload) -> BrowserDriver:
    return BrowserDriver(
        explorer_id=explorer.explorer_id,
        address={},
        meta=payload.meta,
        payloads=payload.calls,
        width=0,
        height=0,
        margin=0,
        **settings(explorer.state),
    )
