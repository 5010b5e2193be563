"""A session's HTML is sent before the session is made: the browser loads its scripts meanwhile.

The HTML of one address is the same for all sessions but for its token and what a request's language
changes: BokehJS puts the document's roots, in their order, where the HTML has places for them.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any, Final

from bokeh.util.token import generate_jwt_token, generate_session_id
from panel.config import config
from panel.io.resources import LOCAL_DIST
from panel.io.server import DocHandler
from panel.io.state import set_curdoc, state
from tornado.web import authenticated

from attnpanel.pages.serving.own_sessions import ignore_named_session
from attnpanel.pages.serving.page_handlers import extend_page_handlers

if TYPE_CHECKING:
    from collections.abc import Collection

    from bokeh.document import Document
    from tornado.web import Application

LOG = logging.getLogger("attnpanel")
# The event loop alone forgets tasks that nobody refers to.
TASKS: Final[set[asyncio.Future[None]]] = set()
TOKEN: Final = re.compile(r'(?<="token":")[^"]+(?=")')


class EarlyPage(DocHandler):
    """Sends the HTML of an address's first session, with another token, for each further one."""

    # One class an address.
    html: str | None = None

    @authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Answer at once if the address's HTML is known."""
        if self.html is None:
            await super().get(*args, **kwargs)
            return
        ignore_named_session(self.request)
        application = self.application
        signing = {"secret_key": application.secret_key, "signed": application.sign_sessions}
        session_id = generate_session_id(**signing)
        token = generate_jwt_token(
            session_id,
            expiration=application.session_token_expiration,
            extra_payload=self._generate_token_payload(),
            **signing,
        )
        self._begin(session_id, token)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/html")
        self.write(TOKEN.sub(token, self.html, count=1))

    def _begin(self, session_id: Any, token: str) -> None:
        """Have a session be made; its websocket waits for it."""
        context, begun = self.application_context, self.settings["attnpanel_sessions"].begun
        begun.add(session_id)

        async def make() -> None:
            begun.discard(session_id)
            try:
                made = await context.create_session_if_needed(session_id, self.request, token)
                _prepare(made.document)
            except Exception as error:
                LOG.exception("a session can't be made")
                waiting = context._pending_sessions.pop(session_id, None)  # noqa: SLF001 - Bokeh leaves it there
                if waiting is not None and not waiting.done():
                    waiting.set_exception(error)
                    waiting.exception()  # there may be nobody who waits

        task = asyncio.ensure_future(make())
        TASKS.add(task)
        task.add_done_callback(TASKS.discard)

    def write(self, chunk: Any) -> None:
        """Write a page, and keep it for the next sessions."""
        kind = type(self)
        if isinstance(chunk, str) and kind.html is None and len(TOKEN.findall(chunk)) == 1:
            kind.html = chunk
        super().write(chunk)


def _prepare(document: Document) -> None:
    """Say where Panel's styles are, as it does for a document whose HTML it sends.

    What is added to the page later would be given styles from another server.
    """
    with set_curdoc(document):
        path = f"{state.rel_path}/{LOCAL_DIST}" if state.rel_path else LOCAL_DIST
        document.template_variables.update(theme_name=config.theme, dist_url=path)


def send_html_early(application: Application, paths: Collection[str]) -> None:
    """Have an application's pages at these paths be sent before their sessions are made."""
    extend_page_handlers(application, EarlyPage, paths)
