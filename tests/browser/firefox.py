"""A headless Firefox, driven over WebDriver BiDi: Playwright drives a Firefox of its own only."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tornado.websocket import websocket_connect

from tests.browser.conftest import PATIENCE_S

WATCHED = ["log.entryAdded", "network.beforeRequestSent"]


class Firefox:
    """One page of a Firefox, and what it said and asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: Any) -> None:
        self._loop, self._socket, self._asked = loop, socket, 0
        self.events: list[dict] = []
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=WATCHED)
        self._page = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def ask(self, method: str, **params: Any) -> dict:
        """Send a command of WebDriver BiDi and return its result."""
        return asyncio.run_coroutine_threadsafe(self._ask(method, params), self._loop).result(
            PATIENCE_S
        )

    async def _ask(self, method: str, params: dict) -> dict:
        self._asked += 1
        asked = {"id": self._asked, "method": method, "params": params}
        await self._socket.write_message(json.dumps(asked))
        while True:
            told = json.loads(await self._socket.read_message())
            if told.get("id") != asked["id"]:
                self.events.append(told)
            elif told["type"] == "error":
                raise RuntimeError(f"{method}: {told['message']}")
            else:
                return told["result"]

    def open(self, address: str) -> None:
        """Go to an address and wait until it is loaded."""
        self.ask("browsingContext.navigate", context=self._page, url=address, wait="complete")

    def evaluate(self, script: str) -> Any:
        """Return what a script, or what it promises, comes to; it travels as JSON."""
        told = self.ask(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({script})))()",
            target={"context": self._page},
            awaitPromise=True,
        )
        if told["type"] != "success":
            raise RuntimeError(f"{script}: {told['exceptionDetails']['text']}")
        return json.loads(told["result"].get("value", "null"))

    def wait_for(self, condition: str) -> None:
        """Wait until a script's value is true, asking at every frame."""
        self.evaluate(
            f"""new Promise((resolve, reject) => {{
              const end = performance.now() + {1000 * PATIENCE_S}
              const look = () => {{
                if ({condition}) resolve(true)
                else if (performance.now() > end) reject(new Error("it never came"))
                else requestAnimationFrame(look)
              }}
              look()
            }})"""
        )

    def press(self, key: str) -> None:
        """Press one key, by its character in WebDriver's table of keys."""
        presses = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        source = {"type": "key", "id": "keyboard", "actions": presses}
        self.ask("input.performActions", context=self._page, actions=[source])

    def wait_until_told(self, told: Callable[[], bool]) -> None:
        """Wait until events that are still on their way make something true."""
        end = time.monotonic() + PATIENCE_S
        while not told():
            if time.monotonic() > end:
                raise TimeoutError(f"not told in {PATIENCE_S} s; the events so far: {self.events}")
            self.evaluate("new Promise((resolve) => setTimeout(resolve, 50))")

    def problems(self) -> list[str]:
        """Return what the console said beyond information, exceptions included."""
        told = [one["params"] for one in self.events if one["method"] == "log.entryAdded"]
        return [f"{one['level']}: {one['text']}" for one in told if one["level"] in WORSE]

    def requests(self) -> list[str]:
        """Return every address that was asked for."""
        asked = [one for one in self.events if one["method"] == "network.beforeRequestSent"]
        return [one["params"]["request"]["url"] for one in asked]


WORSE = ("warn", "error")


@contextmanager
def start_firefox(command: str, profile: Path) -> Iterator[Firefox]:
    """Start a Firefox with a profile of its own, and end it afterwards."""
    arguments = ["--headless", "--no-remote", "--profile", str(profile)]
    process = subprocess.Popen(
        [command, *arguments, "--remote-debugging-port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    # A loop in a thread of its own: Playwright keeps one running in this thread.
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        address = next(
            found[1] for line in process.stderr if (found := re.search(r"on (ws://\S+)", line))
        )
        socket = asyncio.run_coroutine_threadsafe(_connect(f"{address}/session"), loop).result(
            PATIENCE_S
        )
        yield Firefox(loop, socket)
        loop.call_soon_threadsafe(socket.close)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _connect(address: str) -> Any:
    return await websocket_connect(address, max_message_size=2**28)
