"""How long a reader waits: slider to picture, server to first picture, and the import.

What a press is and what is timed stands in bench/sliders.py.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnpanel.sources.toy import toy_trace
from attnpanel.trace import Trace
from bench.browser import ARGUMENTS, WHAT_TO_DO, MeasurementError, find_browser
from bench.environment import ROOT, describe, load
from bench.results import UI_SCHEMA, UiRun
from bench.sliders import CONTROLS, interaction, settle, watching_script

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.results import Interaction

HEADS, D_MODEL = 12, 384
SCORE_SPREAD = 3.0  # standard deviation of the scores
VIEWPORT = {"width": 1440, "height": 900}
LIMIT_S = 60.0  # for a page to open
START_LIMIT_S = 120.0
IMPORTS = ("pass", "import numpy", "import attnpanel")


@dataclass(frozen=True)
class Preset:
    """How much is measured: sequence lengths, presses each, starts and imports.

    Without `workers` the browser starts no Worker: the page computes all by itself, and no step of
    a slider is computed before it is asked for.
    """

    name: str
    lengths: tuple[int, ...]
    presses: int
    starts: int
    imports: int
    workers: bool = True


FULL = Preset("full", (8, 64, 256, 512, 1024, 2048), presses=30, starts=5, imports=7)
QUICK = Preset("quick", (8, 64), presses=2, starts=1, imports=1)
NO_WORKER = "window.Worker = class { constructor() { throw new Error('no Worker here') } }"


def measure(preset: Preset) -> UiRun:
    """Measure all that the preset asks for.

    Raises
    ------
    MeasurementError
        If there is no browser, or the page or server does not do what is measured.
    """
    from playwright.sync_api import Error, sync_playwright

    path = find_browser()
    if path is None:
        raise MeasurementError(WHAT_TO_DO)
    try:
        with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
            browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
            environment = describe(f"Chromium {browser.version}, headless")
            imports = _imports(preset.imports)
            starts = [_start(browser) for _ in range(preset.starts)]
            interactions = tuple(_interactions(browser, preset, Path(folder)))
            browser.close()
    except Error as error:
        raise MeasurementError(f"the browser failed: {error.message}") from error
    return UiRun(
        schema=UI_SCHEMA,
        preset=preset.name,
        environment=replace(environment, load_after=load()),
        interactions=interactions,
        address_s=tuple(address for address, _ in starts),
        first_paint_s=tuple(paint for _, paint in starts),
        import_s=imports,
    )


# -- import and start ------------------------------------------------------------------------


def _imports(repeats: int) -> dict[str, tuple[float, ...]]:
    """Statement to the seconds that fresh processes took, turn by turn."""
    _say("import")
    seconds: dict[str, list[float]] = {statement: [] for statement in IMPORTS}
    for _ in range(repeats):
        for statement in IMPORTS:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)
            seconds[statement].append(time.perf_counter() - start)
    return {statement: tuple(samples) for statement, samples in seconds.items()}


def _start(browser: Any) -> tuple[float, float]:
    """Seconds from starting the server to its address, and to the first heatmap of its page."""
    _say("start")
    with _served() as (address, address_s), _page(browser, address) as page:
        return address_s, address_s + page.evaluate("attnBench.firstPaintMs") / 1000


@contextmanager
def _served(traces: Sequence[Path] = ()) -> Iterator[tuple[str, float]]:
    """Serve as a user does; yield the address and the seconds until it was printed."""
    command = [sys.executable, "-m", "attnpanel", "serve", *map(str, traces), "--port", "0"]
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
        # A server that hangs before its first line would otherwise hang the bench too.
        watchdog = threading.Timer(START_LIMIT_S, server.kill)
        watchdog.start()
        try:
            address = _address(server)
            address_s = time.perf_counter() - start
            watchdog.cancel()
            yield address, address_s
        except MeasurementError as error:
            log.seek(0)
            told = log.read().strip()
            raise MeasurementError(f"{error}; the server wrote:\n{told}") from None
        finally:
            watchdog.cancel()
            server.terminate()
            server.communicate()


def _address(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None  # noqa: S101 - for mypy: it is a pipe
    line = server.stdout.readline()
    if not line.startswith("attnpanel: http"):
        server.kill()
        raise MeasurementError(f"`attnpanel serve` told no address; its first line is {line!r}")
    return line.split()[-1]


@contextmanager
def _page(browser: Any, address: str, *, workers: bool = True) -> Iterator[Any]:
    """The address in a browser context of its own, from its first heatmap on."""
    context = browser.new_context(viewport=VIEWPORT)
    try:
        context.add_init_script(watching_script() + ("" if workers else f"\n{NO_WORKER}"))
        page = context.new_page()
        page.set_default_timeout(LIMIT_S * 1000)
        page.goto(address)
        page.wait_for_function("attnBench.firstPaintMs !== null")
        yield page
    finally:
        context.close()


# -- slider to picture -----------------------------------------------------------------------


def _interactions(browser: Any, preset: Preset, folder: Path) -> Iterator[Interaction]:
    paths = {length: folder / f"toy-{length}.safetensors" for length in preset.lengths}
    for length, path in paths.items():
        _toy(length).save(path)
    with _served(list(paths.values())) as (address, _):
        for length, path in paths.items():
            shown = f"{address}?source=file&trace={path.name}"
            with _page(browser, shown, workers=preset.workers) as page:
                page.evaluate("attnBench.watch()")
                settle(page, f"opening T={length}", LIMIT_S)
                for control in CONTROLS:
                    _say(f"T={length} {control.name}")
                    yield interaction(page, control, length, preset.presses)


def _toy(length: int) -> Trace:
    """The toy, its scores brought to the spread of a trained head's.

    Unscaled, scores of d_model = 384 spread over hundreds: every weight is 0 or 1, and no
    temperature on the slider changes the picture.
    """
    trace = toy_trace(T=length, d_model=D_MODEL, heads=HEADS)
    call = trace.calls[0]
    milder = replace(call, scale=call.scale * SCORE_SPREAD / D_MODEL)
    return Trace([milder], query_tokens=trace.query_tokens, source=trace.source)


def _say(what: str) -> None:
    print(f"bench ui: {what}", file=sys.stderr, flush=True)
