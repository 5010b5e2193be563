"""How long a reader waits: slider to picture, server to first picture, and the import.

A slider is moved by real arrow keys on its focused handle. That goes all the way a reader's
key goes: through the slider's own code, the browser's model, the server or whatever computes
instead of it, and back; setting the model's value would skip the first steps and would not
notice a slider that loses its focus. The slider walks from end to end and back, so that every
press shows something else than the one before.

A press counts from the moment the browser received the key (the event's own time). `data_s`
ends when the first change of the control's data source is announced in the page, be it
replaced or written in place. `paint_s` ends in the second animation frame after the last
repaint of the control's plots: their canvases have changed by then, and the first of the two
frames, which presents them, is through with style, layout and drawing. So the floor of
`paint_s` is two frames, 33 ms at 60 Hz. The overview of all heads waits for a pause by design
and is not counted. The next press comes when the page has been quiet for `QUIET_S`.
"""

from __future__ import annotations

import json
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
from bench.browser import ARGUMENTS, WHAT_TO_DO, find_browser
from bench.environment import ROOT, describe, load
from bench.results import UI_SCHEMA, ControlName, Interaction, UiRun

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCRIPT = Path(__file__).with_suffix(".js")
HEADS, D_MODEL = 12, 384
SCORE_SPREAD = 3.0  # standard deviation of the scores
VIEWPORT = {"width": 1440, "height": 900}
# Longer than the overview's wait and its drawing, which must not fall into the next press.
QUIET_S = 0.5
LIMIT_S = 60.0  # for a page to open
PRESS_LIMIT_S = 20.0  # a press that has shown nothing by then is lost
MOST_LOST = 3
START_LIMIT_S = 120.0
PLOTS = ("scores", "weights", "output", "row", "swatches", "grid")
IMPORTS = ("pass", "import numpy", "import attnpanel")


class MeasurementError(RuntimeError):
    """What was to be measured did not happen."""


@dataclass(frozen=True)
class Preset:
    """How much is measured: sequence lengths, presses each, starts and imports."""

    name: str
    lengths: tuple[int, ...]
    presses: int
    starts: int
    imports: int


FULL = Preset("full", (8, 64, 256, 512, 1024, 2048), presses=30, starts=5, imports=7)
QUICK = Preset("quick", (8, 64), presses=5, starts=1, imports=1)


@dataclass(frozen=True)
class Control:
    """A slider, the data source it must change and the plots that show it."""

    name: ControlName
    css_class: str
    source: str
    plots: tuple[str, ...]


CONTROLS = (
    Control("token", "attn-control-query_index", "attn:row", ("row", "swatches")),
    Control(
        "temperature",
        "attn-control-temperature",
        "attn:weights",
        ("weights", "output", "row", "swatches"),
    ),
    Control(
        "head",
        "attn-control-head",
        "attn:weights",
        ("scores", "weights", "output", "row", "swatches"),
    ),
)


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
def _page(browser: Any, address: str) -> Iterator[Any]:
    """The address in a browser context of its own, from its first heatmap on."""
    context = browser.new_context(viewport=VIEWPORT)
    try:
        sources = [f"attn:{plot}" for plot in PLOTS]
        options = {"sources": sources, "plots": PLOTS, "quietMs": QUIET_S * 1000}
        script = f"{SCRIPT.read_text('utf-8')}\ninstallAttnBench({json.dumps(options)})"
        context.add_init_script(script)
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
            with _page(browser, f"{address}?source=file&trace={path.name}") as page:
                page.evaluate("attnBench.watch()")
                _settle(page, f"opening T={length}", LIMIT_S)
                for control in CONTROLS:
                    _say(f"T={length} {control.name}")
                    yield _interaction(page, control, length, preset.presses)


def _toy(length: int) -> Trace:
    """The toy, its scores brought to the spread of a trained head's.

    Unscaled, scores of d_model = 384 spread over hundreds: every weight is 0 or 1, and no
    temperature on the slider changes the picture.
    """
    trace = toy_trace(T=length, d_model=D_MODEL, heads=HEADS)
    call = trace.calls[0]
    milder = replace(call, scale=call.scale * SCORE_SPREAD / D_MODEL)
    return Trace([milder], query_tokens=trace.query_tokens, source=trace.source)


def _interaction(page: Any, control: Control, length: int, presses: int) -> Interaction:
    """Press the slider's arrow keys: once to warm up, then timed, then once to compare pixels."""
    handle = page.locator(f".{control.css_class} .noUi-handle")
    handle.focus()
    samples: list[dict[str, Any]] = []
    lost = 0
    while len(samples) < presses + 2:
        try:
            # Pixels last, since reading a canvas back makes later drawing on it slower.
            samples.append(_press(page, control, length, check=len(samples) == presses + 1))
        except MeasurementError as error:
            lost += 1
            _say(f"lost: {error}")
            if lost > MOST_LOST:
                raise
    _, *timed, checked = samples
    return Interaction(
        query_len=length,
        control=control.name,
        source=control.source,
        plots=control.plots,
        data_s=tuple(sample["data_s"] for sample in timed),
        paint_s=tuple(sample["paint_s"] for sample in timed),
        lost=lost,
        pixels_changed=checked["pixels_changed"],
    )


def _press(page: Any, control: Control, length: int, *, check: bool = False) -> dict[str, Any]:
    wanted = {"source": control.source, "plots": control.plots}
    key = page.evaluate("([wanted, check]) => attnBench.arm(wanted, check)", [wanted, check])
    if key is None:
        raise MeasurementError(f"the {control.name} slider at T={length} lost the focus")
    page.keyboard.press(key)
    return _settle(page, f"{key} on the {control.name} slider at T={length}", PRESS_LIMIT_S)


def _settle(page: Any, what: str, limit_s: float) -> dict[str, Any]:
    sample: dict[str, Any] = page.evaluate(f"attnBench.settled({limit_s * 1000})")
    if "lacking" in sample:
        raise MeasurementError(f"{what}: {sample['lacking']} within {limit_s:.0f} s")
    return sample


def _say(what: str) -> None:
    print(f"bench ui: {what}", file=sys.stderr, flush=True)
