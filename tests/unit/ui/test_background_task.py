"""A page's background task reports to the session."""

from __future__ import annotations

from queue import Queue

from attnpanel.ui.background_task import LatestTask


def test_a_task_that_ends_before_the_client_has_connected_is_reported_afterwards(waiting_page):
    shown = Queue()
    LatestTask("attnpanel-test").start(
        lambda tell: tell("begun") or "made",
        on_done=shown.put,
        on_error=shown.put,
        on_progress=shown.put,
    )
    (connect,) = waiting_page.stands

    connect()
    for _ in range(2):
        waiting_page.ticks.get(timeout=300)()

    assert [shown.get_nowait() for _ in range(2)] == ["begun", "made"]
