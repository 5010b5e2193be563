"""A run of the bench as one HTML file that needs no server and no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn
from bokeh.document import Document
from panel.io.state import set_curdoc

from attnpanel.offline import offline_page
from attnpanel.whole_file import write_whole
from bench.page.error_card import recorded_error_card
from bench.page.layout import BenchLayout
from bench.page.run_cards import run_cards, words
from bench.plots.words import bounded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.bench_run import BenchRun


def save_run_report(
    run: BenchRun, path: Path, *, history: Sequence[BenchRun] = (), title: str = ""
) -> Path:
    """Write a run's pictures as one offline HTML file.

    Parameters
    ----------
    run : BenchRun
    path : path
        Written whole or not at all; its folder must exist.
    history : sequence of BenchRun, optional
        Other runs, to see this one beside.
    title : str, optional
        The page's title; by default the run's date and preset.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OSError
        If it can't be written; an older file at the path survives.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"a report needs a folder that exists; got {path}")
    if path.is_dir():
        raise IsADirectoryError(f"a report needs the name of a file; {path} is a folder")
    pn.extension(inline=True)
    title = title or bounded(f"Bench of {run.environment.date_utc[:10]}, preset {run.preset}", 80)
    document = Document()
    # A document of its own: made while a page is served, it would share that page's styles.
    with set_curdoc(document):
        layout = BenchLayout(words(title, heading=True, css="attn-slot"))
        layout.body[:] = run_cards(run, history, recorded_error_card(), dark=False)
        pieces = offline_page(document, layout.view, title)
    write_whole(path, pieces)
    return path
