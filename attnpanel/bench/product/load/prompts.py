"""Prompts that several pages run at once, and a button that is pressed again and again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from attnpanel.bench.browser import MeasurementError
from attnpanel.bench.measure.process_use import threads_of
from attnpanel.bench.product.load.client import LIMIT_S, health, pulled, visit, written
from attnpanel.bench.product.load.pings import Pings
from attnpanel.bench.product.load.results import PromptLoad

if TYPE_CHECKING:
    from attnpanel.bench.product.load.client import Visit

PROMPT: Final = "?source=prompt"
LOOK_S: Final = 0.02
# Presses are on their way meanwhile, too.
IDLE_S: Final = 1.0


@dataclass
class _Watch:
    """What is seen of a server while it works: the most at a time."""

    threads: int = 0
    running: int = 0
    waiting: int = 0

    async def until_idle(self, address: str, pid: int) -> float:
        """Look again and again, until nothing has run or waited for a second.

        Returns when something last did, by :func:`time.perf_counter`.
        """
        busy, deadline = 0.0, time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            queue = (await health(address))["queue"]
            running, waiting = queue["running"], queue["waiting"]
            self.running, self.waiting = max(self.running, running), max(self.waiting, waiting)
            self.threads = max(self.threads, threads_of(pid) or 0)
            now = time.perf_counter()
            if running or waiting:
                busy = now
            elif busy and now - busy > IDLE_S:
                return busy
            await asyncio.sleep(LOOK_S)
        raise MeasurementError(f"prompts were not done in {LIMIT_S:.0f} s")


async def prompts_at_once(address: str, pid: int, pages: int, presses: int) -> PromptLoad:
    """Press Run on several pages at once, then many times on each.

    Parameters
    ----------
    address : str
        Of the server's first page.
    pid : int
        The server's process.
    pages, presses : int
        How many pages there are, and how often Run is pressed on each the second time.
    """
    visits = [await visit(address + PROMPT) for _ in range(pages)]
    buttons = [_run_button(await pulled(page.socket)) for page in visits]
    await _Watch().until_idle(address, pid)  # the link's own prompt
    reading = [asyncio.ensure_future(_drain(page)) for page in visits]
    before = threads_of(pid) or 0
    watch, seconds = _Watch(), []
    with Pings(address) as others:
        for times in (1, presses):
            start = time.perf_counter()
            for page, button in zip(visits, buttons, strict=True):
                for _ in range(times):
                    await written(page.socket, "PATCH-DOC", {"events": [_press(button)]})
            seconds.append(await watch.until_idle(address, pid) - start)
    for page in visits:
        page.close()
    await asyncio.gather(*reading)
    return PromptLoad(
        pages=pages,
        presses=presses,
        once_s=seconds[0],
        pressed_s=seconds[1],
        running=watch.running,
        waiting=watch.waiting,
        threads_before=before,
        threads_most=watch.threads,
        ping_s=tuple(others.seconds),
    )


def _run_button(document: Any) -> str:
    """Return the id of a page's button Run."""
    if isinstance(document, dict):
        attributes = document.get("attributes", {})
        if "attn-primary" in attributes.get("css_classes", []) and attributes.get("label") == "Run":
            return str(document["id"])
        document = list(document.values())
    parts = document if isinstance(document, list) else []
    return next(filter(None, map(_run_button, parts)), "")


def _press(button: str) -> dict[str, Any]:
    values = {"type": "map", "entries": [["model", {"id": button}]]}
    event = {"type": "event", "name": "button_click", "values": values}
    return {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": event}


async def _drain(page: Visit) -> None:
    """Read what a page is sent, as a browser does; a client that reads nothing is disconnected."""
    while await page.socket.read_message() is not None:
        pass
