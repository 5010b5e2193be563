"""The websocket of a page: bounds what a message costs, and refuses what no page of ours sends."""

from __future__ import annotations

import base64
import binascii
import logging
import time
import zlib
from typing import TYPE_CHECKING, Any, Final

from bokeh.core.serialization import Buffer, DeserializationError
from bokeh.protocol.exceptions import MessageError, ProtocolError, ValidationError
from bokeh.server.session import ServerSession
from bokeh.util.token import check_token_signature, get_session_id
from panel.io.server import WSHandler

from attnpanel.pages.serving.bounded_log import CONNECTIONS
from attnpanel.pages.serving.common_texts import APART, TEXTS
from attnpanel.pages.serving.daemon_thread import in_daemon_thread
from attnpanel.pages.serving.values import check_events
from attnpanel.ui.bokeh_defaults import forget_empty_defaults
from attnpanel.ui.refusals import REFUSALS, PageInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from bokeh.document import Document
    from tornado.httputil import HTTPHeaders
    from tornado.web import Application

    from attnpanel.pages.serving.sessions import OpenSessions

# A page sends a file in parts of 4 MiB, and a picture of at most 4 MB.
MAX_FRAME_BYTES: Final = 5 * 2**20
# All frames of a message: six pictures with an exercise's answer.
MAX_MESSAGE_BYTES: Final = 32 * 2**20
MAX_UNPACKED_BYTES: Final = 32 * 2**20
# What a frame costs besides its bytes.
FRAME_COST: Final = 256
MAX_DEPTH: Final = 60
# A page asks once, and again when its connection was lost; each takes up to 0.2 s of Python.
MAX_PULLS: Final = 4
MAX_JSON_BYTES: Final = 2 * 2**20
NUMBERS: Final = frozenset(
    [
        "bool",
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float32",
        "float64",
    ]
)
KINDS: Final = frozenset(
    ["ModelChanged", "MessageSent", "ColumnDataChanged", "ColumnsStreamed", "ColumnsPatched"]
)
# A document of 0.9 MB becomes 0.25 MB in 10 ms; higher levels take longer than they spare.
COMPRESSION: Final = {"compression_level": 1}
DEFLATE: Final = "permessage-deflate"
# zlib forgets a message when the next is sent: what it would remember takes 256 kB a page. RFC 7692
# lets a server answer so to any offer that asks for no smaller window of the server's.
NO_CONTEXT: Final = "server_no_context_takeover"
# What an offer may ask for besides; the page's side is left as it is.
CLIENT: Final = frozenset(["client_no_context_takeover", "client_max_window_bits"])
GZIP: Final = 31  # zlib's name for gzip with the largest window
# What a browser sends that leaves a page.
LEFT: Final = (None, 1000, 1001, 1005)


