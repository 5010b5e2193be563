"""Pages that are drawn without a session: HTML documents, made once and kept compressed."""

from __future__ import annotations

import asyncio
import gzip
import logging
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from bokeh.document import Document
from panel.io.resources import Resources, bundle_resources
from panel.io.server import DocHandler
from panel.io.state import set_curdoc
from tornado.web import authenticated

from attnpanel.pages.serving.compression import takes_gzip
from attnpanel.pages.serving.daemon_thread import in_daemon_thread
from attnpanel.pages.serving.page_handlers import extend_page_handlers

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from bokeh.server.tornado import BokehTornado
    from tornado.httputil import HTTPServerRequest

    KeyOf = Callable[[HTTPServerRequest], Hashable | None]

LOG = logging.getLogger("attnpanel")
# panel.min.js fails to load without Bokeh's widgets and tables.
MOST_PAGES: Final = 16
LIBRARIES: Final = ("bokeh.min.js", "bokeh-widgets.min.js", "bokeh-tables.min.js", "panel.min.js")


@dataclass(frozen=True)
class CachedPage:
    """A page's bytes, as they are and as gzip, and the tag that names this content."""

    plain: bytes
    compressed: bytes
    tag: str

    @classmethod
    def of(cls, html: str) -> CachedPage:
        """Encode, compress and tag a page."""
        plain = html.encode()
        return cls(plain, gzip.compress(plain, 9, mtime=0), sha256(plain).hexdigest()[:32])


class StaticStart:
    """The pages of one address, for requests that need no session.

    A page is made when it is first asked for, one at a time; who asks for another meanwhile gets a
    session. The first page is always kept, of the others those asked for last.

    Parameters
    ----------
    path : str
        The address.
    key_of : callable
        Takes a request; returns which page it asks for, None for none.
    make : callable
        Takes such a key and returns the HTML; called once, in a thread.
    first : hashable
        The key of the page that is made before anybody asks.
    private : bool
        Whether only the visitor's own browser may keep a page.
    """

    def __init__(
        self,
        path: str,
        key_of: KeyOf,
        make: Callable[[Any], str],
        first: Hashable,
        *,
        private: bool,
    ) -> None:
        self._path, self._key_of, self._make, self._first = path, key_of, make, first
        self.caching = "private, no-cache" if private else "no-cache"
        self._pages: dict[Hashable, asyncio.Future[CachedPage | None]] = {}

    def key(self, request: HTTPServerRequest) -> Hashable | None:
        """Return which page a request asks for; None if it needs a session."""
        own = request.path.rstrip("/") == self._path.rstrip("/")
        return self._key_of(request) if own and request.method == "GET" else None

    def answers(self, request: HTTPServerRequest) -> bool:
        """Whether a request gets a page that is made, or being made."""
        page = self._pages.get(self.key(request))
        return page is not None and not (page.done() and page.result() is None)

    async def prepare(self) -> None:
        """Make the first page."""
        await self.page(self._first)

    async def page(self, key: Hashable | None) -> CachedPage | None:
        """Return a page, when it is made; None if a session is to answer."""
        if key is None:
            return None
        page = self._pages.pop(key, None)
        if page is None:
            others = [name for name in self._pages if name != self._first]
            if key != self._first and not all(self._pages[name].done() for name in others):
                return None
            if len(others) >= MOST_PAGES:
                del self._pages[others[0]]
            page = in_daemon_thread(partial(self._attempt, key))
        self._pages[key] = page  # at the end: asked for last
        return await asyncio.shield(page)

    def _attempt(self, key: Hashable) -> CachedPage | None:
        try:
            return CachedPage.of(self._make(key))
        except Exception:
            LOG.exception("a page that needs no session can't be made: each visit gets a session")
            return None


class StaticStartHandler(DocHandler):
    """Answers with the page that needs no session where it will do, otherwise with a session."""

    start: StaticStart
    _tag: str | None = None

    @authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Answer with the page or, where the browser has it, with 304."""
        page = await self.start.page(self.start.key(self.request))
        if page is None:
            await super().get(*args, **kwargs)
            return
        zipped = takes_gzip(self.request)
        self._tag = f'"{page.tag}-gzip"' if zipped else f'"{page.tag}"'
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", self.start.caching)
        self.set_header("Vary", "Accept-Encoding, Accept-Language")
        self.set_header("Etag", self._tag)
        if self.check_etag_header():
            self.set_status(304)
            return
        if zipped:
            self.set_header("Content-Encoding", "gzip")
        self.write(page.compressed if zipped else page.plain)

    def compute_etag(self) -> str | None:
        """Return the page's tag; a session's page has one of its bytes."""
        return self._tag or super().compute_etag()


def start_without_session(application: BokehTornado, start: StaticStart, path: str) -> None:
    """Have an application answer a page's address with its static page where that will do."""
    extend_page_handlers(application, StaticStartHandler, [path], start=start)
    application.io_loop.add_callback(start.prepare)  # before the first visitor asks


def library_addresses(application: BokehTornado) -> list[str]:
    """Return the addresses of Bokeh's and Panel's libraries, as a session's page has them."""
    with set_curdoc(Document()):
        resources = Resources.from_bokeh(application.resources())
        files = bundle_resources(None, resources).js_files
    addresses = map(str, files)
    found = {PurePosixPath(urlsplit(each).path).name: each for each in addresses}
    return [found[name] for name in LIBRARIES]
