"""A page's websocket without a browser: what a forged message does to a running server."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
import socket
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClosedError, websocket_connect

TIMEOUT_S = 60


def request(port: int, head: str, path: str = "/") -> bytes:
    """Send one GET with these header lines and return the whole answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        text = f"GET {path} HTTP/1.1\r\nConnection: close\r\n{head}\r\n\r\n"
        connection.sendall(text.encode("latin-1"))
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def upgrade(
    port: int,
    host: str,
    origin: str | None,
    path: str = "/ws",
    token: str = "none",  # noqa: S107 - no password
) -> int:
    """Return the status that a websocket's handshake gets."""
    headers = [f"Host: {host}", f"Sec-WebSocket-Protocol: bokeh, {token}"]
    return int(
        handshake(port, *headers, *([f"Origin: {origin}"] if origin else []), path=path)[9:12]
    )


def handshake(port: int, *headers: str, path: str = "/ws") -> str:
    """Send a websocket's handshake and return the head of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        connection.sendall(handshake_head(*headers, path=path))
        head = b""
        while b"\r\n\r\n" not in head and (part := connection.recv(4096)):
            head += part
    return head.decode("latin-1")


def handshake_head(*headers: str, path: str = "/ws") -> bytes:
    """Return what a websocket's handshake sends."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class PageSocket:
    """One page's connection; messages are made by hand.

    Attributes
    ----------
    models : dict of str to dict
        The document's models as JSON, by id.
    """

    def __init__(self, port: int, path: str = "/", *, compressed: bool = False) -> None:
        host = f"localhost:{port}"
        html = request(port, f"Host: {host}", path).decode("utf-8", errors="replace")
        token = re.search(r'"token":"([^"]+)"', html)
        assert token, html[:500]
        self._loop = asyncio.new_event_loop()
        base = path.partition("?")[0].rstrip("/")
        address = HTTPRequest(f"ws://{host}{base}/ws", headers={"Origin": f"http://{host}"})
        self._socket = self._wait(
            lambda: websocket_connect(
                address,
                subprotocols=["bokeh", token[1]],
                max_message_size=2**28,
                compression_options={} if compressed else None,
            )
        )
        self._socket.protocol.set_nodelay(True)
        self._ended = False
        self.changes: list[dict[str, Any]] = []
        assert self._receive()["header"]["msgtype"] == "ACK"
        self._pull()
        ready = {"type": "event", "name": "document_ready", "values": {"type": "map"}}
        self.patch({"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": ready})

    def _wait(self, work: Callable[[], Any]) -> Any:
        async def within() -> Any:
            return await asyncio.wait_for(work(), TIMEOUT_S)

        return self._loop.run_until_complete(within())

    def _pull(self) -> None:
        document = self.ask("PULL-DOC-REQ", {})["content"]["doc"]
        self.models: dict[str, Any] = {}
        self._collect(document)

    def _collect(self, content: Any) -> None:
        if isinstance(content, dict):
            if content.get("type") == "object" and "id" in content:
                self.models[content["id"]] = content
            for part in content.values():
                self._collect(part)
        elif isinstance(content, list):
            for part in content:
                self._collect(part)

    @property
    def sizes(self) -> tuple[int, int]:
        """The bytes that came, and what they were once unpacked."""
        protocol = self._socket.protocol
        return protocol._wire_bytes_in, protocol._message_bytes_in

    def find(self, **attributes: Any) -> str:
        """Return the id of the one model with these attributes."""
        (found,) = [
            name
            for name, model in self.models.items()
            if all(model.get("attributes", {}).get(k) == v for k, v in attributes.items())
        ]
        return found

    def component(self, name: str) -> tuple[str, str]:
        """Return the ids of a component's model and of the model that holds its parameters."""
        model = self.find(class_name=name)
        return model, self.models[model]["attributes"]["data"]["id"]

    def change(self, model: str, attr: str, new: Any) -> dict[str, Any]:
        """Set a model's property; return the server's reply."""
        event = {"kind": "ModelChanged", "model": {"id": model}, "attr": attr, "new": new}
        return self.patch(event)

    def send(self, model: str, data: Any) -> dict[str, Any]:
        """Send a component's message; return the server's reply."""
        values = {"type": "map", "entries": [["model", {"id": model}], ["data", encoded(data)]]}
        event = {"type": "event", "name": "data_event", "values": values}
        return self.patch({"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": event})

    def patch(self, *events: dict[str, Any]) -> dict[str, Any]:
        """Send changes; return the server's reply."""
        return self.ask("PATCH-DOC", {"events": list(events)})

    def ask(self, kind: str, content: Any) -> dict[str, Any]:
        """Send a message; return the reply to it. What comes between is kept in `changes`."""
        number = uuid.uuid4().hex
        self.raw(json.dumps({"msgid": number, "msgtype": kind}), "{}", json.dumps(content))
        while True:
            reply = self._receive()
            if reply["header"].get("reqid") == number:
                return reply
            self.changes.append(reply)

    def raw(self, *frames: str) -> None:
        """Send frames as they are, as far as the server takes them."""
        with suppress(WebSocketClosedError):
            for frame in frames:
                self._wait(partial(self._socket.write_message, frame))

    def told(self) -> str:
        """Wait until the page is told that something was refused; return the text."""
        return str(self.awaited("refused")["text"])

    def awaited(self, attr: str) -> Any:
        """Wait until the server sets a property of this name; return its value."""
        while True:
            for change in self.changes:
                for event in change["content"].get("events", []):
                    if event.get("attr") == attr:
                        self.changes = []
                        return decoded(event["new"], change["buffers"])
            self.changes = [self._receive()]

    def received(self, name: str) -> Any:
        """Wait until a component is sent a message with this entry; return the message."""
        while True:
            for change in self.changes:
                for event in change["content"].get("events", []):
                    sent = decoded(event, change["buffers"]).get("msg_data") or {}
                    message = sent.get("values", {}).get("data")
                    if isinstance(message, dict) and name in message:
                        self.changes = []
                        return message
            self.changes = [self._receive()]

    def value(self, model: str, attr: str) -> Any:
        """Return a property as it was when the page was pulled."""
        return decoded(self.models[model]["attributes"][attr], {})

    def closed(self) -> int:
        """Wait for the server to end the connection; return the status it gives."""
        while not self._ended:
            self._ended = self._wait(self._socket.read_message) is None
        return int(self._socket.close_code or 0)

    def close(self) -> None:
        """Leave the page."""

        async def leave() -> None:
            self._socket.close()  # looks for the running event loop

        self._wait(leave)
        self.closed()
        self._loop.close()

    def _frame(self) -> Any:
        frame = self._wait(self._socket.read_message)
        assert frame is not None, f"the server ended the connection: {self._socket.close_code}"
        return frame

    def _receive(self) -> dict[str, Any]:
        header, _metadata, content = (json.loads(self._frame()) for _ in range(3))
        frames = [self._frame() for _ in range(2 * header.get("num_buffers", 0))]
        names = [json.loads(frame)["id"] for frame in frames[::2]]
        buffers = dict(zip(names, frames[1::2], strict=True))
        return {"header": header, "content": content, "buffers": buffers}


def encoded(value: Any) -> Any:
    """Return a value as a page sends it; what has a type already stays as it is."""
    if isinstance(value, bytes):
        return {"type": "bytes", "data": base64.b64encode(gzip.compress(value)).decode()}
    if isinstance(value, dict) and "type" not in value:
        return {"type": "map", "entries": [[key, encoded(part)] for key, part in value.items()]}
    if isinstance(value, (list, tuple)):
        return [encoded(part) for part in value]
    return value


def decoded(value: Any, buffers: dict[str, bytes]) -> Any:
    """Return a value that the server sent."""
    if isinstance(value, list):
        return [decoded(part, buffers) for part in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "map":
        entries = value.get("entries", [])
        return {decoded(key, buffers): decoded(part, buffers) for key, part in entries}
    if value.get("type") == "bytes":
        data = value["data"]
        if isinstance(data, str):
            return gzip.decompress(base64.b64decode(data))
        return buffers[data["id"]]
    return {key: decoded(part, buffers) for key, part in value.items()}
