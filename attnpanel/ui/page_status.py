"""What a served page says of its server: that it does not answer, or has refused something."""

from __future__ import annotations

from typing import Any
from weakref import WeakMethod

import panel as pn
import param

from attnpanel.ui.components import Styled, bundle
from attnpanel.ui.refusals import REFUSALS
from attnpanel.ui.shared_styles import share_page_styles


class PageStatus(Styled):
    """A line at the window's lower edge; empty while all is well.

    The browser notices that the connection is lost, disables what needs the server, waits for it
    and loads the page anew at its present address; see js/components/page_status.js.
    """

    refused = param.Dict(default={}, doc="Of the last refused message: `text`, and a `number`.")
    has_session = param.Boolean(
        default=True,
        constant=True,
        doc="False: the page asks for one; see js/components/attach.js.",
    )

    _esm = bundle("page_status")

    def tell(self, text: str) -> None:
        """Show why a message was refused."""
        self.refused = {"text": text, "number": self.refused.get("number", 0) + 1}


def with_status(view: Any, *, has_session: bool = True) -> Any:
    """Add a status line to a page and return the page, which by default is a session's."""
    status = PageStatus(has_session=has_session, margin=0, css_classes=["attn-page-status"])
    view.append(status)
    view._hooks.append(share_page_styles)  # noqa: SLF001 - Panel takes it from constructors only
    document = pn.state.curdoc
    if document is not None:
        REFUSALS.tell_by(document, WeakMethod(status.tell))
    return view
