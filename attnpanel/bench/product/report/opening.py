"""Open a file in a fresh Chromium with its network off and measure it."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnpanel.bench.browser import ARGUMENTS
from attnpanel.bench.measure.process_use import memory_of
from attnpanel.bench.product.report.results import Opening

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).parents[2] / "bundles" / "report_probe.js"
VIEWPORT = {"width": 1440, "height": 900}
# A renderer that uses less than this share of a core is idle.
CALM_SHARE = 0.04
CALM_WATCH_S = 0.5
REST_LIMIT_S = 30.0
MAX_KEPT = 20  # number of errors and of requests kept
SLICE_S = 1.0
HANG_LIMIT_S = 400.0


@dataclass(frozen=True)
class Watch:
    """How to detect that a page has drawn its first plot.

    Attributes
    ----------
    script : str
        Script that runs before the page's own scripts.
    drawn_ms : str
        JavaScript: milliseconds from the start of the navigation to the plot, null before.
    """

    script: str
    drawn_ms: str


def watch_for(drawn: str) -> Watch:
    """Return the Watch for a JavaScript condition."""
    script = f"{SCRIPT.read_text('utf-8')}\ninstallReportBench(() => {drawn})"
    return Watch(script, "window.reportBench?.drawnMs ?? null")


@dataclass
class _PageLog:
    file: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    crashed: bool = False
    loaded: bool = False

    def watch(self, page: Any) -> None:
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.errors.append(f"{error.name}: {error.message}"))
        page.on("request", lambda request: self._note_request(request.url))
        page.on("websocket", lambda socket: self._note_request(socket.url))
        page.on("crash", self._note_crash)
        page.on("load", lambda _: setattr(self, "loaded", True))

    def _note_console(self, message: Any) -> None:
        if message.type in {"error", "assert"}:
            self.errors.append(message.text)

    def _note_crash(self, _page: Any) -> None:
        self.crashed = True
        self.errors.append("the page crashed")

    def _note_request(self, address: str) -> None:
        # data: and blob: URLs are not network requests.
        if address != self.file and not address.startswith(("data:", "blob:")):
            self.requests.append(address)


@dataclass(frozen=True)
class Opened:
    """An open page and the measurements of opening it."""

    page: Any
    first: Opening
    log: _PageLog

    @property
    def drawn(self) -> bool:
        """Whether a first plot was drawn."""
        return self.first.drawn_s is not None

    def opening(self) -> Opening:
        """Return the measurements with all errors and requests so far."""
        return replace(
            self.first,
            errors=tuple(text[:200] for text in self.log.errors[:MAX_KEPT]),
            requests=tuple(address[:200] for address in self.log.requests[:MAX_KEPT]),
        )


@contextmanager
def opened(
    playwright: Any, browser_path: str, file: Path, watch: Watch, limit_s: float
) -> Iterator[Opened]:
    """Open a file and yield its page for further measurements.

    Parameters
    ----------
    playwright : Playwright
    browser_path : str
    file : Path
    watch : Watch
    limit_s : float
        Time limit for the first plot. A page that becomes idle without one is not waited for.
    """
    browser = playwright.chromium.launch(executable_path=browser_path, args=list(ARGUMENTS))
    renderers = _Renderers(browser)
    # A page that blocks its main thread would block every request to it.
    watchdog = threading.Timer(HANG_LIMIT_S, renderers.kill_browser)
    watchdog.start()
    try:
        yield _open(browser, renderers, file, watch, limit_s)
    finally:
        watchdog.cancel()
        browser.close()


def _open(browser: Any, renderers: _Renderers, file: Path, watch: Watch, limit_s: float) -> Opened:
    context = browser.new_context(viewport=VIEWPORT, offline=True)
    context.add_init_script(watch.script)
    page = context.new_page()
    log = _PageLog(file.resolve().as_uri())
    log.watch(page)
    renderers.rest()  # starting the blank page takes most of a second of CPU time
    before = renderers.cpu_s()
    page.goto(log.file, wait_until="commit", timeout=limit_s * 1000)
    drawn = _wait_until_drawn(page, watch, log, renderers, limit_s)
    at_drawn = renderers.cpu_s()
    at_rest = renderers.rest() if drawn else None
    process = _busiest(before, at_rest or at_drawn)
    first = Opening(
        drawn_s=page.evaluate(watch.drawn_ms) / 1000 if drawn else None,
        drawn_cpu_s=_taken(process, before, at_drawn) if drawn else None,
        rest_cpu_s=_taken(process, before, at_rest),
        elements=page.evaluate("reportBench.elements()") if at_rest else None,
        nodes=_nodes(context, page) if at_rest else None,
        renderer_bytes=None if process is None else memory_of(process, "VmRSS"),
        errors=(),
        requests=(),
    )
    return Opened(page, first, log)


def _wait_until_drawn(
    page: Any, watch: Watch, log: _PageLog, renderers: _Renderers, limit_s: float
) -> bool:
    from playwright.sync_api import Error, TimeoutError  # noqa: A004 - playwright's own name

    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline and not log.crashed:
        try:
            page.wait_for_function(f"({watch.drawn_ms}) !== null", timeout=SLICE_S * 1000)
        except TimeoutError:
            if log.loaded and renderers.calm():
                return False
        except Error:  # the renderer is gone
            return False
        else:
            return True
    return False


class _Renderers:
    """The renderer processes of a browser and their CPU time."""

    def __init__(self, browser: Any) -> None:
        self._session = browser.new_browser_cdp_session()
        self._browser = next(
            process["id"] for process in self._process_info() if process["type"] == "browser"
        )

    def cpu_s(self) -> dict[int, float]:
        """Return the CPU seconds of each renderer by process id."""
        return {
            process["id"]: process["cpuTime"]
            for process in self._process_info()
            if process["type"] == "renderer"
        }

    def kill_browser(self) -> None:
        """Kill the browser even if its pages are unresponsive."""
        with suppress(OSError):
            os.kill(self._browser, signal.SIGTERM)

    def calm(self) -> bool:
        """Whether the renderers are idle, observed over `CALM_WATCH_S`."""
        before, start = self.cpu_s(), time.monotonic()
        time.sleep(CALM_WATCH_S)
        after, waited = self.cpu_s(), time.monotonic() - start
        taken = sum(seconds - before.get(process, 0.0) for process, seconds in after.items())
        return taken < CALM_SHARE * waited

    def rest(self) -> dict[int, float] | None:
        """Wait until the renderers are idle; return their CPU seconds, None on time-out."""
        deadline = time.monotonic() + REST_LIMIT_S
        while not self.calm():
            if time.monotonic() > deadline:
                return None
        return self.cpu_s()

    def _process_info(self) -> list[dict[str, Any]]:
        answer = self._session.send("SystemInfo.getProcessInfo")
        processes: list[dict[str, Any]] = answer["processInfo"]
        return processes


def _busiest(before: dict[int, float], after: dict[int, float]) -> int | None:
    """Return the renderer that used most CPU; it may differ from the blank page's."""
    return max(after, key=lambda process: after[process] - before.get(process, 0.0), default=None)


def _taken(
    process: int | None, before: dict[int, float], after: dict[int, float] | None
) -> float | None:
    if process is None or after is None or process not in after:
        return None
    return max(0.0, after[process] - before.get(process, 0.0))


def _nodes(context: Any, page: Any) -> int | None:
    session = context.new_cdp_session(page)
    session.send("Performance.enable")
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next((int(metric["value"]) for metric in metrics if metric["name"] == "Nodes"), None)