class LimitedWebSocket(WSHandler):
    """Bokeh's websocket, with the origins of :mod:`attnpanel.pages.serving.hosts`.

    Attributes
    ----------
    last_used : float
        When its page last sent something, by :func:`time.monotonic`.
    """

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Begin to count."""
        super().initialize(*args, **kwargs)
        self.last_used, self._pings = time.monotonic(), 0
        self._why, self._said_goodbye = "", False
        self._joined: str | None = None

    def get_compression_options(self) -> dict[str, Any]:
        """Compress messages, if the page can read that; a frame's limit holds when unpacked."""
        return dict(COMPRESSION)

    def get_websocket_protocol(self) -> Any:
        """Return tornado's side of the connection, which notes why it is ended."""
        protocol: Any = super().get_websocket_protocol()
        if protocol is None:
            return None
        # tornado (6.6) answers with what it reads here, and reads no parameter without a value.
        protocol._parse_extensions_header = _agreed_extensions  # noqa: SLF001 - its only place
        close = protocol.close

        def note(code: int | None = None, reason: str | None = None) -> None:
            if reason is not None:  # ours, Bokeh's and tornado's own; not an answer to the client's
                self._why = self._why or f"by the server, {code}: {reason}"
            self._said_goodbye = self._said_goodbye or not protocol.stream.closed()
            close(code, reason)

        protocol.close = note
        return protocol

    def on_close(self) -> None:
        """Say in the log why a page lost its connection, unless its reader has left it."""
        why = self._why
        if not why and self.connection is not None:
            if not self._said_goodbye:
                why = "cut: no closing message came"
            elif self.close_code not in LEFT:
                why = f"by the page, {self.close_code}: {self.close_reason}"
        if why:
            CONNECTIONS.write(f"a page's connection ended {why}")
        if self._joined is not None:
            self._open_sessions.leave(self._joined)
        if not self._is_detached:
            super().on_close()

    @property
    def _open_sessions(self) -> OpenSessions:
        sessions: OpenSessions = self.application.settings["attnpanel_sessions"]
        return sessions

    @property
    def _is_detached(self) -> bool:
        """Whether Bokeh has taken the session away: a ping found the connection closed."""
        return self.connection is not None and self.connection._session is None  # noqa: SLF001 - the property raises

    async def on_message(self, fragment: str | bytes) -> None:
        """Note that somebody is there, and take a part of a message.

        What is still on its way when the connection is ended is dropped.
        """
        if self._why or self._is_detached:
            return
        self.last_used = time.monotonic()
        await super().on_message(fragment)

    @property
    def unanswered(self) -> int:
        """How many pings the client has not answered."""
        return self._pings - 1 - int(self.latest_pong)

    def cut(self, why: str) -> None:
        """End the connection without a closing handshake."""
        self._why = f"by the server: {why}"
        self.ws_connection.stream.close()

    def ping(self, data: str | bytes = b"") -> None:
        """Send a ping; Bokeh numbers them from 0."""
        self._pings += 1
        super().ping(data)

    def check_origin(self, origin: str) -> bool:  # noqa: ARG002 - Bokeh's signature
        """Accept what the host rules have let pass: they run first, on any tornado."""
        return True

    async def prepare(self) -> None:
        """Refuse who has not signed in before the handshake; Panel 1.9.0 does so only after it."""
        await super().prepare()
        if self.current_user is None and not self._finished:
            self.set_status(403)
            await self.finish()

    def open(self, *args: str, **kwargs: str) -> None:
        """Begin a session's connection; a token that is none ends it."""
        # A message is of three frames: the second would wait 40 ms for the receipt of the first.
        self.set_nodelay(True)
        application, token = self.application, self._token
        signing = {"secret_key": application.secret_key, "signed": application.sign_sessions}
        try:
            if token is not None and not check_token_signature(token, **signing):
                raise PageInputError("its token is not one of this server's")
            super().open(*args, **kwargs)
        except MALFORMED as error:
            self._refuse_connection(error)

    async def _async_open(self, token: str) -> None:
        if self.ws_connection is None:
            return  # it has ended meanwhile
        sessions = self._open_sessions
        try:
            # A token whose session was dropped makes it anew.
            context, session_id = self.application_context, get_session_id(token)
            known = session_id in context._sessions or session_id in context._pending_sessions  # noqa: SLF001 - Bokeh offers no look-up
            refusal = (None if known else sessions.refusal) or sessions.join(session_id)
            if refusal is not None:
                raise PageInputError(refusal)
            self._joined = session_id
            await super()._async_open(token)
        except MALFORMED as error:
            self._refuse_connection(error)

    def _refuse_connection(self, error: BaseException) -> None:
        REFUSALS.refuse(None, PageInputError(f"not a page's connection: {_sentence(error)}"))
        self.close(1008, "refused")


class GuardedWebSocket(LimitedWebSocket):
    """Limits a message before it is unpacked or applied, and checks what it changes."""

    _received = 0
    _pulls = 0

    @property
    def max_message_size(self) -> int:
        """The largest frame, in bytes."""
        return MAX_FRAME_BYTES

    async def _receive(self, fragment: str | bytes) -> Any:
        """Take one frame of a message; a message that breaks a limit ends the connection."""
        self._received += len(fragment) + FRAME_COST
        try:
            if self._received > MAX_MESSAGE_BYTES:
                raise PageInputError(
                    f"a message must have at most {MAX_MESSAGE_BYTES / 1e6:.0f} MB"
                )
            if isinstance(fragment, str) and len(fragment) > MAX_JSON_BYTES:
                raise PageInputError(
                    f"the text of a message must have at most {MAX_JSON_BYTES / 1e6:.0f} MB; "
                    f"got {len(fragment) / 1e6:.1f} MB"
                )
            message = await self.receiver.consume(fragment)
        except MALFORMED as error:
            REFUSALS.refuse(
                self._document, PageInputError(f"not a message of a page: {_sentence(error)}")
            )
            self.close(1008, "a message was refused")
            return None
        if message is not None:
            self._received = 0
        return message

    async def _handle(self, message: Any) -> Any:
        """Apply a message, or refuse all of it: what is refused changes nothing."""
        document = self._document
        try:
            check_message(message, document)
            if message.msgtype == "PULL-DOC-REQ":
                self._count_pull()
                return await self._pulled(message)
            if message.msgtype != "PATCH-DOC":
                return await super()._handle(message)
            return await ServerSession.patch(message, self.connection)
        except (PageInputError, DeserializationError, *MALFORMED) as error:
            refusal = error if isinstance(error, PageInputError) else _as_refusal(error)
            REFUSALS.refuse(document, refusal)
            return self.connection.error(message, f"refused: {refusal}")

    def _count_pull(self) -> None:
        self._pulls += 1
        if self._pulls > MAX_PULLS:
            raise PageInputError(f"a page must ask for its document {MAX_PULLS} times at most")

    async def _pulled(self, message: Any) -> Any:
        """Return the document as a message, which a thread makes while nobody changes it.

        Its common texts are left out, and named, for a page that fetches them apart.
        """
        connection = self.connection
        document, apart = connection.session.document, message.content == APART

        def reply() -> Any:
            made = connection.protocol.create("PULL-DOC-REPLY", message.header["msgid"], document)
            if apart:
                made.content["texts"] = TEXTS.take_out(made.content["doc"])
            made.content_json  # noqa: B018 - Bokeh keeps it
            forget_empty_defaults(document.models)
            return made

        return await connection.session.with_document_locked(lambda: in_daemon_thread(reply))

    @property
    def _document(self) -> Document | None:
        return None if self.connection is None else self.connection.session.document


