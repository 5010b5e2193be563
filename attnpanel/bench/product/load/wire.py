"""Count the bytes that a server sends, as they go over the wire: compressed, with headers."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    async def listen(self) -> None:
        """Begin to listen on a free port, in the event loop that runs."""
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            back, forth = await asyncio.open_connection("127.0.0.1", self.server_port)
            await asyncio.gather(self._pump(reader, forth, 0), self._pump(back, writer, 1))

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: int
    ) -> None:
        while part := await reader.read(PART):
            self.received += counted * len(part)
            writer.write(part)
            await writer.drain()
        writer.close()


@contextmanager
def counted_wire() -> Iterator[Wire]:
    """Run a :class:`Wire` in a thread for as long as a block runs."""
    wire, loop = Wire(), asyncio.new_event_loop()
    # In a thread: Playwright's event loop runs in this one.
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(wire.listen(), loop).result()
    try:
        yield wire
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
