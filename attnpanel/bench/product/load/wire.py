"""Count the bytes that a server sends, as they go over the wire: compressed, with headers."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing, suppress
from typing import Self

PART = 65536


class Wire:
    """Forwards what comes to a port of this machine to a server, and counts what comes back.

    Attributes
    ----------
    port : int
    server_port : int
        Where to; to be set before somebody connects.
    received : int
        The bytes that the server has sent so far.
    """

    def __init__(self) -> None:
        self.port = self.server_port = self.received = 0
        self._listens = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        # In a thread: Playwright's event loop runs in this one.
        self._thread.start()
        self._listens.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await self._ended.wait()
        server.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            back, forth = await asyncio.open_connection("127.0.0.1", self.server_port)
            with closing(forth), suppress(OSError):
                await asyncio.gather(self._pump(reader, forth, 0), self._pump(back, writer, 1))

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: int
    ) -> None:
        while part := await reader.read(PART):
            self.received += counted * len(part)
            writer.write(part)
            await writer.drain()
        writer.close()
