"""The card that starts a small run in a thread, with progress and cancellation."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import panel as pn

from attnpanel.bench.page.components import RunProgress, styles
from attnpanel.bench.page.run_cards import box, text_line
from attnpanel.bench.plots.format import bounded
from attnpanel.bench.run.execute import run as run_plan
from attnpanel.bench.run.presets import load_preset, make_plan
from attnpanel.ui.session_callbacks import SessionScheduler
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.bench.run.progress import Progress
    from attnpanel.bench.run.records import BenchRun

# Presets short enough to wait for; longer ones need the command line.
PRESETS: Final = ("smoke", "quick")
PROGRESS_INTERVAL_S: Final = 0.2
# One run at a time for all sessions: two would disturb each other's times.
_BUSY = threading.Lock()


class Starter:
    """The card that starts a run.

    Parameters
    ----------
    show : function of a BenchRun
        Called in the session when a run has ended, even if it was cancelled.
    """

    def __init__(self, show: Callable[[BenchRun], None]) -> None:
        self._show = show
        self._cancelled = threading.Event()
        self._shown_at = 0.0
        self._preset = pn.widgets.Select(
            label=t("Preset"),
            options=list(PRESETS),
            width=120,
            margin=0,
            stylesheets=styles(),
            css_classes=["bench-preset"],
        )
        self._certify_only = pn.widgets.Checkbox(
            label=t("certificates only"),
            margin=0,
            stylesheets=styles(),
            css_classes=["bench-certify-only"],
        )
        self.start_button = _button(t("Start a run"), "attn-primary", "bench-start")
        self.cancel_button = _button(t("Cancel"), "bench-cancel")
        self.cancel_button.visible = False
        self.start_button.on_click(lambda _event: self.start())
        self.cancel_button.on_click(lambda _event: self.cancel())
        self.progress = RunProgress(
            sizing_mode="stretch_width", margin=0, css_classes=["bench-run-progress"]
        )
        if pn.state.curdoc is not None:
            # A run must not outlive its session: others would have to wait for it.
            pn.state.on_session_destroyed(lambda _session: self._cancelled.set())
        self.view = box(
            text_line(
                t("A run of your own"),
                t(
                    "each implementation in a process of its own, on this server · longer ones: "
                    "attnpanel bench run"
                ),
                heading=True,
            ),
            box(
                self._preset,
                self._certify_only,
                self.start_button,
                self.cancel_button,
                css="bench-choices",
            ),
            self.progress,
            css="attn-card bench-start-card",
        )

    def start(self) -> None:
        """Start the chosen run, or show a message if another one is running."""
        if not _BUSY.acquire(blocking=False):
            self.progress.param.update(
                text=t(
                    "Another run is going on here, and two would disturb each other's times. "
                    "Try again when it has ended."
                )
            )
            return
        self._cancelled.clear()
        self.start_button.disabled = True
        self.cancel_button.param.update(visible=True, disabled=False)
        self.progress.param.update(done=0, total=0, text=t("Starting …"))
        schedule = SessionScheduler()
        chosen = str(self._preset.value), bool(self._certify_only.value)

        def work() -> None:
            try:
                made = self._run(*chosen, schedule)
            except Exception as error:  # noqa: BLE001 - the page must survive any failure of a run
                reason = bounded(f"{type(error).__name__}: {error}", 300)
                schedule(lambda: self._end(t("The run failed: {reason}", reason=reason), None))
            else:
                schedule(lambda: self._end(_outcome(made), made))
            finally:
                _BUSY.release()

        threading.Thread(target=work, name="attnpanel-bench-run", daemon=True).start()

    def cancel(self) -> None:
        """Cancel the current run; its results so far are shown."""
        self._cancelled.set()
        self.cancel_button.disabled = True
        self.progress.text = t("Cancelling …")

    def _run(
        self,
        preset: str,
        certify_only: bool,  # noqa: FBT001 - as the checkbox has it
        schedule: Callable[[Callable[[], None]], None],
    ) -> BenchRun:
        plan = make_plan(load_preset(preset), preset, certify_only=certify_only)

        def on_progress(progress: Progress) -> None:
            now = time.monotonic()
            if now - self._shown_at >= PROGRESS_INTERVAL_S and not self._cancelled.is_set():
                self._shown_at = now
                schedule(lambda: self._show_progress(progress))

        return run_plan(plan, progress=on_progress, cancelled=self._cancelled)

    def _show_progress(self, progress: Progress) -> None:
        if not self._cancelled.is_set() and self.start_button.disabled:
            self.progress.param.update(
                done=progress.done, total=progress.total, text=format_progress(progress)
            )

    def _end(self, text: str, made: BenchRun | None) -> None:
        self.start_button.disabled = False
        self.cancel_button.visible = False
        self.progress.param.update(done=0, total=0, text=text)
        if made is not None:
            self._show(made)


def format_progress(progress: Progress) -> str:
    """Format the progress of a run and its remaining time, if known."""
    count = t("{done} of {total}", done=progress.done, total=progress.total)
    parts = [count, bounded(progress.what, 120)]
    if progress.remaining_s is not None and progress.remaining_s < 90:
        parts.append(t("about {seconds} s left", seconds=f"{progress.remaining_s:.0f}"))
    elif progress.remaining_s is not None:
        parts.append(t("about {minutes} min left", minutes=f"{progress.remaining_s / 60:.0f}"))
    return " · ".join(parts)


def _outcome(run: BenchRun) -> str:
    return t("Done.") if run.finished else t("Cancelled; what was done is shown.")


def _button(label: str, *css: str) -> Any:
    return pn.widgets.Button(
        label=label, margin=0, stylesheets=styles(), css_classes=["attn-button", *css]
    )
