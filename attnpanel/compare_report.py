"""save_comparison(): two traces side by side as one HTML file, every control live, no network."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bokeh.document import Document
from panel.io.state import set_curdoc

from attnpanel.browser import ThemeButton, Words
from attnpanel.browser.boxes import box
from attnpanel.compare import Comparison
from attnpanel.offline import offline_page
from attnpanel.report import notes_pane
from attnpanel.whole_file import write_whole

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from attnpanel.trace import Trace

MOST_TOKENS_SAID = 60


def save_comparison(
    first: Trace,
    second: Trace,
    path: str | os.PathLike[str],
    *,
    title: str = "Two traces of attention",
    question: str = "",
    words: str = "",
    notes: str = "",
    start: Mapping[str, Any] | None = None,
    changed: str = "",
    outcome: str = "",
    query_index: int | None = 0,
    **choices: Any,
) -> Path:
    """Write a comparison as one HTML file that needs no server and no network.

    Parameters
    ----------
    first, second : Trace
    path : path
        Written to; the folder must exist. An older file stays as it was until the new one is
        complete on disk.
    title : str, optional
        The page's title.
    question, words : str, optional
        What is asked, and what a reader answers: plain text, shown as it is.
    notes : str, optional
        Markdown shown below; HTML in it is shown as text.
    start : mapping, optional
        A :attr:`Comparison.state` to open in.
    outcome : str, optional
        What the change did to the model's output: plain text.
    changed, query_index, **choices
        As for :class:`Comparison`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the traces can't be compared, or a choice does not exist in them.
    OSError
        If the file can't be written; an older one at the path survives.
    """
    path = Path(path)
    document = Document()
    # A document of its own: made while a page is served, it would share that page's styles.
    with set_curdoc(document):
        comparison = Comparison(
            first, second, query_index=query_index, whole_page=True, changed=changed, **choices
        )
        if start is not None:
            comparison.show(first, second, start=start, address={}, changed=changed)
        layout = comparison.__panel__()
        layout.insert(1, _header(title, comparison.uid))
        layout.insert(
            3, box(box(*_texts(first, second, changed), css="attn-card"), css="attn-above")
        )
        answer = [_line(outcome)] if outcome else []
        answer += [_line(question, heading=True)] if question else []
        answer += [_line(line) for line in words.splitlines() if line.strip()]
        about = [_line(line, tone="muted") for line in _provenance(first, second)]
        said = [notes_pane(notes)] if notes else []
        layout.append(box(box(*answer, *said, *about, css="attn-card"), css="attn-footer"))
        page = offline_page(document, layout, title)
    write_whole(path, page)
    return path


def _header(title: str, uid: str) -> Any:
    return box(
        Words(text=title, heading=True, margin=0, css_classes=["attn-slot"]),
        ThemeButton(uid=uid, driver="browser", margin=0),
        css="attn-header",
    )


def _texts(first: Trace, second: Trace, changed: str) -> list[Any]:
    """What stands on both sides, as it was cut into tokens."""
    lines = []
    for side, trace in (("A", first), ("B", second)):
        tokens = trace.tokens_of(trace.calls[0])[0]
        said = " ".join(tokens[:MOST_TOKENS_SAID]) + " …" * (len(tokens) > MOST_TOKENS_SAID)
        source = trace.model or trace.source or "a trace"
        aside = f"{source} · {changed}" if side == "B" and changed else source
        lines.append(_line(f"{side}: {said}", aside=aside))
    return lines


def _provenance(first: Trace, second: Trace) -> list[str]:
    lines = [
        f"{side}: {trace.source or 'unknown'} · model: {trace.model or 'none'}"
        f" · traced {trace.created}"
        for side, trace in (("A", first), ("B", second))
    ]
    return [
        *lines,
        "Attention is computed in this page from queries and keys. Tokens are paired in order: "
        "equal ones, and words that stand in each other's place. "
        f"attnpanel {version('attnpanel')}",
    ]


def _line(text: str, **options: Any) -> Words:
    return Words(
        text=text,
        margin=0,
        sizing_mode="stretch_width",
        css_classes=["attn-question"],
        **options,
    )
