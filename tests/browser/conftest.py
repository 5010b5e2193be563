"""A browser, pages that tolerate no error and no request elsewhere, and a served app."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from attnpanel.bench.browser import ARGUMENTS, INSTALL_HINT, find_browser

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
# How long a test waits for anything, however busy the machine: what hangs fails later, and no test
# needs a limit of its own. At seven processes a core a prompt's first picture took two minutes.
PATIENCE_S = 300
PATIENCE_MS = 1000 * PATIENCE_S
expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Problems:
    """What went wrong in a test's pages; what was not allowed by name fails the test."""

    seen: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def allow(self, pattern: str) -> None:
        """Expect problems in which the regular expression `pattern` is found."""
        self.allowed.append(pattern)

    def unexpected(self) -> list[str]:
        """Return the problems that nothing allowed."""
        return [text for text in self.seen if not any(re.search(p, text) for p in self.allowed)]

    def watch(self, context: BrowserContext) -> None:
        """Note errors and warnings, exceptions and requests to elsewhere from every page."""
        context.set_default_timeout(PATIENCE_MS)
        context.on("console", self._note_console)
        context.on("weberror", self._note_exception)
        context.on("request", lambda request: self._note_address(request.url))
        context.on("page", lambda page: page.on("websocket", lambda ws: self._note_address(ws.url)))

    def _note_console(self, message) -> None:
        # Bokeh announces its log level as info; what a user should worry about is louder.
        if message.type in {"error", "warning", "assert"}:
            self.seen.append(f"console {message.type}: {message.text}")

    def _note_exception(self, web_error) -> None:
        self.seen.append(f"exception: {web_error.error.name}: {web_error.error.message}")

    def _note_address(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname not in LOOPBACK:
            self.seen.append(f"request leaves this machine: {url}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; without one the test is skipped."""
    path = find_browser()
    if path is None:
        pytest.skip(INSTALL_HINT)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture
def problems() -> Iterator[Problems]:
    """The problems of this test's pages; `problems.allow(pattern)` opts in to expected ones."""
    problems = Problems()
    yield problems
    assert problems.unexpected() == []


@pytest.fixture
def open_page(browser: Browser, problems: Problems) -> Iterator[Callable[..., Page]]:
    """Open a watched page in a context of its own; takes Browser.new_context's options."""
    contexts: list[BrowserContext] = []

    def open_page(**options) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        problems.watch(context)
        contexts.append(context)
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """A watched page of 1440 by 900."""
    return open_page()


@pytest.fixture(scope="session")
def server_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the served app has written so far, standard error included."""
    return tmp_path_factory.mktemp("served") / "server.log"


@pytest.fixture(scope="session")
def served(root: Path, server_log: Path) -> Iterator[str]:
    """The address of a served app whose pages have sessions from the start; started once."""
    with started(root, server_log) as (_server, address):
        yield address


@contextmanager
def started(
    root: Path,
    log: Path,
    *options: str,
    port: int | None = None,
    static_start: bool = False,
    module: str = "attnpanel",
) -> Iterator[tuple[subprocess.Popen, str]]:
    """Run `attnpanel serve` as a user does; yield its process and its address.

    By default each page has a session from the start: most tests are about sessions.
    """
    options = (*options, *(() if static_start else ("--no-static-start",)))
    command = [sys.executable, "-m", module, "serve", "--port", str(port or free_port())]
    runs = log.with_name("runs.sqlite3")  # not the file of whoever runs the tests
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    environment["ATTNPANEL_RUNS"] = str(runs)
    with log.open("w") as file:
        server = subprocess.Popen(
            [*command, *options], cwd=root, stdout=file, stderr=file, env=environment
        )
    try:
        yield server, wait_for_address(server, log)
    finally:
        server.terminate()
        try:
            server.wait(timeout=300)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def wait_for_address(server: subprocess.Popen, log: Path) -> str:
    """Return the address the app prints once it listens."""
    deadline = time.monotonic() + PATIENCE_S
    ended = False
    while not ended and time.monotonic() < deadline:
        # Asked before the log is read: what a dying server wrote last is then in the log.
        ended = server.poll() is not None
        found = re.search(r"^attnpanel: (http://\S+)$", log.read_text(), re.MULTILINE)
        if found:
            return found[1]
        time.sleep(0.05)
    outcome = "ended" if ended else f"printed no address within {PATIENCE_S} s"
    pytest.fail(f"`attnpanel serve` {outcome}:\n{log.read_text()}")
