"""save_comparison(): two traces side by side as one HTML file with live controls."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bokeh.document import Document
from panel.io.state import set_curdoc

from attnpanel.pages.compare.comparison import Comparison
from attnpanel.pages.explorer.live_model import prompts_card, stored_for_two
from attnpanel.pages.explorer.report import notes_pane
from attnpanel.trace.atomic_write import atomic_write_text
from attnpanel.ui import Caption, ThemeButton
from attnpanel.ui.layout import box
from attnpanel.ui.live_model_component import model_elements
from attnpanel.ui.standalone_html import standalone_html
from attnpanel.ui.words import t, use_language

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from attnpanel.models.loading import LoadedModel
    from attnpanel.trace import Trace

MAX_TOKENS_LISTED = 60


def save_comparison(
    first: Trace,
    second: Trace,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    question: str = "",
    words: str = "",
    notes: str = "",
    start: Mapping[str, Any] | None = None,
    changed: str = "",
    outcome: str = "",
    query_index: int | None = 0,
    model: bool | str | LoadedModel = False,
    language: str | None = None,
    **choices: Any,
) -> Path:
    """Write a comparison as one HTML file that needs no server and no network.

    Parameters
    ----------
    first, second : Trace
    path : path
        Written atomically; its folder must exist.
    title : str, optional
        The page's title.
    question, words : str, optional
        A question and the reader's answer, as plain text.
    notes : str, optional
        Markdown shown below; HTML in it is shown as text.
    start : mapping, optional
        A :attr:`Comparison.state` to open with.
    outcome : str, optional
        The change's effect on the model's output, as plain text.
    model : bool, str or LoadedModel, optional
        Put the model that computed both traces into the file, whose reader can type two other texts
        and compare them; as for :func:`attnpanel.save_report`.
    language : str, optional
        The page's language: "en", "de" or "zh"; English by default.
    changed, query_index, **choices
        As for :class:`Comparison`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the traces can't be compared, a choice does not exist in them, or the model can't be
        stored or did not compute them.
    OSError
        If the file can't be written; an existing file stays as it was.
    """
    path = Path(path)
    stored, prompts = stored_for_two(model, first, second) or (None, [])
    document = Document()
    # In its own document: one made while a page is served would share that page's stylesheets.
    with set_curdoc(document), use_language(language):
        title = title or t("Two traces of attention")
        comparison = Comparison(
            first, second, query_index=query_index, whole_page=True, changed=changed, **choices
        )
        if start is not None:
            comparison.show(first, second, start=start, address={}, changed=changed)
        layout = comparison.__panel__()
        layout.insert(1, _header(title, comparison.explorer_id))
        texts = box(box(*_texts(first, second, changed), css="attn-card"), css="attn-above")
        typing = prompts_card(stored, prompts, comparison.explorer_id) if stored else texts
        layout.insert(3, typing)
        answer = [_line(outcome)] if outcome else []
        answer += [_line(question, heading=True)] if question else []
        answer += [_line(line) for line in words.splitlines() if line.strip()]
        about = [_line(line, tone="muted") for line in _provenance(first, second)]
        below = [notes_pane(notes)] if notes else []
        layout.append(box(box(*answer, *below, *about, css="attn-card"), css="attn-footer"))
        appendix = model_elements(stored.description, stored.data) if stored else ()
        page = standalone_html(document, layout, title, appendix=appendix)
    atomic_write_text(path, page)
    return path


def _header(title: str, explorer_id: str) -> Any:
    return box(
        Caption(text=title, heading=True, margin=0, css_classes=["attn-report-title"]),
        ThemeButton(explorer_id=explorer_id, driver="browser", margin=0),
        css="attn-header",
    )


def _texts(first: Trace, second: Trace, changed: str) -> list[Any]:
    """Return a line per side with its tokens, source and change."""
    lines = []
    for side, trace in (("A", first), ("B", second)):
        tokens = trace.tokens_of(trace.calls[0])[0]
        text = " ".join(tokens[:MAX_TOKENS_LISTED]) + " …" * (len(tokens) > MAX_TOKENS_LISTED)
        source = trace.model or trace.source or t("a trace")
        subtitle = f"{source} · {changed}" if side == "B" and changed else source
        lines.append(_line(f"{side}: {text}", subtitle=subtitle))
    return lines


def _provenance(first: Trace, second: Trace) -> list[str]:
    lines = [
        t(
            "{side}: {source} · model: {model} · traced {when}",
            side=side,
            source=trace.source or t("unknown"),
            model=trace.model or "–",
            when=trace.created,
        )
        for side, trace in (("A", first), ("B", second))
    ]
    return [
        *lines,
        t(
            "Attention is computed in this page from queries and keys. Tokens are paired in order: "
            "equal ones, and words that stand in each other's place. attnpanel {version}",
            version=version("attnpanel"),
        ),
    ]


def _line(text: str, **options: Any) -> Caption:
    return Caption(
        text=text,
        margin=0,
        sizing_mode="stretch_width",
        css_classes=["attn-question"],
        **options,
    )
