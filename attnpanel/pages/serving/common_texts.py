"""The texts that documents share go to a browser once: by an address that names their content."""

from __future__ import annotations

import gzip
import json
import threading
from hashlib import sha256
from typing import Any, Final

from tornado.web import HTTPError, RequestHandler

from attnpanel.pages.serving.compression import takes_gzip
from attnpanel.ui.common_texts import take_out_texts

# What a page asks for that can put the texts back: js/bokeh_patches/session_texts.js.
APART: Final = {"texts": "apart"}
# A page's texts depend on theme and language; each set takes 0.2 MB.
MOST_SETS: Final = 64
YEAR_S: Final = 31_536_000


class CommonTexts:
    """Sets of texts, compressed, by their tags; the latest that were first used."""

    def __init__(self) -> None:
        self._sets: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def take_out(self, document: Any) -> str:
        """Replace the common texts in a document's JSON data, in place; return their tag."""
        texts = take_out_texts(document)
        digest = sha256()
        for text in texts:
            encoded = text.encode()
            digest.update(b"%d %b" % (len(encoded), encoded))
        tag = digest.hexdigest()[:32]
        if tag not in self._sets:
            compressed = gzip.compress(json.dumps(texts, ensure_ascii=False).encode(), mtime=0)
            with self._lock:
                if len(self._sets) >= MOST_SETS:
                    del self._sets[next(iter(self._sets))]
                self._sets[tag] = compressed
        return tag

    def get(self, tag: str) -> bytes | None:
        """Return a set as gzip of JSON; None if there is none."""
        return self._sets.get(tag)


TEXTS: Final = CommonTexts()


class TextsHandler(RequestHandler):
    """Sends a set of texts, which never changes."""

    def get(self, tag: str) -> None:
        """Answer with a list of texts as JSON."""
        texts = TEXTS.get(tag)
        if texts is None:
            raise HTTPError(404)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", f"max-age={YEAR_S}, immutable")
        self.set_header("Vary", "Accept-Encoding")
        if takes_gzip(self.request):
            self.set_header("Content-Encoding", "gzip")
            self.write(texts)
        else:
            self.write(gzip.decompress(texts))


COMMON_TEXTS: Final = (r"/common-texts/([0-9a-f]{32})\.json", TextsHandler)
