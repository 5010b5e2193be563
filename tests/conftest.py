"""What every test shares."""

from __future__ import annotations

from pathlib import Path
from queue import Queue
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in tests/browser, and run it last.

    Playwright's sync API keeps an asyncio loop running in this thread until the session ends,
    which code under test could mistake for a server's.
    """
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "browser"):
            item.add_marker(pytest.mark.browser)
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture
def waiting_page(monkeypatch):
    """A page whose browser has not yet said that it shows it, and whose ticks nobody runs."""
    made = SimpleNamespace(session_context=object(), ticks=Queue(), stands=[])
    made.add_next_tick_callback = made.ticks.put
    state = SimpleNamespace(curdoc=made, onload=made.stands.append)
    monkeypatch.setattr("attnpanel.to_page.pn", SimpleNamespace(state=state))
    return made
