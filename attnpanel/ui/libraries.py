"""Third-party scripts embedded in a file: deflated, with their licences as text."""

from __future__ import annotations

import base64
import re
import zlib

_LICENCE_WORDS = re.compile("licen[cs]e|copyright", re.IGNORECASE)


def deflated(code: str) -> str:
    """Compress a script with zlib and encode it as base64."""
    return base64.b64encode(zlib.compress(code.encode(), 9)).decode("ascii")


def licence_comments(code: str) -> list[str]:
    """Return the comments of a script that state a licence, without duplicates."""
    comments = re.findall(r"/\*.*?\*/", code, re.DOTALL)
    return [
        comment
        for comment in dict.fromkeys(comments)
        if comment.startswith("/*!") or _LICENCE_WORDS.search(comment)
    ]
