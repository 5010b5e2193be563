"""A page's HTTP and websocket part without a browser: many of them are opened at once."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from attnpanel.bench.browser import MeasurementError
from attnpanel.bench.product.load.pings import Pings

LIMIT_S: Final = 300.0
MAX_MESSAGE_BYTES: Final = 2**28
TOKEN: Final = re.compile(r'"token":"([^"]+)"')
SCRIPT: Final = re.compile(r'<script [^>]*src="([^"]+)"')


@dataclass
class Visit:
    """An open page: `open_s` until its document was there, and its websocket if it has one."""

    open_s: float
    socket: Any

    def close(self) -> None:
        """Leave the page."""
        if self.socket is not None:
            self.socket.close()


async def visit(address: str, *, first: bool = False) -> Visit:
    """Open a page as a browser does: get it, connect, pull the document, say that it is shown.

    A page that needs no Python has no websocket, and is open when it has arrived.

    Parameters
    ----------
    address : str
    first : bool
        Whether libraries and common texts are fetched too, as on a first visit.
    """
    start = time.perf_counter()
    request = HTTPRequest(address, request_timeout=LIMIT_S, decompress_response=True)
    # A client of its own: the shared one makes at most ten requests at a time.
    answer = await AsyncHTTPClient(force_instance=True).fetch(request, raise_error=False)
    if answer.code != 200:
        raise MeasurementError(f"{address} answered {answer.code}: {answer.body[:200]!r}")
    html = answer.body.decode("utf-8", errors="replace")
    if first:
        libraries = (_library(urljoin(address, path)) for path in SCRIPT.findall(html))
        await asyncio.gather(*libraries)
    token = TOKEN.search(html)
    if token is None:
        return Visit(time.perf_counter() - start, None)
    parts = urlsplit(address)
    path = parts.path.rstrip("/")
    socket = await websocket_connect(
        HTTPRequest(
            f"ws://{parts.netloc}{path}/ws",
            headers={"Origin": f"http://{parts.netloc}"},
            request_timeout=LIMIT_S,
        ),
        subprotocols=["bokeh", token[1]],
        max_message_size=MAX_MESSAGE_BYTES,
    )
    await _message(socket)  # the acknowledgement
    texts = (await _ask(socket, "PULL-DOC-REQ", {"texts": "apart"}))["content"].get("texts")
    if first and texts is not None:
        await _library(urljoin(address, f"common-texts/{texts}.json"))
    ready = {"type": "event", "name": "document_ready", "values": {"type": "map"}}
    event = {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": ready}
    await _ask(socket, "PATCH-DOC", {"events": [event]})
    return Visit(time.perf_counter() - start, socket)


async def _library(address: str) -> None:
    """Fetch what a browser then keeps, compressed, as it is."""
    request = HTTPRequest(
        address,
        headers={"Accept-Encoding": "gzip"},
        request_timeout=LIMIT_S,
        connect_timeout=LIMIT_S,
        decompress_response=False,
    )
    await AsyncHTTPClient(force_instance=True).fetch(request)


async def pulled(socket: Any) -> Any:
    """Return a page's document as JSON."""
    return (await _ask(socket, "PULL-DOC-REQ", {}))["content"]["doc"]


async def health(address: str) -> dict[str, Any]:
    """Return what the server's `/health` says."""
    parts = urlsplit(address)
    answer = await AsyncHTTPClient(force_instance=True).fetch(
        f"http://{parts.netloc}/health", request_timeout=LIMIT_S, connect_timeout=LIMIT_S
    )
    return dict(json.loads(answer.body))


async def crowd(address: str, count: int) -> tuple[list[Visit], float, list[float]]:
    """Open pages at once, each as a first visit.

    Returns them, the seconds until the last was open, and others' pings.
    """
    with Pings(address) as others:
        start = time.perf_counter()
        visits = await asyncio.gather(*(visit(address, first=True) for _ in range(count)))
        together_s = time.perf_counter() - start
    return visits, together_s, others.seconds


async def _message(socket: Any) -> dict[str, Any]:
    frames = []
    for _ in range(3):
        frame = await asyncio.wait_for(socket.read_message(), LIMIT_S)
        if frame is None:
            raise MeasurementError(f"the server ended a connection: {socket.close_reason}")
        frames.append(json.loads(frame))
    for _ in range(2 * frames[0].get("num_buffers", 0)):
        await asyncio.wait_for(socket.read_message(), LIMIT_S)
    return {"header": frames[0], "content": frames[2]}


async def _ask(socket: Any, kind: str, content: Any) -> dict[str, Any]:
    """Send a message; wait for the reply to it and return it."""
    number = await written(socket, kind, content)
    while (reply := await _message(socket))["header"].get("reqid") != number:
        pass
    return reply


async def written(socket: Any, kind: str, content: Any) -> str:
    """Send a message; return its number."""
    number = uuid.uuid4().hex
    for part in ({"msgid": number, "msgtype": kind}, {}, content):
        await socket.write_message(json.dumps(part))
    return number
