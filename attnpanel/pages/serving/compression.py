"""Static files, compressed once in a process for every browser that takes gzip."""

from __future__ import annotations

import asyncio
import gzip
import sys
import time
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from panel.io.server import ComponentResourceHandler
from tornado.web import HTTPError, StaticFileHandler

from attnpanel.pages.serving.daemon_thread import in_daemon_thread

if TYPE_CHECKING:
    from datetime import datetime

    from tornado.httputil import HTTPServerRequest
    from tornado.web import Application

# Files of other types are compressed already, or small.
SUFFIXES: Final = frozenset({".js", ".mjs", ".css", ".json", ".svg"})


MOST_FILES: Final = 256
# A file is looked for again after so long, in seconds. Each of the dozen looks at the file system
# lets a thread that makes a session go first, for up to Python's switch interval.
LOOK_S: Final = 1.0


@dataclass(frozen=True)
class FoundFile:
    """Where an address's file is, when it was last changed, and until when that is taken for true.

    `changed_ns` is in nanoseconds, `until` by :func:`time.monotonic`.
    """

    path: str
    modified: datetime | None
    changed_ns: int
    until: float


@dataclass(frozen=True)
class CompressedFile:
    """A file's content as gzip, and the tag that names it."""

    body: bytes
    tag: str

    @classmethod
    def of(cls, path: str) -> CompressedFile:
        """Read and compress a file."""
        plain = Path(path).read_bytes()
        return cls(gzip.compress(plain, mtime=0), f'"{sha256(plain).hexdigest()[:32]}-gzip"')


class CompressedFiles(StaticFileHandler):
    """A handler of static files that answers with gzip where the client takes it.

    A part of a file is sent as it is: a range counts the bytes of what is not compressed.
    """

    # By path and time of the last change; one dictionary an application and kind of files.
    kept: dict[tuple[str, int], asyncio.Future[CompressedFile]]
    # By the path in the address.
    found: dict[str, FoundFile]

    async def get(self, path: str, include_body: bool = True) -> None:  # noqa: FBT001, FBT002 - tornado's signature
        """Answer with the file, compressed if that is possible."""
        if not self._compresses(path):
            await super().get(path, include_body)
            return
        self.path = self.parse_url_path(path)
        found = self.found.get(self.path)
        if found is None or time.monotonic() >= found.until:
            found = self._find()
        if found is None:
            return
        self.absolute_path, self.modified = found.path, found.modified
        self.set_headers()
        self.set_header("Content-Encoding", "gzip")
        self.set_header("Vary", "Accept-Encoding")
        file = await self._compressed(found)
        self.set_header("Etag", file.tag)
        if self.should_return_304():
            self.set_status(304)
            return
        self.set_header("Content-Length", len(file.body))
        if include_body:
            self.write(file.body)

    def _find(self) -> FoundFile | None:
        """Look for the address's file; None if the request is answered."""
        absolute = self.get_absolute_path(self.root, self.path)
        path = self.validate_absolute_path(self.root, absolute)
        if path is None:
            return None
        self.absolute_path = path
        changed_ns, until = Path(path).stat().st_mtime_ns, time.monotonic() + LOOK_S
        found = FoundFile(path, self.get_modified_time(), changed_ns, until)
        if len(self.found) >= MOST_FILES:
            self.found.clear()
        self.found[self.path] = found
        return found

    async def _compressed(self, found: FoundFile) -> CompressedFile:
        """Return a file, which a thread has compressed for the first who asked for it."""
        path, key = found.path, (found.path, found.changed_ns)
        file = self.kept.get(key)
        if file is None:
            if len(self.kept) >= MOST_FILES:
                del self.kept[next(iter(self.kept))]
            file = self.kept[key] = in_daemon_thread(partial(CompressedFile.of, path))
        try:
            return await asyncio.shield(file)
        except OSError:
            self.kept.pop(key, None)
            raise

    def parse_url_path(self, url_path: str) -> str:
        """Return the path of a file, which no address with a zero byte has."""
        if "\0" in url_path:
            raise HTTPError(404)
        return super().parse_url_path(url_path)

    def _compresses(self, path: str) -> bool:
        return (
            Path(path).suffix in SUFFIXES
            and takes_gzip(self.request)
            and "Range" not in self.request.headers
        )


class ComponentFiles(CompressedFiles):
    """Sends what Panel's components of imported modules list; imports no other module.

    Panel imports whichever module an address names, and some run a program when they are imported.
    """

    def parse_url_path(self, url_path: str) -> str:
        """Return the path of a file of a component's."""
        module, name, *_ = [*url_path.split("/"), ""]
        if not isinstance(vars(sys.modules.get(module, object)).get(name), type):
            raise HTTPError(404)
        try:
            return super().parse_url_path(url_path)
        except (TypeError, ValueError, LookupError, AttributeError):
            raise HTTPError(404) from None


def takes_gzip(request: HTTPServerRequest) -> bool:
    """Whether a client says that it takes gzip."""
    taken = request.headers.get("Accept-Encoding", "")
    return any(part.strip() == "gzip" for part in taken.split(","))


def compress_static_files(application: Application) -> None:
    """Have every handler of static files of an application compress what it sends."""
    for rule in application.wildcard_router.rules:
        target = rule.target
        if isinstance(target, type) and issubclass(target, StaticFileHandler):
            components = issubclass(target, ComponentResourceHandler)
            files = ComponentFiles if components else CompressedFiles
            rule.target = type(target.__name__, (files, target), {"kept": {}, "found": {}})
