"""What every test shares."""

from __future__ import annotations

import gc
import os
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Queue
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[1]
# `make test` brings these tools, so under CI=true a skip that names one hides a broken set-up.
TOOLS = re.compile(r"\b(node|chromium|chrome|firefox|ziglang)\b", re.IGNORECASE)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option with which `make test` leaves thorough tests to `make test-all`."""
    parser.addoption("--not-thorough", action="store_true", help="leave out thorough tests")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three processes for two cores, up to four: half a test of a page is waiting for it."""
    processors = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return min((3 * len(processors) + 1) // 2, 4)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests in tests/browser, and run them last; leave out thorough tests where asked.

    Playwright's sync API keeps an asyncio loop running in this thread until the session ends,
    which code under test could mistake for a server's.
    """
    if config.getoption("--not-thorough"):
        left_out = _thorough(items)
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "browser"):
            item.add_marker(pytest.mark.browser)
        if item.get_closest_marker("posix") and os.name != "posix":
            item.add_marker(pytest.mark.skip(reason="needs a POSIX system"))
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def _thorough(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return the thorough tests: of a parametrized one, the rows that its marker does not keep."""
    rows: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("thorough") is not None:
            rows[item.nodeid.partition("[")[0]].append(item)
    thorough: set[pytest.Item] = set()
    for test in rows.values():
        kept = test[0].get_closest_marker("thorough").kwargs
        thorough.update(test)
        thorough.difference_update(
            test[:: kept["every"]] if "every" in kept else test[: kept.get("but", 0)]
        )
    return thorough


def pytest_collection_finish() -> None:
    """Keep later collections from walking 8,000 tests and all that they import."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Under CI=true, fail a test that was skipped because a tool is missing."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        reason = report.longrepr[2]
        if TOOLS.search(reason):
            report.outcome = "failed"
            report.longrepr = f"CI=true, and a tool that the test needs is missing. {reason}"
    return report


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session", autouse=True)
def unsynced_stores() -> Iterator[None]:
    """Have stores of runs not wait for the disk: on a busy one each transaction takes 30 ms."""
    connect = sqlite3.connect

    def unsynced(*args, **options):
        database = connect(*args, **options)
        # The product is to meet a file that is no database, or is locked, by itself.
        with suppress(sqlite3.DatabaseError):
            database.execute("PRAGMA synchronous = OFF")
        return database

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("attnpanel.training.database.sqlite3.connect", unsynced)
        yield


@pytest.fixture
def waiting_page(monkeypatch):
    """A document whose client has not connected yet; its next-tick callbacks are queued."""
    made = SimpleNamespace(session_context=object(), ticks=Queue(), stands=[])
    made.add_next_tick_callback = made.ticks.put
    state = SimpleNamespace(curdoc=made, onload=made.stands.append)
    monkeypatch.setattr("attnpanel.ui.session_callbacks.pn", SimpleNamespace(state=state))
    monkeypatch.setattr("attnpanel.ui.session_callbacks.IOLoop", LoopAtOnce)
    return made


class LoopAtOnce:
    """An event loop that runs at once what a thread gives it."""

    @classmethod
    def current(cls, **_):
        return cls

    @staticmethod
    def add_callback(callback):
        callback()
