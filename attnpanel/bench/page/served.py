"""The served page of the bench: choose a run of a folder, or start a new one."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import panel as pn

from attnpanel.bench.measure.environment import RESULTS
from attnpanel.bench.page.components import styles
from attnpanel.bench.page.error_card import live_error_card
from attnpanel.bench.page.export import save_run_report
from attnpanel.bench.page.layout import BenchLayout
from attnpanel.bench.page.run_cards import box, run_cards, text_line
from attnpanel.bench.page.runs import runs_in
from attnpanel.bench.page.start_card import Starter
from attnpanel.bench.plots.format import bounded
from attnpanel.bench.run.serialization import write
from attnpanel.ui import Download
from attnpanel.ui.background_task import LatestTask
from attnpanel.ui.deferred_file import DeferredFile
from attnpanel.ui.fields import field
from attnpanel.ui.header import start_page
from attnpanel.ui.session_callbacks import SessionScheduler
from attnpanel.ui.words import current_language, t

if TYPE_CHECKING:
    from attnpanel.bench.run.records import BenchRun

# Environment variable naming another folder of runs.
VARIABLE: Final = "ATTNPANEL_BENCH_RESULTS"
# HoloViews renders the charts of one run at a time.
DRAWING: Final = threading.Lock()


class BenchPage:
    """The page of one session.

    Parameters
    ----------
    folder : path
        Folder of the runs to choose from.
    """

    def __init__(self, folder: Path) -> None:
        self._made = 0
        runs, self._problems = runs_in(folder)
        self._runs = {_label(name, run): run for name, run in runs.items()}
        self._choice = field(
            pn.widgets.Select,
            t("Shown run"),
            seen=False,
            options=list(self._runs),
            visible=bool(self._runs),
            sizing_mode="stretch_width",
            stylesheets=styles(),
            css=["bench-runs"],
        )
        self._choice.param.watch(lambda _event: self._draw(), "value")
        self._report = Download(
            self._make_report, label=t("Download report"), filename="bench.html", margin=0
        )
        self._file = Download(
            self._make_file,
            label=t("Run as JSON"),
            filename="run.json",
            margin=0,
            stylesheets=styles(),
            css_classes=["attn-in-words", "bench-json"],  # its icon would be that of the other
        )
        slot = box(self._choice, css="attn-slot bench-slot")
        self._layout = BenchLayout(slot, [self._report, self._file], served=True)
        self._starter = Starter(self._add)
        self._notice = text_line("", css="bench-notice", tone="error", visible=False)
        self._error_card = live_error_card(dark=False)
        self._work = LatestTask("attnpanel-bench-cards")
        self._lay_out(self._cards(self._run))
        self.view = self._layout.view

    @property
    def _run(self) -> BenchRun | None:
        return self._runs.get(str(self._choice.value))

    def _add(self, run: BenchRun) -> None:
        """Add and show a run made on this page; it is kept while the page is open."""
        self._made += 1
        label = _label(t("just now, run {count} of this page", count=self._made), run)
        self._runs = {label: run, **self._runs}
        self._choice.param.update(options=list(self._runs), value=label, visible=True)

    def _draw(self) -> None:
        """Show the chosen run; on a server a thread makes its cards, for a second and more."""
        run = self._run
        if not SessionScheduler().served:
            self._lay_out(self._cards(run))
            return
        self._work.start(
            lambda _on_progress: self._cards(run),
            on_done=self._lay_out,
            on_error=self._say,
            on_progress=lambda _text: None,
        )

    def _cards(self, run: BenchRun | None) -> list[Any]:
        if run is None:
            return [_empty(), self._error_card]
        others = [other for other in self._runs.values() if other is not run]
        with DRAWING:
            return run_cards(run, others, self._error_card, dark=self._layout.theme.dark)

    def _lay_out(self, cards: list[Any]) -> None:
        self._report.visible = self._file.visible = self._run is not None
        problems = [
            text_line(t("Not shown: {problem}", problem=problem), tone="error", css="bench-problem")
            for problem in self._problems[:3]
        ]
        self._layout.body[:] = [*problems, self._notice, self._starter.view, *cards]

    def _say(self, text: str) -> None:
        self._notice.param.update(text=text, visible=True)

    def _make_report(self) -> DeferredFile | None:
        run = self._run
        if run is None:
            return None
        others = [other for other in self._runs.values() if other is not run]
        language = current_language()

        def failed(reason: str) -> None:
            self._say(t("The report can't be made. {reason}", reason=reason))

        return DeferredFile(
            lambda path: save_run_report(run, path, history=others, language=language), failed
        )

    def _make_file(self) -> bytes | None:
        if self._run is None:
            return None
        with TemporaryDirectory() as folder:
            path = Path(folder) / "run.json"
            write(self._run, path)
            return path.read_bytes()


def bench_page() -> Any:
    """Return the page for a new session."""
    start_page()
    return BenchPage(Path(os.environ.get(VARIABLE) or RESULTS)).view


def _empty() -> Any:
    return box(
        text_line(t("No run yet"), heading=True),
        text_line(
            t(
                "Start one above, or make one with attnpanel bench run where this server was "
                "started: its file is then offered here. The error map below needs no run."
            ),
            tone="muted",
        ),
        css="attn-card",
    )


def _label(name: str, run: BenchRun) -> str:
    environment = run.environment
    state = "" if run.finished else f" · {t('interrupted')}"
    date = environment.date_utc[:16].replace("T", " ")
    return bounded(f"{date} · {run.preset} · {environment.cpu_model} · {name}{state}", 120)
