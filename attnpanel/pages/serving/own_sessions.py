"""A session belongs to the visitor whose request made it: nobody else can name it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bokeh.server.views.autoload_js_handler import AutoloadJsHandler
from panel.io.server import DocHandler

from attnpanel.pages.serving.page_handlers import extend_page_handlers, page_address

if TYPE_CHECKING:
    from collections.abc import Collection

    from tornado.httputil import HTTPServerRequest
    from tornado.web import Application

# What Bokeh takes a session's name from. In a link it would lead a visitor into the session of
# whoever made the link, who would then read along.
NAMES: Final = ("bokeh-session-id", "bokeh-token")


class _OwnSession(DocHandler):
    """Gives each request a session of its own."""

    async def get_session(self) -> Any:
        """Make a session, whichever one the request names."""
        ignore_named_session(self.request)
        return await super().get_session()


def ignore_named_session(request: HTTPServerRequest) -> None:
    """Take from a request what would name its session."""
    for name in NAMES:
        request.arguments.pop(name, None)
    request.headers.pop("Bokeh-Session-Id", None)


def keep_sessions_apart(application: Application, paths: Collection[str]) -> None:
    """Have an application's pages ignore sessions that a request names.

    Those at these paths have no script for other pages to embed them by, either: it takes its
    server's address from the request.
    """
    extend_page_handlers(application, _OwnSession)
    rules = application.wildcard_router.rules
    for rule in list(rules):
        target = rule.target
        embeds = isinstance(target, type) and issubclass(target, AutoloadJsHandler)
        if embeds and page_address(rule) in paths:
            rules.remove(rule)
