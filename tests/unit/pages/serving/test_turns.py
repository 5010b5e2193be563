"""Pages opened at once are made one after another, and others are answered between them."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from types import SimpleNamespace

from bokeh.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.server.contexts import ApplicationContext

from attnpanel.pages.serving.turns import BETWEEN, take_turns


def made_at_once(count: int, *, in_turn: bool) -> list[str]:
    """What an event loop does while sessions of two pages are created: a turn of it, or a page."""
    happened: list[str] = []
    pages = [Application(FunctionHandler(lambda _doc: happened.append("page"))) for _ in range(2)]
    contexts = [ApplicationContext(page) for page in pages]
    if in_turn:
        take_turns(SimpleNamespace(applications=dict(enumerate(contexts))))

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
    return happened


def test_others_are_answered_between_the_pages_that_are_made():
    happened = made_at_once(4, in_turn=True)

    assert happened.count("page") == 4
    made = [at for at, what in enumerate(happened) if what == "page"]
    between = [later - earlier - 1 for earlier, later in pairwise(made)]
    assert min(between) >= BETWEEN


def test_left_to_itself_bokeh_makes_them_in_one_turn():
    happened = made_at_once(4, in_turn=False)

    made = [at for at, what in enumerate(happened) if what == "page"]
    assert made == list(range(made[0], made[0] + 4))
