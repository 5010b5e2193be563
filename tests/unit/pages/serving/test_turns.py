"""Sessions are made one after another in a thread, and others are answered meanwhile."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise
from types import SimpleNamespace

import bokeh.io.doc
import pytest
from bokeh.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.document import Document
from bokeh.io.doc import curdoc, patch_curdoc
from bokeh.server.contexts import ApplicationContext

from attnpanel.pages.serving.turns import BETWEEN, take_turns


def taking_turns(make, *, own=True):
    """Two pages of a server that takes turns."""
    contexts = [ApplicationContext(Application(FunctionHandler(make))) for _ in range(2)]
    pages = {f"/{n}": context for n, context in enumerate(contexts)}
    take_turns(SimpleNamespace(applications=pages), list(pages) if own else [])
    return contexts


def made_at_once(contexts, count, happened):
    """Create sessions of two pages at once, and note the turns of the event loop meanwhile."""

    async def watched() -> None:
        done = asyncio.Event()

        async def others() -> None:
            while not done.is_set():
                happened.append("turn")
                await asyncio.sleep(0)

        watching = asyncio.create_task(others())
        await asyncio.gather(
            *(contexts[n % 2].create_session_if_needed(f"session {n}") for n in range(count))
        )
        done.set()
        await watching

    asyncio.run(watched())


def test_our_pages_are_made_in_a_thread_one_at_a_time_while_the_loop_goes_on():
    happened, busy = [], threading.Lock()

    def make(_document):
        assert busy.acquire(blocking=False)
        happened.append("begun")
        start = len(happened)
        while len(happened) < start + 5:  # the event loop's turns
            pass
        happened.append(threading.get_ident())
        busy.release()

    contexts = taking_turns(make)
    made_at_once(contexts, 4, happened)

    by = [what for what in happened if isinstance(what, int)]
    assert len(by) == 4
    assert threading.get_ident() not in by
    # Bokeh, which fills a new document itself, has not done so again.
    assert happened.count("begun") == 4


@pytest.mark.parametrize("own", [True, False])
def test_others_are_answered_between_the_pages_that_are_made(own):
    happened = []
    contexts = taking_turns(lambda _document: happened.append("page"), own=own)
    made_at_once(contexts, 4, happened)

    assert happened.count("page") == 4
    made = [at for at, what in enumerate(happened) if what == "page"]
    between = [later - earlier - 1 for earlier, later in pairwise(made)]
    assert min(between) >= BETWEEN


def test_a_thread_has_documents_of_its_own():
    taking_turns(lambda _document: None)
    ours, theirs = Document(), Document()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with patch_curdoc(theirs):
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with patch_curdoc(ours):
        thread.start()
        inside.wait(60)
        assert curdoc() is ours
    leave.set()
    thread.join()
    assert not len(bokeh.io.doc._PATCHED_CURDOCS)
