"""What a command that runs a plan does on a terminal: signals, progress, text from files."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from attnpanel.bench.run.progress import Progress

# Interval of progress lines if stderr is not a terminal.
LOG_INTERVAL_S = 30.0


class Interrupted(Exception):  # noqa: N818 - requested, not an error
    """The run was stopped by a signal; its results so far are saved."""


@contextmanager
def stopped_by_signals(cancelled: threading.Event) -> Iterator[None]:
    """Stop the run cleanly on the first Ctrl-C or SIGTERM, at once on a second Ctrl-C."""

    def stop(number: int, _frame: object) -> None:
        if cancelled.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        cancelled.set()
        log("stopping; once more to stop at once")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ProgressReporter:
    """Shows progress: a bar on a terminal, otherwise a line every `LOG_INTERVAL_S`."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._logged_at = 0.0

    def __call__(self, progress: Progress) -> None:
        """Show the progress of a run."""
        left = format_remaining(progress.remaining_s)
        if not self._bar.disable:
            self._bar.total, self._bar.n = progress.total, progress.done
            self._bar.set_postfix_str(f"{left}  {progress.what[:60]}")
        elif time.monotonic() - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = time.monotonic()
            log(f"{progress.done} of {progress.total}, {left}: {progress.what}")


def format_remaining(remaining_s: float | None) -> str:
    """Format the remaining time of a run, rounded to seconds or minutes."""
    if remaining_s is None:
        return "time left not known yet"
    if remaining_s < 90:
        return f"about {remaining_s:.0f} s left"
    return f"about {remaining_s / 60:.0f} min left"


@contextmanager
def progress_bar() -> Iterator[ProgressReporter]:
    """Show a bar in the block, where stderr is a terminal."""
    from tqdm import tqdm

    form = "{percentage:3.0f}% {bar:20} {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
    with tqdm(total=1, bar_format=form, disable=None, leave=False) as bar:
        yield ProgressReporter(bar)


def print_safe(text: str) -> None:
    """Print text from a file without control characters, which a terminal would interpret."""
    print("".join(letter for letter in text if letter.isprintable() or letter == "\n"))


def log(message: str) -> None:
    """Print a line on stderr."""
    print(f"bench: {message}", file=sys.stderr)
