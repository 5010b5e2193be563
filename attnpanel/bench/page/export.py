"""Export a run as one HTML file that needs neither server nor network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn
from bokeh.document import Document
from panel.io.state import set_curdoc

from attnpanel.bench.page.error_card import recorded_error_card
from attnpanel.bench.page.layout import BenchLayout
from attnpanel.bench.page.run_cards import run_cards, text_line
from attnpanel.bench.plots.format import bounded
from attnpanel.trace.atomic_write import atomic_write_text
from attnpanel.ui.standalone_html import standalone_html
from attnpanel.ui.words import t, use_language

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from attnpanel.bench.run.records import BenchRun


def save_run_report(
    run: BenchRun,
    path: Path,
    *,
    history: Sequence[BenchRun] = (),
    title: str = "",
    language: str | None = None,
) -> Path:
    """Write the page of a run as one offline HTML file.

    Parameters
    ----------
    run : BenchRun
    path : path
        Written atomically; its folder must exist.
    history : sequence of BenchRun, optional
        Other runs, shown in the history.
    title : str, optional
        Title of the page; by default date and preset of the run.
    language : str, optional
        The page's language: "en", "de" or "zh"; English by default.

    Returns
    -------
    Path
        The path of the file.

    Raises
    ------
    OSError
        If it can't be written; an existing file is kept.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"a report needs a folder that exists; got {path}")
    if path.is_dir():
        raise IsADirectoryError(f"a report needs the name of a file; {path} is a folder")
    pn.extension(inline=True)
    document = Document()
    # A document of its own; otherwise it would share styles with the page being served.
    with set_curdoc(document), use_language(language):
        date = run.environment.date_utc[:10]
        named = t("Bench of {date}, preset {preset}", date=date, preset=run.preset)
        title = title or bounded(named, 80)
        layout = BenchLayout(text_line(title, heading=True, css="attn-report-title"))
        layout.body[:] = run_cards(run, history, recorded_error_card(), dark=False)
        pieces = standalone_html(document, layout.view, title)
    atomic_write_text(path, pieces)
    return path
