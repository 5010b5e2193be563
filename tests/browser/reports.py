"""Pytest plugin: reports that many tests share, opened from file:// with the network switched off.

Building one costs a second and opening it another, so both happen once. A test brings the choices
that it depends on; what it leaves behind is no concern of the next one. Use it by
``pytest_plugins = ["tests.browser.reports"]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from attnpanel.pages.explorer.report import save_report
from attnpanel.trace import Trace
from tests.browser.acting import leave_focus
from tests.browser.report_page import Opened, go, open_report
from tests.browser.report_traces import TRACES

TOY_START = (
    "head=0&mean=0&token=6&temperature=1&mask=none&pad=8&window=3&align=top_left&empty=uniform"
    "&paint=0&scale=square root&nosink=0"
)
KINDS_START = "layer=0&head=0&mean=0&batch=0&token=0&temperature=1&mask=model"


class Shelf:
    """Reports by the name of their trace, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._traces: dict[str, Trace] = {}
        self._paths: dict[str, Path] = {}

    def __call__(self, name: str, **options) -> tuple[Path, Trace]:
        """Return a report's file and its trace; `options` are save_report's."""
        if name not in self._traces:
            self._traces[name] = TRACES[name]()
        key = f"{name} {sorted(options.items())}"
        if key not in self._paths:
            path = self._folder / f"report {len(self._paths)}.html"
            self._paths[key] = save_report(self._traces[name], path, **options)
        return self._paths[key], self._traces[name]


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """``reports("toy", dtype="float32")``: a report's file and trace."""
    return Shelf(tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="session")
def _on_screen(browser: Browser, reports: Shelf) -> Iterator[Callable[..., Opened]]:
    opened: dict[Path, Opened] = {}

    def show(name: str, **options) -> Opened:
        path, trace = reports(name, **options)
        if path not in opened:
            opened[path] = open_report(browser, path, trace)
        return opened[path]

    yield show
    for one in opened.values():
        one.page.context.close()


@pytest.fixture
def on_screen(_on_screen: Callable[..., Opened]) -> Iterator[Callable[..., Opened]]:
    """``on_screen("toy")``: a report in a page that all tests share; fails a test with a fault."""
    used: list[Opened] = []

    def show(name: str, **options) -> Opened:
        used.append(_on_screen(name, **options))
        return used[-1]

    yield show
    assert [fault for one in used for fault in one.faults()] == []


@pytest.fixture
def toy_report(on_screen: Callable[..., Opened]) -> Opened:
    """The toy's report, at token 6 and else as it starts."""
    opened = on_screen("toy")
    leave_focus(opened.page)
    go(opened.page, TOY_START)
    return opened


@pytest.fixture
def kinds_report(on_screen: Callable[..., Opened]) -> Opened:
    """A report of all kinds of attention, at the first head of the first layer."""
    opened = on_screen("kinds")
    leave_focus(opened.page)
    go(opened.page, KINDS_START)
    return opened
