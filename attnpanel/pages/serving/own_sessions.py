"""A session belongs to the visitor whose request made it: nobody else can name it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bokeh.server.views.autoload_js_handler import AutoloadJsHandler
from panel.io.server import DocHandler

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
    rules = application.wildcard_router.rules
    for rule in list(rules):
        target = rule.target
        if not isinstance(target, type):
            continue
        if issubclass(target, DocHandler):
            rule.target = type(target.__name__, (_OwnSession, target), {})
        elif issubclass(target, AutoloadJsHandler) and _path(rule) in paths:
            rules.remove(rule)


def _path(rule: Any) -> str:
    """Return the address of the page that a rule belongs to."""
    return str(rule.target_kwargs["application_context"].url)
