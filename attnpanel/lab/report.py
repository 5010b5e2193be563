"""A training run as one HTML file that needs no server and no network: curves, film, settings."""

from __future__ import annotations

import base64
import uuid
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import panel as pn
from bokeh.document import Document
from panel.io.state import set_curdoc

from attnpanel.browser import ThemeButton, Words
from attnpanel.lab.components import Film, LabLook, box, styles
from attnpanel.lab.curves import CHARTS, COLOURS, CurvePicture
from attnpanel.lab.shown import curves_of, film_about, run_name, run_words
from attnpanel.offline import offline_page
from attnpanel.theme import look_variables
from attnpanel.whole_file import write_whole

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from attnpanel.training.run import Run
    from attnpanel.training.store import RunStore

MOST_NOTES = 20_000


def save_training_report(
    store: RunStore,
    runs: Sequence[int],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    notes: str = "",
    follow: int | None = None,
) -> Path:
    """Write runs as one offline HTML file: curves overlaid, and one run's attention step by step.

    Parameters
    ----------
    store : RunStore
    runs : sequence of int
        Their numbers; at least one, at most as many as there are colours.
    path : path
        Written whole or not at all; its folder must exist.
    title : str, optional
    notes : str, optional
        What its reader should know, as plain text; blank lines part paragraphs.
    follow : int, optional
        The run whose attention is shown; by default the first that has attention.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If a run is not there, or there are none or too many.
    OSError
        If the file can't be written; an older one at the path survives.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"a report needs a folder that exists; got {path}")
    write_whole(path, render_training_report(store, runs, title, notes, follow))
    return path


def render_training_report(
    store: RunStore,
    runs: Sequence[int],
    title: str | None,
    notes: str,
    follow: int | None,
    colours: Mapping[int, str] | None = None,
) -> list[str]:
    """Return the report's HTML in pieces; parameters as in :func:`save_training_report`.

    `colours` are those of a page, by run.
    """
    numbers = list(dict.fromkeys(runs))
    if not 1 <= len(numbers) <= len(COLOURS):
        raise ValueError(f"a report shows 1 to {len(COLOURS)} runs; got {len(numbers)}")
    if len(notes) > MOST_NOTES:
        raise ValueError(f"notes may have at most {MOST_NOTES:,} characters; got {len(notes):,}")
    shown = [store.run(number) for number in sorted(numbers)]
    attending = [run for run in shown if run.settings.attends]
    followed = next((run for run in shown if run.id == follow), (attending or shown)[0])
    title = title or f"Training: {followed.name}"
    pn.extension(inline=True)
    document = Document()
    # A document of its own: made while a page is served, it would share that page's styles.
    with set_curdoc(document):
        fresh = dict(zip([run.id for run in shown], COLOURS, strict=False))
        view = _view(store, shown, followed, title, notes, colours or fresh)
        return offline_page(document, view, title)


def _view(
    store: RunStore,
    runs: list[Run],
    followed: Run,
    title: str,
    notes: str,
    colours: Mapping[int, str],
) -> Any:
    uid = uuid.uuid4().hex
    steps = max(run.settings.steps for run in runs)
    charts = []
    for chart in CHARTS:
        picture = CurvePicture(chart)
        picture.write(
            [curves_of(store, run, chart.name, colours, followed.id) for run in runs], steps
        )
        charts.append(
            box(_words(chart.title, chart.aside, heading=True), picture.pane, css="lab-chart")
        )
    film = Film(
        about=film_about(followed, store.text(followed.id)),
        recorded=[
            {
                "step": picture.step,
                "answers": picture.answers,
                "cells": base64.b64encode(picture.frame.cells).decode(),
            }
            for picture in store.pictures(followed.id)
        ],
        sizing_mode="stretch_width",
        margin=0,
    )
    header = box(
        Words(text=title, heading=True, margin=0, css_classes=["attn-slot"]),
        ThemeButton(uid=uid, driver="browser", margin=0),
        css="attn-header",
    )
    paragraphs = [part for part in notes.split("\n\n") if part.strip()]
    cards = [
        box(box(*charts, css="lab-charts"), css="attn-card"),
        box(
            _words("Attention while it learns", run_name(followed), heading=True),
            film,
            css="attn-card",
        ),
        box(
            _words("The runs", "everything that decides their result", heading=True),
            *(part for run in runs for part in _settings(store, run)),
            _words("", f"Made by attnpanel {version('attnpanel')}."),
            css="attn-card lab-settings",
        ),
    ]
    if paragraphs:
        cards.insert(
            0,
            box(
                _words("Notes", "", heading=True),
                *(_words(part.strip(), "") for part in paragraphs),
                css="attn-card lab-notes",
            ),
        )
    view = box(
        LabLook(uid=uid, width=0, height=0, margin=0),
        header,
        box(box(*cards, css="lab-main"), css="lab-body lab-alone"),
        css=f"attn-root attn-{uid} attn-light",
    )
    view.stylesheets = [look_variables(), *styles()]
    return view


def _settings(store: RunStore, run: Run) -> list[Any]:
    points = store.points(run.id)
    named = ", ".join(f"{name} {value}" for name, value in asdict(run.settings).items())
    return [
        _words(run.name, run_words(run, points[-1] if points else None)),
        _words("", f"{named}; started {run.created}"),
    ]


def _words(text: str, aside: str, **options: Any) -> Words:
    return Words(
        text=text,
        aside=aside,
        margin=0,
        sizing_mode="stretch_width",
        css_classes=["lab-words"],
        stylesheets=styles(),
        **options,
    )
