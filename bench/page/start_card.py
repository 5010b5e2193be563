"""Starting a small run from the page: in a thread, with its progress, cancellable."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import panel as pn

from attnpanel.to_page import ToPage
from bench.page.components import RunProgress, styles
from bench.page.run_cards import box, words
from bench.plots.words import bounded
from bench.presets import load_preset, make_plan
from bench.running import run as carry_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.bench_run import BenchRun
    from bench.progress import Progress

# Those that end while somebody waits; longer ones are the command line's.
PRESETS: Final = ("smoke", "quick")
TELL_EVERY_S: Final = 0.2
# One run at a time for all visitors: two would time each other.
_BUSY = threading.Lock()


class Starter:
    """The card that starts a run.

    Parameters
    ----------
    show : function of a BenchRun
        Called on the page when a run has ended, cancelled ones included.
    """

    def __init__(self, show: Callable[[BenchRun], None]) -> None:
        self._show = show
        self._cancelled = threading.Event()
        self._told_at = 0.0
        self._preset = pn.widgets.Select(
            label="Preset",
            options=list(PRESETS),
            width=120,
            margin=0,
            stylesheets=styles(),
            css_classes=["bench-preset"],
        )
        self._certify_only = pn.widgets.Checkbox(
            label="certificates only",
            margin=0,
            stylesheets=styles(),
            css_classes=["bench-certify-only"],
        )
        self.start_button = _button("Start a run", "attn-primary", "bench-start")
        self.cancel_button = _button("Cancel", "bench-cancel")
        self.cancel_button.visible = False
        self.start_button.on_click(lambda _event: self.start())
        self.cancel_button.on_click(lambda _event: self.cancel())
        self.progress = RunProgress(
            sizing_mode="stretch_width", margin=0, css_classes=["bench-run-progress"]
        )
        if pn.state.curdoc is not None:
            # Who leaves the page leaves no run behind that others would have to wait for.
            pn.state.on_session_destroyed(lambda _session: self._cancelled.set())
        self.view = box(
            words(
                "A run of your own",
                "each implementation in a process of its own, on this server · longer ones: "
                "python -m bench run",
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
        """Start the chosen run; where one is going on already, say so."""
        if not _BUSY.acquire(blocking=False):
            self.progress.param.update(
                text="Another run is going on here, and two would disturb each other's times. "
                "Try again when it has ended."
            )
            return
        self._cancelled.clear()
        self.start_button.disabled = True
        self.cancel_button.param.update(visible=True, disabled=False)
        self.progress.param.update(done=0, total=0, text="Starting …")
        to_page = ToPage()
        chosen = str(self._preset.value), bool(self._certify_only.value)

        def work() -> None:
            try:
                made = self._run(*chosen, to_page)
            except Exception as error:  # noqa: BLE001 - whatever befalls a run, the page lives on
                reason = bounded(f"{type(error).__name__}: {error}", 300)
                to_page(lambda: self._end(f"The run failed: {reason}", None))
            else:
                said = "Done." if made.finished else "Cancelled; what was done is shown."
                to_page(lambda: self._end(said, made))
            finally:
                _BUSY.release()

        threading.Thread(target=work, name="attnpanel-bench-run", daemon=True).start()

    def cancel(self) -> None:
        """Stop the run that is going on; what it has done is kept."""
        self._cancelled.set()
        self.cancel_button.disabled = True
        self.progress.text = "Cancelling …"

    def _run(
        self,
        preset: str,
        certify_only: bool,  # noqa: FBT001 - as the checkbox has it
        to_page: Callable[[Callable[[], None]], None],
    ) -> BenchRun:
        plan = make_plan(load_preset(preset), preset, certify_only=certify_only)

        def tell(progress: Progress) -> None:
            now = time.monotonic()
            if now - self._told_at >= TELL_EVERY_S and not self._cancelled.is_set():
                self._told_at = now
                to_page(lambda: self._tell(progress))

        return carry_out(plan, progress=tell, cancelled=self._cancelled)

    def _tell(self, progress: Progress) -> None:
        if not self._cancelled.is_set() and self.start_button.disabled:
            self.progress.param.update(
                done=progress.done, total=progress.total, text=progress_words(progress)
            )

    def _end(self, text: str, made: BenchRun | None) -> None:
        self.start_button.disabled = False
        self.cancel_button.visible = False
        self.progress.param.update(done=0, total=0, text=text)
        if made is not None:
            self._show(made)


def progress_words(progress: Progress) -> str:
    """Say where a run is, and what remains as far as that is known."""
    where = f"{progress.done} of {progress.total} · {bounded(progress.what, 120)}"
    if progress.remaining_s is None:
        return where
    if progress.remaining_s < 90:
        return f"{where} · about {progress.remaining_s:.0f} s left"
    return f"{where} · about {progress.remaining_s / 60:.0f} min left"


def _button(label: str, *css: str) -> Any:
    return pn.widgets.Button(
        label=label, margin=0, stylesheets=styles(), css_classes=["attn-button", *css]
    )
