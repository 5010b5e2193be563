"""Measure the latency of sliders, of taps on a picture, of starting a server, and of imports.

See bench/product/sliders.py for what a press is and what is timed. A tap is timed from the event's
timestamp until the frame with the tapped patch's weights on the picture is through.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from attnpanel.bench.browser import ARGUMENTS, INSTALL_HINT, MeasurementError, find_browser
from attnpanel.bench.measure.environment import ROOT, describe, load
from attnpanel.bench.product.sliders import (
    CONTROLS,
    PRESS_LIMIT_S,
    interaction,
    settle,
    watching_script,
)
from attnpanel.bench.run.serialization import UI_SCHEMA, UiRun
from attnpanel.models.toy import toy_trace
from attnpanel.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from attnpanel.bench.run.serialization import Interaction

HEADS, D_MODEL = 12, 384
SCORE_SPREAD = 3.0  # standard deviation of the scores
VIEWPORT = {"width": 1440, "height": 900}
LIMIT_S = 60.0  # for a page to open
START_LIMIT_S = 120.0
IMPORTS = ("pass", "import numpy", "import attnpanel")


@dataclass(frozen=True)
class Preset:
    """What to measure: sequence lengths, presses for each, taps, starts and imports.

    The picture that is tapped has `side` × `side` patches.

    Without `workers` the browser has no Worker: the page computes everything itself, and nothing is
    precomputed for the next step of a slider.
    """

    name: str
    lengths: tuple[int, ...]
    presses: int
    side: int
    taps: int
    starts: int
    imports: int
    workers: bool = True


FULL = Preset(
    "full", (8, 64, 256, 512, 1024, 2048), presses=30, side=32, taps=15, starts=5, imports=7
)
QUICK = Preset("quick", (8, 64), presses=2, side=4, taps=2, starts=1, imports=1)
NO_WORKER = "window.Worker = class { constructor() { throw new Error('no Worker here') } }"


def measure(preset: Preset) -> UiRun:
    """Measure everything in the preset.

    Raises
    ------
    MeasurementError
        If there is no browser, or page or server do not respond as expected.
    """
    from playwright.sync_api import Error, sync_playwright

    path = find_browser()
    if path is None:
        raise MeasurementError(INSTALL_HINT)
    try:
        with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
            browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
            environment = describe(f"Chromium {browser.version}, headless")
            imports = _imports(preset.imports)
            starts = [_start(browser) for _ in range(preset.starts)]
            interactions = tuple(_interactions(browser, preset, Path(folder)))
            taps = _taps(browser, preset, Path(folder))
            browser.close()
    except Error as error:
        raise MeasurementError(f"the browser failed: {error.message}") from error
    return UiRun(
        schema=UI_SCHEMA,
        preset=preset.name,
        environment=replace(environment, load_after=load()),
        interactions=interactions,
        picture_tap_s={str(preset.side**2): taps},
        address_s=tuple(address for address, _ in starts),
        first_paint_s=tuple(paint for _, paint in starts),
        import_s=imports,
    )


def _imports(repeats: int) -> dict[str, tuple[float, ...]]:
    """Return the lifetimes of fresh processes by the statement that they run."""
    _log("import")
    seconds: dict[str, list[float]] = {statement: [] for statement in IMPORTS}
    for _ in range(repeats):
        for statement in IMPORTS:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)
            seconds[statement].append(time.perf_counter() - start)
    return {statement: tuple(samples) for statement, samples in seconds.items()}


def _start(browser: Any) -> tuple[float, float]:
    """Return the seconds from starting a server to its address and to its first heatmap."""
    _log("start")
    with served() as server, opened(browser, server.address) as page:
        address_s = server.address_s
        return address_s, address_s + page.evaluate("attnBench.firstPaintMs") / 1000


class Served(NamedTuple):
    """A running `attnpanel serve`: its address, the seconds until it was printed, its process."""

    address: str
    address_s: float
    pid: int


@contextmanager
def served(traces: Sequence[Path] = (), *options: str) -> Iterator[Served]:
    """Start `attnpanel serve` of these traces, and end it after the block."""
    command = [sys.executable, "-m", "attnpanel", "serve", *map(str, traces), "--port", "0"]
    command += options
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
        # Otherwise a server that hangs before printing would hang the bench.
        watchdog = threading.Timer(START_LIMIT_S, server.kill)
        watchdog.start()
        try:
            address = _address(server)
            address_s = time.perf_counter() - start
            watchdog.cancel()
            yield Served(address, address_s, server.pid)
        except MeasurementError as error:
            log.seek(0)
            stderr = log.read().strip()
            raise MeasurementError(f"{error}; the server wrote:\n{stderr}") from None
        finally:
            watchdog.cancel()
            server.terminate()
            server.communicate()


def _address(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None  # noqa: S101 - for mypy: it is a pipe
    line = server.stdout.readline()
    if not line.startswith("attnpanel: http"):
        server.kill()
        raise MeasurementError(f"`attnpanel serve` printed no address; its first line is {line!r}")
    return line.split()[-1]


@contextmanager
def opened(browser: Any, address: str, *, workers: bool = True) -> Iterator[Any]:
    """Open the address in a new browser context; yield the page once it shows a heatmap."""
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


def _interactions(browser: Any, preset: Preset, folder: Path) -> Iterator[Interaction]:
    paths = {length: folder / f"toy-{length}.safetensors" for length in preset.lengths}
    for length, path in paths.items():
        toy_of(length).save(path)
    with served(list(paths.values())) as server:
        for length, path in paths.items():
            shown = f"{server.address}?source=file&trace={path.name}"
            with opened(browser, shown, workers=preset.workers) as page:
                page.evaluate("attnBench.watch()")
                settle(page, f"opening T={length}", LIMIT_S)
                for control in CONTROLS:
                    _log(f"T={length} {control.name}")
                    yield interaction(page, control, length, preset.presses)


def _taps(browser: Any, preset: Preset, folder: Path) -> tuple[float, ...]:
    """Return the seconds of taps on patches all over a picture, one to warm up left out."""
    side, path = preset.side, folder / "picture.safetensors"
    toy = toy_of(side**2 + 1)
    toy.set_picture(np.full((side * 8, side * 8, 3), 128, np.uint8), (side, side), names=["CLS"])
    toy.save(path)
    taken: list[float] = []
    with served([path]) as server:
        shown = f"{server.address}?source=file&trace={path.name}&token=0"
        with opened(browser, shown, workers=preset.workers) as page:
            _log(f"taps on {side} × {side} patches")
            stage = page.locator(".attn-picture-stage")
            page.evaluate("attnBench.watch()")
            for tap in range(preset.taps + 1):
                settle(page, f"the picture of {side} × {side} patches", LIMIT_S)
                # The bar of controls covers what is at the top of the page.
                stage.evaluate("(at) => at.scrollIntoView({block: 'center'})")
                limit_ms = PRESS_LIMIT_S * 1000
                stage.evaluate("(at, limit) => attnBench.armTap(at, limit)", limit_ms)
                box = stage.bounding_box()
                row, column = 7 * tap % side, (11 * tap + 1) % side
                at = {
                    "x": (column + 0.5) / side * box["width"],
                    "y": (row + 0.5) / side * box["height"],
                }
                stage.click(position=at)
                taken.append(page.evaluate("attnBench.tapped"))
                if math.isnan(taken[-1]):
                    raise MeasurementError(
                        f"a tap on patch {row}, {column} showed nothing on the picture within "
                        f"{PRESS_LIMIT_S:.0f} s"
                    )
    return tuple(taken[1:])


def toy_of(length: int) -> Trace:
    """Return a toy trace with scores scaled to the spread of a trained head.

    Unscaled scores of d_model = 384 span hundreds: all weights are 0 or 1, and the temperature has
    no visible effect.
    """
    trace = toy_trace(T=length, d_model=D_MODEL, heads=HEADS)
    call = trace.calls[0]
    scaled = replace(call, scale=call.scale * SCORE_SPREAD / D_MODEL)
    return Trace([scaled], query_tokens=trace.query_tokens, source=trace.source)


def _log(what: str) -> None:
    print(f"bench ui: {what}", file=sys.stderr, flush=True)
