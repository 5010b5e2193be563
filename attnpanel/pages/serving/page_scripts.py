"""The scripts of a session's page: without those that none of our pages uses, 70 kB compressed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from panel.io.server import DocHandler

from attnpanel.pages.serving.page_handlers import extend_page_handlers
from attnpanel.ui.components import bundle
from attnpanel.ui.header import visitor_language
from attnpanel.ui.words import t, use_language

if TYPE_CHECKING:
    from collections.abc import Collection

    from tornado.web import Application

# bokeh-gl draws plots by WebGL, which no plot of ours asks for; es-module-shims loads modules in
# browsers without import(), in which no page of ours opens.
UNUSED: Final = re.compile(
    r'<script type="esms-options">[^<]*</script>\s*'
    r'|<script [^>]*src="[^"]*/(?:bokeh-gl|es-module-shims)(?:\.min)?\.js[^"]*"></script>\s*'
)
# The name of one of our pages, in front of the product's.
TITLE: Final = re.compile(r"<title>(\w+) ·")
# What Panel calls of the shims.
IMPORT: Final = (
    "<script>window.importShim = Object.assign((url) => import(url), { addImportMap() {} });"
    "</script>\n"
)


def without_unused(html: str) -> str:
    """Return a session's page without the libraries that it does not use."""
    kept, count = UNUSED.subn("", html)
    return kept.replace("<script", f"{IMPORT}<script", 1) if count else html


def with_start(html: str) -> str:
    """Return a session's page with what runs after the libraries and before it connects."""
    return html.replace("</head>", f"<script>{bundle('start_session')}</script></head>", 1)


class _LeanPage(DocHandler):
    """Sends a session's page with our script, without unused libraries, and in its language."""

    def write(self, chunk: Any) -> None:
        """Write a page, or a part of anything else."""
        if isinstance(chunk, str):
            language, _named = visitor_language(self.request.query_arguments, self.request.headers)
            with use_language(language):
                chunk = TITLE.sub(lambda found: f"<title>{t(found[1])} ·", chunk, count=1)
            chunk = with_start(without_unused(chunk))
            chunk = chunk.replace('<html lang="en"', f'<html lang="{language}"', 1)
        super().write(chunk)


def leave_out_unused(application: Application, paths: Collection[str]) -> None:
    """Have the pages of an application at these paths load what they use alone."""
    extend_page_handlers(application, _LeanPage, paths)
