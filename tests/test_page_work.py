"""Work of a page in a thread: what it ends with is shown."""

from __future__ import annotations

from queue import Queue

from attnpanel.page_work import PageWork


def test_work_that_ends_before_the_page_stands_is_shown_then(waiting_page):
    shown = Queue()
    PageWork("attnpanel-test").start(
        lambda tell: tell("begun") or "made", done=shown.put, failed=shown.put, told=shown.put
    )
    (stands,) = waiting_page.stands

    stands()
    for _ in range(2):
        waiting_page.ticks.get(timeout=60)()

    assert [shown.get_nowait() for _ in range(2)] == ["begun", "made"]
