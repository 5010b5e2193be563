"""The served page of the bench: the runs of a folder, one shown, and a run of one's own."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import panel as pn

from attnpanel.browser import Download
from attnpanel.theme import BODY_CSS
from bench.page.components import styles
from bench.page.error_card import live_error_card
from bench.page.layout import BenchLayout
from bench.page.report import save_run_report
from bench.page.run_cards import box, run_cards, words
from bench.page.runs import runs_in
from bench.page.start_card import Starter
from bench.plots.words import bounded
from bench.results import write

if TYPE_CHECKING:
    from bench.bench_run import BenchRun

FOLDER: Final = Path(__file__).parents[1] / "results"
# Another folder of runs, for who keeps theirs elsewhere.
VARIABLE: Final = "ATTNPANEL_BENCH_RESULTS"


class BenchPage:
    """One visitor's page.

    Parameters
    ----------
    folder : path
        Whose runs are offered.
    """

    def __init__(self, folder: Path) -> None:
        self._made = 0
        kept, self._problems = runs_in(folder)
        self._runs = {_label(name, run): run for name, run in kept.items()}
        self._choice = pn.widgets.Select(
            options=list(self._runs),
            visible=bool(self._runs),
            sizing_mode="stretch_width",
            margin=0,
            stylesheets=styles(),
            css_classes=["bench-runs"],
        )
        self._choice.param.watch(lambda _event: self._draw(), "value")
        self._report = Download(
            self._make_report, label="Download report", filename="bench.html", margin=0
        )
        self._file = Download(self._make_file, label="Download run", filename="run.json", margin=0)
        slot = box(self._choice, css="attn-slot")
        self._layout = BenchLayout(slot, [self._report, self._file], served=True)
        self._starter = Starter(self._add)
        self._notice = words("", css="bench-notice", tone="error", visible=False)
        self._error_card = live_error_card(dark=False)
        self._draw()
        self.view = self._layout.view

    @property
    def _shown(self) -> BenchRun | None:
        return self._runs.get(str(self._choice.value))

    def _add(self, run: BenchRun) -> None:
        """Show a run made on this page, and keep it among the others while the page is open."""
        self._made += 1
        label = _label(f"just now, run {self._made} of this page", run)
        self._runs = {label: run, **self._runs}
        self._choice.param.update(options=list(self._runs), value=label, visible=True)

    def _draw(self) -> None:
        run = self._shown
        self._report.visible = self._file.visible = run is not None
        dark = self._layout.look.dark
        if run is None:
            cards = [_empty(), self._error_card]
        else:
            others = [one for one in self._runs.values() if one is not run]
            cards = run_cards(run, others, self._error_card, dark=dark)
        problems = [
            words(f"Not shown: {problem}", tone="error", css="bench-problem")
            for problem in self._problems[:3]
        ]
        self._layout.body[:] = [*problems, self._notice, self._starter.view, *cards]

    def _make_report(self) -> bytes | None:
        run = self._shown
        if run is None:
            return None
        others = [one for one in self._runs.values() if one is not run]
        with TemporaryDirectory() as folder:
            try:
                path = save_run_report(run, Path(folder) / "bench.html", history=others)
            except (ValueError, OSError) as error:
                self._notice.param.update(text=f"The report can't be made: {error}", visible=True)
                return None
            return path.read_bytes()

    def _make_file(self) -> bytes | None:
        if self._shown is None:
            return None
        with TemporaryDirectory() as folder:
            path = Path(folder) / "run.json"
            write(self._shown, path)
            return path.read_bytes()


def bench_page() -> Any:
    """Return a new visitor's page of the runs that are kept here."""
    pn.extension()
    if BODY_CSS not in pn.config.raw_css:
        pn.config.raw_css = [*pn.config.raw_css, BODY_CSS]
    return BenchPage(Path(os.environ.get(VARIABLE) or FOLDER)).view


def _empty() -> Any:
    return box(
        words("No run yet", heading=True),
        words(
            "Start one above, or make one with python -m bench run: its file in bench/results "
            "is then offered here. The error map below needs no run.",
            tone="muted",
        ),
        css="attn-card",
    )


def _label(name: str, run: BenchRun) -> str:
    place = run.environment
    state = "" if run.finished else " · interrupted"
    date = place.date_utc[:16].replace("T", " ")
    return bounded(f"{date} · {run.preset} · {place.cpu_model} · {name}{state}", 120)