def _agreed_extensions(headers: HTTPHeaders) -> list[tuple[str, dict[str, None]]]:
    """Return the extensions of a websocket that are agreed on, with their parameters."""
    for offer in headers.get("Sec-WebSocket-Extensions", "").split(","):
        extension, *parameters = (part.strip() for part in offer.split(";"))
        names = {parameter.partition("=")[0].strip() for parameter in parameters}
        if extension == DEFLATE and names <= {NO_CONTEXT, *CLIENT}:
            return [(DEFLATE, {NO_CONTEXT: None})]
    return []


def guard_websockets(application: Application, paths: Collection[str]) -> None:
    """Have the websockets of an application's pages at these paths be guarded ones.

    Those of other pages only have the origins checked: what they may send is not known here.
    """
    # What Bokeh says here of a message it raises, too, and it says it of each.
    logging.getLogger("bokeh.protocol").setLevel(logging.CRITICAL)
    for rule in application.wildcard_router.rules:
        if isinstance(rule.target, type) and issubclass(rule.target, WSHandler):
            own = rule.target_kwargs["application_context"].url in paths
            rule.target = GuardedWebSocket if own else LimitedWebSocket


# What Bokeh and Panel raise where a message is none that a page sends.
MALFORMED: Final = (
    MessageError, ProtocolError, ValidationError, PageInputError, RecursionError, ValueError,
    TypeError, LookupError, AttributeError, AssertionError, NotImplementedError, OverflowError,
)  # fmt: skip


def check_message(message: Any, document: Document | None) -> None:
    """Check a complete message before Bokeh decodes it; inflate what it holds, within limits.

    Raises
    ------
    PageInputError
        If it is of a kind that no page sends, would unpack to too much, or breaks a bound.
    """
    if message.msgtype not in ("PATCH-DOC", "PULL-DOC-REQ", "SERVER-INFO-REQ"):
        raise PageInputError(f"a page must not send messages of the kind {message.msgtype[:40]}")
    if message.msgtype != "PATCH-DOC":
        return
    events = message.content["events"]
    for event in events:
        if event["kind"] not in KINDS:
            raise PageInputError(f"a page must not send changes of the kind {event['kind'][:40]}")
    room = MAX_UNPACKED_BYTES
    for packed in _packed(message.content, 0):
        if packed["type"] == "ndarray":
            if packed["dtype"] not in NUMBERS:
                raise PageInputError(f"an array must hold numbers; got {packed['dtype'][:40]!r}")
        elif isinstance(packed["data"], str):
            data = _inflate(packed["data"], room)
            room -= len(data)
            packed["data"] = Buffer("inflated", data)
    if document is not None:
        check_events(events, document)


def _packed(content: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Yield what would be decoded to bytes or an array."""
    if depth > MAX_DEPTH:
        raise PageInputError(f"a message must be nested at most {MAX_DEPTH} deep")
    if isinstance(content, dict):
        if content.get("type") in ("bytes", "ndarray"):
            yield content
        parts: Any = content.values()
    elif isinstance(content, list):
        parts = content
    else:
        return
    for part in parts:
        if isinstance(part, (dict, list)):
            yield from _packed(part, depth + 1)


def _inflate(text: str, most: int) -> bytes:
    """Return the bytes of a base64 text of gzip, unless they are more than `most`."""
    inflater = zlib.decompressobj(GZIP)
    try:
        data = inflater.decompress(base64.b64decode(text, validate=True), most + 1)
    except (zlib.error, binascii.Error) as error:
        raise PageInputError(f"bytes must be gzip as base64; {error}") from None
    if len(data) > most:
        raise PageInputError(f"a message must unpack to at most {MAX_UNPACKED_BYTES / 1e6:.0f} MB")
    return data


def _as_refusal(error: BaseException) -> PageInputError:
    return PageInputError(f"not a change that a page can make: {_sentence(error)}")


def _sentence(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
