"""Pytest plugin: pages that many tests share, since opening one costs a second or more.

A test brings the controls that it depends on where it needs them; what it leaves behind is no
concern of the next one, even in another file.

Use it by ``pytest_plugins = ["tests.browser.opened"]``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from attnpanel.trace import Trace
from tests.browser.acting import fill_number, source_button, wait_for_link
from tests.browser.conftest import Problems, started
from tests.browser.made import made_traces
from tests.browser.reading import link, open_explorer, settle

TOY = {"T": 8, "d_model": 8, "heads": 4, "seed": 42}


@pytest.fixture(scope="session")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trace]:
    """The traces that the `library` server offers, by file name."""
    return made_traces()


@pytest.fixture(scope="session")
def library(
    root: Path, traces: dict[str, Trace], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a server that was started with trace files."""
    folder = tmp_path_factory.mktemp("library")
    for name, trace in traces.items():
        trace.save(folder / name)
    files = [str(folder / name) for name in traces]
    with started(root, folder / "server.log", *files) as (_server, address):
        yield address


@pytest.fixture(scope="session")
def _toy(browser: Browser, served: str) -> Iterator[tuple[Page, Problems]]:
    with watched(browser) as (page, problems):
        yield open_explorer(page, served), problems


@pytest.fixture(scope="session")
def _shelf(browser: Browser, library: str) -> Iterator[tuple[Page, Problems]]:
    with watched(browser) as (page, problems):
        yield open_explorer(page, library), problems


@pytest.fixture
def toy(_toy: tuple[Page, Problems]) -> Iterator[Page]:
    """A page that shows the toy of T = 8 and 4 heads; shared."""
    page, problems = _toy
    if page.locator(".attn-sources .bk-active").inner_text() != "Toy":
        source_button(page, "Toy").click()
        wait_for_link(page, "source", "toy")
        settle(page)
    for name, number in TOY.items():
        if link(page)[name] != str(number):
            fill_number(page, name, number)
    yield from _quiet(page, problems)


@pytest.fixture
def shelf(_shelf: tuple[Page, Problems]) -> Iterator[Page]:
    """A page of the library, on which any of its traces can be chosen; shared."""
    yield from _quiet(*_shelf)


@contextmanager
def watched(browser: Browser) -> Iterator[tuple[Page, Problems]]:
    """A new page whose problems are noted."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    problems = Problems()
    problems.watch(context)
    yield context.new_page(), problems
    context.close()


def _quiet(page: Page, problems: Problems) -> Iterator[Page]:
    yield page
    seen, problems.seen = problems.unexpected(), []
    assert seen == []
