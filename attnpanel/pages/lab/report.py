"""save_training_report(): training runs as one HTML file without a server or a network."""

from __future__ import annotations

import base64
import uuid
from dataclasses import asdict
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import panel as pn
from bokeh.document import Document
from panel.io.state import set_curdoc

from attnpanel.pages.lab.components import LabTheme, TrainingReplay, box, styles
from attnpanel.pages.lab.curves import CHARTS, COLOURS, CurvePlot
from attnpanel.pages.lab.run_summary import (
    curve_of,
    kept_weights,
    replay_info,
    run_name,
    run_status,
)
from attnpanel.trace.atomic_write import atomic_write_text
from attnpanel.ui import Caption, ThemeButton
from attnpanel.ui.notebook import load_libraries
from attnpanel.ui.standalone_html import standalone_html
from attnpanel.ui.theme import theme_variables
from attnpanel.ui.words import t, use_language

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from attnpanel.training.records import Checkpoint, Run
    from attnpanel.training.store import RunStore

MAX_NOTE_CHARACTERS = 20_000


def save_training_report(
    store: RunStore,
    runs: Sequence[int],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    notes: str = "",
    follow: int | None = None,
    language: str | None = None,
) -> Path:
    """Write runs as one offline HTML file: their curves, and one run's attention by step.

    Parameters
    ----------
    store : RunStore
    runs : sequence of int
        Numbers of the runs: 1 to 8, one per colour.
    path : path
        Written atomically; its folder must exist.
    title : str, optional
    notes : str, optional
        Plain text above the curves; blank lines separate paragraphs.
    follow : int, optional
        The run whose attention is shown; by default the first one with attention.
    language : str, optional
        The page's language: "en", "de" or "zh"; English by default.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If a run does not exist, or there are none or too many.
    OSError
        If the file can't be written; an existing file stays as it was.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"a report needs a folder that exists; got {path}")
    with use_language(language):
        page = render_training_report(store, runs, title, notes, follow)
    atomic_write_text(path, page)
    return path


def write_training_report(
    store: RunStore,
    runs: Sequence[int],
    notes: str,
    follow: int | None,
    colours: Mapping[int, str],
    language: str,
    path: Path,
) -> None:
    """Write the report of the lab's page; parameters as in :func:`render_training_report`."""
    with use_language(language):
        page = render_training_report(store, runs, None, notes, follow, colours)
    atomic_write_text(path, page)


def render_training_report(
    store: RunStore,
    runs: Sequence[int],
    title: str | None,
    notes: str,
    follow: int | None,
    colours: Mapping[int, str] | None = None,
) -> list[str]:
    """Return the report's HTML in pieces; parameters as in :func:`save_training_report`.

    `colours` are the runs' colours on the lab's page.
    """
    numbers = list(dict.fromkeys(runs))
    if not 1 <= len(numbers) <= len(COLOURS):
        raise ValueError(f"a report shows 1 to {len(COLOURS)} runs; got {len(numbers)}")
    if len(notes) > MAX_NOTE_CHARACTERS:
        raise ValueError(
            f"notes may have at most {MAX_NOTE_CHARACTERS:,} characters; got {len(notes):,}"
        )
    shown = [store.run(number) for number in sorted(numbers)]
    attending = [run for run in shown if run.settings.attends]
    followed = next((run for run in shown if run.id == follow), (attending or shown)[0])
    title = title or t("Training: {name}", name=followed.name)
    load_libraries()
    document = Document()
    # In its own document: one made while a page is served would share that page's stylesheets.
    with set_curdoc(document):
        defaults = dict(zip([run.id for run in shown], COLOURS, strict=False))
        view = _view(store, shown, followed, title, notes, colours or defaults)
        return standalone_html(document, view, title)


def _view(
    store: RunStore,
    runs: list[Run],
    followed: Run,
    title: str,
    notes: str,
    colours: Mapping[int, str],
) -> Any:
    explorer_id = uuid.uuid4().hex
    steps = max(run.settings.steps for run in runs)
    charts = []
    for chart in CHARTS:
        plot = CurvePlot(chart)
        plot.write([curve_of(store, run, chart.name, colours, followed.id) for run in runs], steps)
        charts.append(
            box(_words(t(chart.title), t(chart.subtitle), heading=True), plot.pane, css="lab-chart")
        )
    kept = kept_weights(store, followed)
    replay = TrainingReplay(
        about=replay_info(followed, store.text(followed.id)),
        kept=kept,
        weights=[_weights(store.checkpoint(followed.id, step)) for step in kept["steps"]],
        recorded=[
            {
                "step": keyframe.step,
                "answers": keyframe.answers,
                "cells": base64.b64encode(keyframe.frame.cells).decode(),
            }
            for keyframe in store.keyframes(followed.id)
        ],
        sizing_mode="stretch_width",
        margin=0,
    )
    header = box(
        Caption(text=title, heading=True, margin=0, css_classes=["attn-report-title"]),
        ThemeButton(explorer_id=explorer_id, driver="browser", margin=0),
        css="attn-header",
    )
    paragraphs = [part for part in notes.split("\n\n") if part.strip()]
    cards = [
        box(_legend(runs, colours), box(*charts, css="lab-charts"), css="attn-card"),
        box(
            _words(t("Attention while it learns"), run_name(followed), heading=True),
            replay,
            css="attn-card lab-attention",
        ),
        box(
            _words(t("The runs"), t("settings that determine their result"), heading=True),
            *(part for run in runs for part in _settings(store, run)),
            _words("", t("Made by attnpanel {version}.", version=version("attnpanel"))),
            css="attn-card lab-settings lab-columns",
        ),
    ]
    if paragraphs:
        cards.insert(
            0,
            box(
                _words(t("Notes"), "", heading=True),
                *(_words(part.strip(), "") for part in paragraphs),
                css="attn-card lab-notes lab-columns",
            ),
        )
    view = box(
        LabTheme(explorer_id=explorer_id, width=0, height=0, margin=0),
        header,
        box(box(*cards, css="lab-main"), css="lab-body lab-alone"),
        css=f"attn-root attn-{explorer_id} attn-light",
    )
    view.stylesheets = [theme_variables(), *styles()]
    return view


def _legend(runs: list[Run], colours: Mapping[int, str]) -> Any:
    """Return the line and the name of each run, as the curves draw it."""
    items = "".join(
        f"<li><i class='lab-chip{'' if run.settings.attends else ' dashed'}' "
        f"style='background: {colours[run.id]}'></i>{escape(run_name(run))}</li>"
        for run in runs
    )
    return pn.pane.HTML(
        f"<ul class='lab-curves-legend' translate='no'>{items}</ul>",
        stylesheets=styles(),
        margin=0,
        sizing_mode="stretch_width",
    )


def _weights(checkpoint: Checkpoint) -> dict[str, Any]:
    return asdict(checkpoint) | {"weights": base64.b64encode(checkpoint.weights).decode()}


def _settings(store: RunStore, run: Run) -> list[Any]:
    points = store.points(run.id)
    listed = ", ".join(f"{name} {value}" for name, value in asdict(run.settings).items())
    return [
        _words(run.name, run_status(run, points[-1] if points else None)),
        _words("", t("{settings}; started {when}", settings=listed, when=run.created)),
    ]


def _words(text: str, subtitle: str, **options: Any) -> Caption:
    return Caption(
        text=text,
        subtitle=subtitle,
        margin=0,
        sizing_mode="stretch_width",
        css_classes=["lab-caption"],
        stylesheets=styles(),
        **options,
    )
